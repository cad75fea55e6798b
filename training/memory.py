"""Memory of the process: freed blocks are kept for the next iteration instead of handed back."""

import ctypes
import sys
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # parameters of glibc's mallopt
_KEEP_ALL = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}
_USUAL = {_TRIM_THRESHOLD: 64 * 2**20, _MMAP_THRESHOLD: 32 * 2**20, _MMAP_MAX: 65536}


def keep_freed_memory(is_kept: bool = True) -> bool:
    """Make malloc keep what is freed, for the whole process; return whether it could be told.

    A training step allocates and frees the same gigabytes in every iteration. Without this, glibc
    maps every large block anew and the kernel clears each of its pages: a sixth of the time. Only
    glibc (Linux) is told; under another allocator (a preloaded tcmalloc, say) nothing changes.

    Args:
        is_kept: False: back to what glibc arrives at by itself, and hand back what is free.
    """
    library = _libc()
    if library is None:
        return False
    told = [
        library.mallopt(name, value) for name, value in (_KEEP_ALL if is_kept else _USUAL).items()
    ]
    if not is_kept:
        library.malloc_trim(0)
    return all(told)


def _libc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
