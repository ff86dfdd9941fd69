"""What the processor offers, and how much of it to use."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numba
from llvmlite import binding

from secagg.errors import ConfigError

T = TypeVar("T")


@cache
def x86_features() -> frozenset[str]:
    """Instruction sets of an x86-64 processor that Numba compiles for, by LLVM's names; empty on any other.

    Numba's own switches count: NUMBA_CPU_FEATURES, NUMBA_CPU_NAME=generic and NUMBA_ENABLE_AVX can only take away.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    found = {name for name, has in binding.get_host_cpu_features().items() if has}
    config: Any = numba.config
    if config.CPU_FEATURES is not None:
        found &= {word[1:] for word in config.CPU_FEATURES.split(",") if word.startswith("+")}
    if not config.ENABLE_AVX:
        found = {name for name in found if not name.startswith("avx")}
    return frozenset(found)


def threads() -> int:
    """Most threads for one call: the variable SECAGG_THREADS, or else the processors this process may use.

    Raises:
        ConfigError: SECAGG_THREADS is not an integer >= 1.
    """
    wanted = os.environ.get("SECAGG_THREADS")
    if not wanted:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not (wanted.isascii() and wanted.isdigit() and int(wanted) >= 1):
        raise ConfigError(f"SECAGG_THREADS={wanted!r}: expected an integer >= 1")
    return int(wanted)


def over_threads(work: Callable[[Iterator[T]], None], pieces: Sequence[T], threads: int) -> None:
    """Call `work` on one iterator over all pieces, in the caller's thread and in as many others as there is work for.

    Whoever is free takes the next piece, so a thread that wakes up late delays nobody. Gains where `work` leaves the
    interpreter's lock, as kernels do.

    Args:
        work: takes pieces for as long as there are any.
        pieces: what there is to do; with fewer than two, the caller's thread does it.
        threads: most threads to use, >= 1, the caller's among them.

    Raises:
        What `work` raises in any of them, once all have ended.
    """
    left = iter(pieces)
    others = min(threads, len(pieces)) - 1
    if others < 1:
        work(left)
        return
    with ThreadPoolExecutor(others) as pool:
        started = [pool.submit(work, left) for _ in range(others)]
        work(left)
    for other in started:
        other.result()  # raises what the thread raised
