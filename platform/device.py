"""What networks run on: which device, in which precision and memory format, and how a CPU process keeps its memory.

glibc gives large freed blocks back to the kernel at once and gets them again page by page, each page zeroed. A training step
frees and takes the same few gigabytes over and over: that was a quarter of the generator's forward pass.

The first thread alone keeps what it is told to keep: the heaps of the others go back to the kernel whole. Ray Train trains in
another thread, so its workers are started with ONE_ARENA in their environment, where a thread has no heap of its own yet.
"""

import ctypes
import sys
from typing import Literal

import torch
from torch import nn

# Parameters of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}


def choose_device(name: str | None = None) -> torch.device:
    """The device called ``name``; without one the GPU where there is one, else the processor."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def place(network: nn.Module, device: torch.device, channels_last: bool) -> None:
    """Move a network's weights to the device and into the memory format, in place."""
    network.to(device)
    network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def native_precision(gpu: bool) -> Literal["fp32", "bf16"]:
    """bf16 on hardware that multiplies it natively, a GPU since Ampere or a CPU with AMX or AVX-512 BF16; else fp32."""
    if gpu:
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported() else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 where asked for; weights, optimiser state and losses stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def keep_freed_memory() -> None:
    """Have this process keep freed memory for itself; nothing happens without glibc. For threads see ONE_ARENA."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
