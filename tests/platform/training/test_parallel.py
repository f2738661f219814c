import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.platform.training.test_loop import Toy, settings

from legan.platform.errors import DataError
from legan.platform.training.loop import Listener, train
from legan.platform.training.parallel import Ranks, all_or_none

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
