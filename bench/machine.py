"""What a result depends on besides the code: the machine, its libraries, and what else it was doing."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from cryptography.hazmat.backends.openssl import backend
from llvmlite import binding

from secagg.kernels import mask

LIBRARIES = ("numpy", "numba", "llvmlite", "cryptography", "msgspec", "scipy", "gmpy2", "phe", "tenseal")
PEERS = ("flwr", "pycryptodome")
FEATURES = ("aes", "vaes", "pclmul", "vpclmulqdq", "sha", "avx2", "fma", "avx512f", "avx512ifma", "bmi2", "adx")
"""Instructions that matter to masking, key agreement and hashing, by LLVM's names."""
ROOT = Path(__file__).parents[1]


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where, when and with what a result was measured.

    Attributes:
        cpu: the processor, as the system names it, and LLVM's name of its kind.
        features: those of `FEATURES` that it has.
        cores: that this process may use.
        memory: bytes of the machine.
        system: operating system and architecture.
        python: version.
        libraries: {name: version} of those that are installed.
        openssl: version behind `cryptography`.
        kernel: the mask kernel that a user gets here.
        commit: of the checkout; "+" behind it when files differ from it.
        load: tasks that were running or waiting in the minute before, on all cores together.
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
    has = binding.get_host_cpu_features()
    return Machine(
        cpu=f"{_cpu_model()} ({binding.get_host_cpu_name()})",
        features=tuple(name for name in FEATURES if has.get(name)),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()}, {platform.machine()}",
        python=platform.python_version(),
        libraries={name: found for name in (*LIBRARIES, *PEERS) if (found := _version(name))},
        openssl=backend.openssl_version_text(),
        kernel=mask.selected(),
        commit=_commit(),
        load=os.getloadavg()[0],
    )


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """Empty outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", ROOT, *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
