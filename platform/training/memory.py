"""How a CPU worker keeps its memory.

glibc gives large freed blocks back to the kernel at once and gets them again page by page, each page zeroed. A training step
frees and takes the same few gigabytes over and over: that was a quarter of the generator's forward pass.

The first thread alone keeps what it is told to keep: the heaps of the others go back to the kernel whole. Ray Train trains in
another thread, so its workers are started with ONE_ARENA in their environment, where a thread has no heap of its own yet.
"""

import ctypes
import sys

# Parameters of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}


def keep_freed_memory() -> None:
    """Have this process keep freed memory for itself; nothing happens without glibc. For threads see ONE_ARENA."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
