"""The share of the processor's or GPU's measured matrix-multiply peak that the generator's forward pass reaches.

The peak is the best ``torch.mm`` of square matrices of several sizes; it and every variant of the forward pass (on a GPU also the
compiled one) are measured in turn, and a share is the median over the rounds of (operations per second) / (peak of the same
precision in that round). Operations are counted by PyTorch's FlopCounterMode; tests/models/test_generator.py holds that count
against the paper's tables.

    python benchmarks/forward_pass.py [--width 64] [--size 128] [--batch 8] [--threads 1] [--rounds 7]
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import torch
from options import numbers
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from legan.models.generator import Generator

EXPRESSIONS, LIGHTINGS = 6, 20
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last, "compiled": torch.channels_last}
KINDS = {  # what the CPU's operators belong to, for the breakdown
    "aten::mkldnn_convolution": "convolution",
    "aten::native_group_norm": "instance norm",
    "aten::clamp_min": "ReLU",
    "aten::clamp_min_": "ReLU",
    "aten::copy_": "copies (padding, pixel shuffle, casts)",
    "aten::fill_": "copies (padding, pixel shuffle, casts)",
    "aten::add_": "residual sums",
}


class Round(NamedTuple):
    """One measurement of a variant beside the peak: seconds of a forward pass, floating-point operations a second."""

    seconds: float
    rate: float
    peak: float


def main() -> None:
    arguments = numbers(__doc__, width=64, size=128, batch=8, threads=1, rounds=7)
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = (torch.rand(arguments.batch, 3, arguments.size, arguments.size) * 2 - 1).to(device)
    f = torch.eye(EXPRESSIONS + LIGHTINGS, device=device)[:1].expand(arguments.batch, -1)
    torch.manual_seed(0)
    passes = {
        (precision, layout): forward(arguments.width, x, f, PRECISIONS[precision], layout)
        for precision in PRECISIONS
        for layout in LAYOUTS
        if layout != "compiled" or device.type == "cuda"
    }
    with FlopCounterMode(display=False) as counter:
        passes["fp32", "contiguous"]()
    flops = counter.get_total_flops()
    sides = {precision: best_side(dtype, device) for precision, dtype in PRECISIONS.items()}
    rounds: dict[tuple[str, str], list[Round]] = defaultdict(list)
    for n in range(arguments.rounds + 1):
        for precision, dtype in PRECISIONS.items():
            peak = multiply_rate(sides[precision], dtype, device)
            for key in passes:
                if key[0] == precision:
                    seconds = timed(passes[key], device)
                    if n > 0:  # the first round warms up
                        rounds[key].append(Round(seconds, flops / seconds, peak))
    report(rounds, flops, arguments, device)
    if device.type == "cpu":
        for precision in PRECISIONS:
            breakdown(precision, passes[precision, "channels_last"])


def forward(width: int, x: Tensor, f: Tensor, dtype: torch.dtype, layout: str) -> Callable[[], None]:
    memory_format = LAYOUTS[layout]
    G = Generator(EXPRESSIONS, LIGHTINGS, width=width).to(x.device).to(memory_format=memory_format).eval()
    translate = torch.compile(G, dynamic=False) if layout == "compiled" else G
    x = x.contiguous(memory_format=memory_format)

    def run() -> None:
        with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
            translate(x, f)

    return run


def multiply_rate(side: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of one side×side matrix product, the best within 0.3 seconds."""
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    seconds = [timed(lambda: torch.mm(a, b, out=out), device)]
    while sum(seconds) < 0.3:
        seconds.append(timed(lambda: torch.mm(a, b, out=out), device))
    return 2 * side**3 / min(seconds)


def best_side(dtype: torch.dtype, device: torch.device) -> int:
    sides = (512, 1024, 2048, 4096) if device.type == "cpu" else (4096, 8192, 16384)
    return max(sides, key=lambda side: multiply_rate(side, dtype, device))


def timed(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def report(rounds: dict[tuple[str, str], list[Round]], flops: int, arguments: argparse.Namespace, device: torch.device) -> None:
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{arguments.threads} CPU threads"
    size, batch = arguments.size, arguments.batch
    print(f"generator forward pass, {size}×{size}, width {arguments.width}, batch {batch}, {name}: {flops / 1e9:.1f} Gflop")
    print(f"{'precision':<10}{'layout':<15}{'s':>8}{'images/s':>10}{'Gflop/s':>10}{'peak':>10}{'share':>8}")
    for (precision, layout), measured in rounds.items():
        seconds = statistics.median(r.seconds for r in measured)
        rate, peak = statistics.median(r.rate for r in measured), statistics.median(r.peak for r in measured)
        share = statistics.median(r.rate / r.peak for r in measured)
        row = f"{precision:<10}{layout:<15}{seconds:>8.3f}{batch / seconds:>10.2f}"
        print(f"{row}{rate / 1e9:>10.0f}{peak / 1e9:>10.0f}{share:>8.0%}")
        figure = {"benchmark": "forward_pass", "precision": precision, "layout": layout, "share": round(share, 3)}
        figure |= {"seconds": round(seconds, 4), "gflop": round(flops / 1e9, 1), "peak_gflop_s": round(peak / 1e9, 1)}
        print(json.dumps(figure | {key: getattr(arguments, key) for key in ("size", "width", "batch", "threads")}))


def breakdown(precision: str, run: Callable[[], None]) -> None:
    """Where the time of one channels-last pass goes, by kind of operator."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        run()
    kinds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kinds[KINDS.get(event.key, "other")] += event.self_cpu_time_total
    total = sum(kinds.values())
    parts = (f"{kind} {time / total:.0%}" for kind, time in sorted(kinds.items(), key=lambda item: -item[1]))
    print(f"{precision}, channels_last: {', '.join(parts)}")


if __name__ == "__main__":
    main()
