"""What a result depends on besides the code: the machine, its libraries, and what else it was doing."""

import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from cryptography.hazmat.backends.openssl import backend
from llvmlite import binding

from secagg.kernels import mask

ROOT = Path(__file__).parents[1]
LIBRARIES = ("numpy", "numba", "llvmlite", "cryptography", "msgspec", "scipy", "gmpy2", "phe", "tenseal")
PEERS = ("flwr", "pycryptodome")
FEATURES = ("aes", "vaes", "pclmul", "vpclmulqdq", "sha", "avx2", "fma", "avx512f", "avx512ifma", "bmi2", "adx")
"""Instructions that matter to masking, key agreement and hashing, by LLVM's names."""


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where, when and with what a result was measured.

    `kernel` is the mask kernel that a user gets here; `commit` has a "+" behind it where files differ from it; `load`
    are tasks that were running or waiting in the minute before, on all cores together.
    """

    cpu: str
    features: tuple[str, ...]
    cores: int
    memory: int
    system: str
    python: str
    libraries: dict[str, str]
    openssl: str
    kernel: str
    commit: str
    load: float


def look() -> Machine:
    """This machine, now."""
    has, libraries = binding.get_host_cpu_features(), {}
    for name in (*LIBRARIES, *PEERS):
        with suppress(PackageNotFoundError):
            libraries[name] = version(name)
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    head = _git("rev-parse", "--short=12", "HEAD")
    return Machine(
        cpu=f"{model[1] if model else 'processor'} ({binding.get_host_cpu_name()})",
        features=tuple(name for name in FEATURES if has.get(name)),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()}, {platform.machine()}",
        python=platform.python_version(),
        libraries=libraries,
        openssl=backend.openssl_version_text(),
        kernel=mask.selected(),
        commit=head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else ""),
        load=os.getloadavg()[0],
    )


def _git(*arguments: str) -> str:
    """Empty outside a checkout."""
    with suppress(FileNotFoundError):
        return subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()
    return ""
