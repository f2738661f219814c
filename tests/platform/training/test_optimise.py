import subprocess
import sys

import pytest
import torch
from torch import nn

from legan.platform.settings import AdamSettings
from legan.platform.training.optimise import adam, set_learning_rate, total_steps
from legan.platform.training.start import resolve


def rate(step: int, total: int, **values) -> float:
    settings = AdamSettings(learning_rate=0.1, **values)
    optimiser = adam(nn.Linear(1, 1), settings)
    set_learning_rate(optimiser, settings, step, total)
    return optimiser.param_groups[0]["lr"]


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (50, 0.1), (75, 0.05), (99, 0.002)])
def test_learning_rate_falls_linearly_over_the_second_half(step, expected):
    assert rate(step, 100, decay_from=0.5) == pytest.approx(expected)


def test_learning_rate_is_constant_by_default():
    assert {rate(step, 100) for step in range(100)} == {0.1}


def test_epochs_become_steps_rounded_up():
    settings = resolve("classifier", "quick", ["epochs=3", "precision=fp32"], {}).settings
    assert total_steps(settings, 48, 32) == 5  # 144 images in batches of 32
    settings = resolve("classifier", "quick", ["steps=7"], {}).settings
    assert total_steps(settings, 48, 32) == 7


def test_auto_precision_is_what_the_machine_multiplies_natively():
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert resolve("classifier", "quick", ["precision=auto"], {}).settings.precision == ("bf16" if native else "fp32")


def test_its_adam_is_pytorchs_also_where_it_goes_on():
    networks = [nn.Linear(3, 2) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    settings = AdamSettings(learning_rate=0.01, weight_decay=0.1)
    ours = adam(networks[0], settings)
    theirs = torch.optim.Adam(networks[1].parameters(), lr=0.01, betas=(0.5, 0.999), weight_decay=0.1, fused=True)
    for round_ in range(6):
        if round_ == 3:
            kept = ours.state_dict()
            ours = adam(networks[0], settings)
            ours.load_state_dict(kept)
        for network, optimiser in zip(networks, (ours, theirs), strict=True):
            optimiser.zero_grad()
            network(torch.full((4, 3), 1.0 + round_)).square().sum().backward()
            optimiser.step()
    for mine, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)


ALONE = """
import sys, torch
from legan.platform.settings import AdamSettings
from legan.platform.training.optimise import adam
network = torch.nn.Linear(1, 1)
optimiser = adam(network, AdamSettings())
network(torch.ones(1, 1)).sum().backward()
optimiser.step()
optimiser.zero_grad()
optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_pytorchs_compiler_is_not_imported():
    assert subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True).stdout == "False\n"
