"""Our layers against the literal ones that they equal: instance norm with ReLU, Table 10's last convolution, gradient penalty.

Both sides are measured in turn in each round, forward and backward, channels-last on the CPU; a ratio is the median over
the rounds.

    python benchmarks/layers.py [--batch 8] [--threads 1] [--rounds 7]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from legan.models.discriminator import Discriminator
from legan.models.layers import HalvingConv
from legan.models.losses import gradient_penalty, interpolate, norm_penalty
from legan.models.norm import instance_norm

NORM_SHAPES = ((64, 128), (128, 64), (256, 32))  # channels and height after conv0, conv1 and conv2 of Tables 7–9


class Pair(NamedTuple):
    """The same work done twice: the literal way and ours."""

    name: str
    literal: Callable[[], None]
    ours: Callable[[], None]


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    print(f"{'forward and backward':<44}{'literal ms':>12}{'ours ms':>10}{'ratio':>8}")
    for pair in pairs(arguments.batch):
        rounds = [(timed(pair.literal), timed(pair.ours)) for _ in range(arguments.rounds + 1)][1:]  # the first warms up
        literal, ours = (statistics.median(side) * 1e3 for side in zip(*rounds, strict=True))
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"{pair.name:<44}{literal:>12.1f}{ours:>10.1f}{ratio:>8.2f}")
        figure = {"benchmark": "layers", "layer": pair.name, "literal_ms": round(literal, 2), "ours_ms": round(ours, 2)}
        print(json.dumps(figure | {"ratio": round(ratio, 3), "batch": arguments.batch, "threads": arguments.threads}))


def pairs(batch: int) -> Iterator[Pair]:
    for dtype in (torch.float32, torch.bfloat16):
        for channels, size in NORM_SHAPES:
            yield norm(batch, channels, size, dtype)
    yield last_convolution(batch)
    yield penalty(batch)


def norm(batch: int, channels: int, size: int, dtype: torch.dtype) -> Pair:
    x, dy = (channels_last(torch.randn(batch, channels, size, size).to(dtype)) for _ in range(2))
    weight, bias = torch.ones(channels, requires_grad=True), torch.zeros(channels, requires_grad=True)
    x.requires_grad_()

    def literal() -> None:
        normed = F.instance_norm(x, weight=weight.to(dtype), bias=bias.to(dtype))
        F.relu(normed, inplace=True).backward(dy)

    def ours() -> None:
        instance_norm(x, weight, bias, relu=True).backward(dy)

    return Pair(f"instance norm, ReLU {channels}×{size}×{size} {str(dtype)[6:]}", literal, ours)


def last_convolution(batch: int) -> Pair:
    conv = HalvingConv(1024, 2048).to(memory_format=torch.channels_last)
    x = channels_last(torch.randn(batch, 1024, 4, 4)).requires_grad_()
    dy = channels_last(torch.randn(batch, 2048, 2, 2))

    def literal() -> None:
        conv.zero_grad()
        F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1).backward(dy)

    def ours() -> None:
        conv.zero_grad()
        conv(x).backward(dy)

    return Pair("conv5 of Table 10, float32", literal, ours)


def penalty(batch: int) -> Pair:
    D = Discriminator(26).to(memory_format=torch.channels_last)
    x_real, x_fake = (channels_last(torch.rand(batch, 3, 128, 128) * 2 - 1) for _ in range(2))
    alpha = torch.rand(batch)

    def source(x: Tensor) -> Tensor:
        for conv in D.trunk[::2]:
            x = F.leaky_relu(F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1), 0.01)
        return F.conv2d(x, D.src.weight, padding=1)

    def literal() -> None:
        D.zero_grad()
        gradient_penalty(source, x_real, x_fake, alpha).backward()

    def ours() -> None:
        D.zero_grad()
        norm_penalty(D.source_gradient(interpolate(x_real, x_fake, alpha))).backward()

    return Pair("gradient penalty of Table 10's D, float32", literal, ours)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def timed(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 8), ("threads", 1), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    main()
