import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from tests.platform.training.test_loop import Toy, settings
from torch import nn

from legan.platform.errors import DataError
from legan.platform.settings import AdamSettings, StartSettings, TrainingSettings
from legan.platform.training.loop import Listener, train
from legan.platform.training.parallel import Ranks, adam, all_or_none, moving_average, set_rates, young_decay

WORKER = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_loop import Toy, settings
    from torch import distributed as dist
    from legan.platform.errors import DataError, LeganError
    from legan.platform.training.loop import Listener, train
    from legan.platform.training.parallel import Ranks, all_or_none

    rank, folder = int(sys.argv[2]), sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)

    def begin():
        with all_or_none(Ranks(rank, 2)):
            if rank == 1:
                raise DataError("the data set is not on this node.")

    def tell(work):
        try:
            work()
        except LeganError as error:
            print(type(error).__name__, str(error).replace(folder, "…"))

    class Blind(Toy):
        def validate(self):
            raise DataError("no held-out image can be read.")

    with all_or_none(Ranks(rank, 2)):
        pass
    tell(begin)
    for place, task in (("seen", Toy(20)), ("readable", Toy(20)), ("valid", Blind(20))):
        tell(lambda: train(task, settings(), Path(folder, f"{place}-{rank}"), Ranks(rank, 2), Listener(None, str)))
    dist.destroy_process_group()
""")


def test_what_stops_one_worker_stops_all_instead_of_being_waited_for(tmp_path):
    for place in ("seen-0", "readable-0", "readable-1"):
        train(Toy(5), settings(), tmp_path / place, Ranks(), Listener(None, str))
    (tmp_path / "readable-1/step-00000005/state.pt").unlink()
    command = [sys.executable, "-c", WORKER, str(Path(__file__).parent)]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    first, second = ([line.partition(" (")[0] for line in rank.communicate(timeout=100)[0].splitlines()] for rank in ranks)
    unreadable = "checkpoint …/readable-1/step-00000005 cannot be read"
    assert first == [
        "LeganError worker 1: the data set is not on this node.",
        "CheckpointError the workers see different checkpoints in …/seen-0",
        f"LeganError worker 1: {unreadable}",
        "DataError no held-out image can be read.",
    ]
    assert second == [
        "DataError the data set is not on this node.",
        "CheckpointError the workers see different checkpoints in …/seen-1",
        f"CheckpointError {unreadable}",
        "LeganError worker 0: no held-out image can be read.",
    ]


def test_one_worker_alone_raises_its_own_error():
    with pytest.raises(DataError, match="nothing there"), all_or_none(Ranks()):
        raise DataError("nothing there")


def test_the_rates_of_a_step_are_set_whatever_a_checkpoint_brought():
    rates = AdamSettings(learning_rate=0.1, beta1=0.9, weight_decay=0.2, decay_from=0.5)
    optimiser = adam(nn.Linear(1, 1), AdamSettings())
    set_rates(optimiser, rates, TrainingSettings(steps=100), 75, 100)
    (group,) = optimiser.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (pytest.approx(0.05), (0.9, 0.999), 0.2)


def test_the_learning_rate_starts_again_or_goes_on():
    rates = AdamSettings(learning_rate=0.1, decay_from=0.5)
    optimiser = adam(nn.Linear(1, 1), rates)
    for keep_rate, expected in ((False, 0.1), (True, 0.08)):
        start = StartSettings(source="first", step=50, keep_rate=keep_rate)
        set_rates(optimiser, rates, TrainingSettings(steps=50, start=start), 60, 100)
        assert optimiser.param_groups[0]["lr"] == pytest.approx(expected)


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
from legan.platform.settings import AdamSettings, StartSettings, TrainingSettings
from legan.platform.training.parallel import adam
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


def test_moving_average_by_hand() -> None:
    average, network = nn.Linear(1, 1), nn.Linear(1, 1)
    for module, value in ((average, 1.0), (network, 3.0)):
        for parameter in module.parameters():
            nn.init.constant_(parameter, value)
    moving_average(average, network, 0.75)
    assert average.weight.item() == average.bias.item() == 1.5
    assert network.weight.item() == 3.0


def test_a_young_average_forgets_its_initial_weights() -> None:
    assert [young_decay(0.9, step) for step in (0, 1, 10)] == pytest.approx([1 / 10, 2 / 11, 11 / 20])
    assert young_decay(0.9, 81) == young_decay(0.9, 10**6) == 0.9
    assert young_decay(0.05, 0) == 0.05
