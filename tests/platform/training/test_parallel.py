import subprocess
import sys

import pytest
from torch import distributed as dist

from legan.platform.errors import DataError, LeganError
from legan.platform.training.parallel import Ranks, all_or_none


def begin(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    with all_or_none(Ranks(rank, 2)):
        pass
    try:
        with all_or_none(Ranks(rank, 2)):
            if rank == 1:
                raise DataError("the data set is not on this node.")
    except LeganError as error:
        print(type(error).__name__, error)
    dist.destroy_process_group()


def test_what_stops_one_worker_stops_all_instead_of_being_waited_for(tmp_path):
    script = "import runpy, sys; runpy.run_path(sys.argv[1])['begin'](int(sys.argv[2]), sys.argv[3])"
    command = [sys.executable, "-c", script, __file__]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    assert [rank.communicate(timeout=100)[0] for rank in ranks] == [
        "LeganError worker 1: the data set is not on this node.\n",
        "DataError the data set is not on this node.\n",
    ]


def test_one_worker_alone_raises_its_own_error():
    with pytest.raises(DataError, match="nothing there"), all_or_none(Ranks()):
        raise DataError("nothing there")
