"""Arrays that end, or start, at a page that nobody may touch: one byte too far ends the process."""

import ctypes
import math
import mmap
from functools import cache

import numpy as np

PAGE = mmap.PAGESIZE


@cache
def libc():
    """Loaded once: each time is a class more, which only the collector of cycles takes away."""
    return ctypes.CDLL(None, use_errno=True)


def guarded(shape, dtype, end=True):
    """An array of zeros with forbidden pages before and behind, flush with the one behind or the one before.

    The pages go with the last view of the array: kept for good, those of all tests are more than a process may map.
    """
    count = math.prod(shape)
    size = count * np.dtype(dtype).itemsize
    pages = -(-size // PAGE) + 2
    memory = mmap.mmap(-1, pages * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages - 1):
        assert libc().mprotect(ctypes.c_void_p(start + page * PAGE), PAGE, 0) == 0
    first = (pages - 1) * PAGE - size if end else PAGE
    return np.frombuffer(memory, dtype, count, first).reshape(shape)
