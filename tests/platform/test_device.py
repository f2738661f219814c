import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from legan.platform.device import WARM_UP_STEPS, WORKERS, GraphRecorder

SCRIPT = """
import resource, sys, threading
import numpy as np
from legan.platform.device import keep_freed_memory

def take_and_free():
    if sys.argv[1] == "keep":
        keep_freed_memory()
    faults = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.ones(400_000) for _ in range(60)]
        del blocks
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    print(sum(faults[1:]))

if sys.argv[2] == "thread":
    thread = threading.Thread(target=take_and_free)
    thread.start()
    thread.join()
else:
    take_and_free()
"""


def faults(what: str, where: str, **environment: str) -> int:
    command = [sys.executable, "-c", SCRIPT, what, where]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)
    return int(done.stdout)


def test_freed_memory_is_taken_again_without_new_pages():
    assert faults("keep", "first thread") < 0.2 * faults("give back", "first thread")


def test_threads_keep_theirs_with_one_arena():
    assert faults("keep", "thread", **WORKERS) < 0.2 * faults("keep", "thread")


def five_steps(device: torch.device) -> tuple[list[float], list[str]]:
    """What each step makes of its number, and which parts Python ran for it."""
    recorder, weight, ran = GraphRecorder(device), torch.zeros((), device=device), []

    def double(x: Tensor) -> Tensor:
        ran.append("double")
        return 2 * x

    def add(doubled: Tensor) -> Tensor:
        ran.append("add")
        return doubled + weight

    results = []
    for step in range(WARM_UP_STEPS + 2):
        weight.fill_(0.5 * step)
        with recorder.step():
            for x in (float(step), 10.0 * step):
                doubled = recorder.run("double", double, torch.tensor(x, device=device))
            results.append(recorder.run("add", add, doubled.clone()).clone())
    return [float(result) for result in results], ran


def test_elsewhere_parts_run_as_they_are():
    results, ran = five_steps(torch.device("cpu"))
    assert results == pytest.approx([20.5 * step for step in range(WARM_UP_STEPS + 2)])
    assert ran == ["double", "double", "add"] * (WARM_UP_STEPS + 2)


def test_on_a_gpu_parts_are_recorded_once_and_read_new_inputs_and_weights(gpu):
    results, ran = five_steps(gpu)
    assert results == pytest.approx([20.5 * step for step in range(WARM_UP_STEPS + 2)])
    assert ran == ["double", "double", "add"] * WARM_UP_STEPS + ["double", "add"]
