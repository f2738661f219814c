"""CUDA graphs: what a training step launches on a GPU is recorded once, and replayed from then on.

A step of LEGAN is thousands of small kernels, and launching them one by one takes Python longer than running them takes a GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

WARM_UP_STEPS = 3
"""Steps that run as they are written first; libraries choose their kernels and compilers compile in them."""


class Recording(NamedTuple):
    """A part of a step as a graph, and the tensors that each replay reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    result: Any


class Recorder:
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
