"""The one place where compiler flags stand."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile lazily, without the GIL, cached on disk where a cache directory is writable.

    A kernel may only call kernels of its own file: Numba's cache does not notice an edited callee elsewhere.
    """
    try:
        compiled = njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # "no locator available": nothing is writable, so every process compiles anew
        compiled = njit(nogil=True, error_model="numpy")(function)
    return cast("F", compiled)
