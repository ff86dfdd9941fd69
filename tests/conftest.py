"""Set before any test module is imported: Numba's cache directory and Hypothesis's profile."""

import hashlib
import os
import tempfile
from pathlib import Path

from hypothesis import settings

KERNELS = Path(__file__).parents[1] / "secagg" / "kernels"


def _sources() -> str:
    """Hash over every kernel's source: Numba's cache does not notice an edited callee in another file.

    Nor does it notice that checks of bounds were switched on, or instructions emulated, so the switches are hashed too.
    """
    switches = ("NUMBA_BOUNDSCHECK", "SECAGG_TEST_CACHE")
    digest = hashlib.sha256("".join(os.environ.get(switch, "") for switch in switches).encode())
    for path in sorted(KERNELS.rglob("*.py")):
        digest.update(path.relative_to(KERNELS).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


_cache = Path(tempfile.gettempdir()) / f"secagg-numba-{_sources()}"
_cache.mkdir(mode=0o700, exist_ok=True)
os.environ["NUMBA_CACHE_DIR"] = str(_cache)

settings.register_profile("secagg", deadline=None, print_blob=True, derandomize=False, max_examples=50)
settings.load_profile("secagg")
