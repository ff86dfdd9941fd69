"""Memory for kernels that must stay within their arrays."""

import ctypes
import mmap

import numpy as np
import pytest

PAGE = mmap.PAGESIZE
PROT_NONE = 0  # of <sys/mman.h>


@pytest.fixture
def guarded():
    """size -> (first, last): `size` zeros right after a page that cannot even be read, and right before one."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def allocate(size):
        inner = -(-size // PAGE) * PAGE
        room = np.frombuffer(mmap.mmap(-1, inner + 2 * PAGE), np.uint8)
        for page in (0, inner + PAGE):
            assert protect(room.ctypes.data + page, PAGE, PROT_NONE) == 0
        middle = room[PAGE : PAGE + inner]
        return middle[:size], middle[inner - size :]

    return allocate
