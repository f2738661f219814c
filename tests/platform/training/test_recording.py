import pytest
import torch
from torch import Tensor

from legan.platform.training.recording import WARM_UP_STEPS, Recorder


def five_steps(device: torch.device) -> tuple[list[float], list[str]]:
    """What each step makes of its number, and which parts Python ran for it."""
    recorder, weight, ran = Recorder(device), torch.zeros((), device=device), []

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
