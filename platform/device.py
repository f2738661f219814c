"""What networks run on: which device, in which precision and memory format, and how each device is kept busy.

On a CPU, memory. glibc gives large freed blocks back to the kernel at once and gets them again page by page, each page zeroed. A
training step frees and takes the same few gigabytes over and over: that was a quarter of the generator's forward pass. The first
thread alone keeps what it is told to keep: the heaps of the others go back to the kernel whole. Ray Train trains in another
thread, so its workers are started with WORKERS in their environment, where a thread has no heap of its own yet.

On a GPU, launches. A step of LEGAN is thousands of small kernels, and launching them one by one takes Python longer than running
them takes a GPU. So what a step launches is recorded once as CUDA graphs, and replayed from then on.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from legan.platform.processors import WAITING, threads_to_take

Result = TypeVar("Result")

# Parameters of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
WORKERS = {"MALLOC_ARENA_MAX": "1", **WAITING}
"""The environment of processes of Ray that compute with networks."""

WARM_UP_STEPS = 3
"""Steps that a GPU runs as they are written first; libraries choose their kernels and compilers compile in them."""


def choose_device(name: str | None = None) -> torch.device:
    """The device called ``name``; without one the GPU where there is one, else the processor."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def command_device() -> torch.device:
    """What a command computes on: the GPU where there is one, else as many of the processor's threads as nobody else uses."""
    device = choose_device()
    if device.type == "cpu":
        torch.set_num_threads(threads_to_take())
    return device


def place(network: nn.Module, device: torch.device, channels_last: bool) -> None:
    """Move a network's weights to the device and into the memory format, in place."""
    network.to(device)
    network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def native_precision(gpu: bool) -> Literal["fp32", "bf16"]:
    """bf16 on hardware that multiplies it natively, a GPU since Ampere or a CPU with AMX or AVX-512 BF16; else fp32."""
    if gpu:
        return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported() else "fp32"


def convolves_bf16() -> bool:
    """Whether this processor's convolutions know bf16 at all, in hardware or by AVX-512; else bf16 takes 100 times as long."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 where asked for; weights, optimiser state and losses stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def keep_freed_memory() -> None:
    """Have this process keep freed memory for itself; nothing happens without glibc. For threads see WORKERS."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


class Recording(NamedTuple):
    """A part of a step as a graph, and the tensors that each replay reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    result: Any


class GraphRecorder:
    """Runs the parts of each step of a training: on a GPU from recordings, elsewhere as they are written.

    All recordings share their memory. So each step has to run the same parts in the same order, on inputs of the same shapes, and
    a result is overwritten when its part runs again. A part may leave gradients behind; those stay where they were recorded.
    """

    def __init__(self, device: torch.device):
        self._on_gpu = device.type == "cuda"
        self._steps = 0
        self._recordings: dict[str, Recording] = {}
        self._pool = torch.cuda.graph_pool_handle() if self._on_gpu else None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around the parts of one step."""
        if not self._on_gpu or self._steps >= WARM_UP_STEPS:
            yield
        else:
            # Recording happens on a stream of its own, and what ran before it must not have been tied to the usual one.
            stream, usual = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(usual)
            with torch.cuda.stream(stream):
                yield
            usual.wait_stream(stream)
        self._steps += 1

    def run(self, name: str, part: Callable[..., Result], *inputs: Tensor) -> Result:
        """``part(*inputs)``; of what changes from step to step, it reads its inputs, weights and other parts' results only."""
        if not self._on_gpu or self._steps < WARM_UP_STEPS:
            return part(*inputs)
        recording = self._recordings.get(name)
        if recording is None:
            recording = self._recordings[name] = self._record(part, inputs)
        else:
            for mine, given in zip(recording.inputs, inputs, strict=True):
                mine.copy_(given)
        recording.graph.replay()
        result: Result = recording.result
        return result

    def _record(self, part: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Recording:
        own = tuple(values.clone() for values in inputs)
        graph = torch.cuda.CUDAGraph()
        # Other threads, which load batches and ask for the GPU's load, go on meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = part(*own)
        return Recording(graph, own, result)
