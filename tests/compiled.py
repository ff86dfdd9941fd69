"""Where tests keep compiled kernels from run to run: a private folder, named by all that the code depends on."""

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from llvmlite import binding  # and not numba, which reads its variables when it is imported

KERNELS = Path(__file__).parents[1] / "secagg" / "kernels"
SWITCHES = ("NUMBA_BOUNDSCHECK", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "SECAGG_TEST_CACHE")


def parts() -> Iterator[str]:
    """What a compiled kernel depends on: versions, the processor, switches, and every kernel's source.

    Numba's cache alone does not notice an edited callee in another file, nor that checks of bounds were switched on or
    instructions emulated; and what a shared folder keeps for other versions and processors is not left to it either.
    """
    yield from (version("numba"), version("llvmlite"), ".".join(map(str, binding.llvm_version_info)))
    yield from (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    yield from (f"{switch}={os.environ.get(switch)}" for switch in SWITCHES)
    for path in sorted(KERNELS.rglob("*.py")):
        yield from (path.relative_to(KERNELS).as_posix(), path.read_text())


def key() -> str:
    digest = hashlib.sha256()
    for part in parts():
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return digest.hexdigest()[:32]


def is_private(path: Path) -> bool:
    """Whether it is a folder, and no link to one, that is ours and that nobody else may so much as look into."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700


def private(path: Path) -> Path:
    """`path`, made or found to be private, or else a fresh folder of this process: code from there is run.

    The system's temporary folder is everybody's, and whoever knows the name can be the first to take it.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if hasattr(os, "getuid") and not is_private(path):
            fresh = Path(tempfile.mkdtemp(prefix=path.name + "-"))  # always 0700
            atexit.register(shutil.rmtree, fresh, ignore_errors=True)
            return fresh
    return path


def folder() -> Path:
    return private(Path(tempfile.gettempdir()) / f"secagg-numba-{key()}")
