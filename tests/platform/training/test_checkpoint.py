import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from legan.platform.errors import CheckpointError
from legan.platform.training import checkpoint as module
from legan.platform.training.checkpoint import (
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)


def network(value: float) -> nn.Module:
    linear = nn.Linear(3, 2)
    nn.init.constant_(linear.weight, value)
    return linear


def test_weights_and_state_come_back(tmp_path):
    saved = network(0.25)
    save_checkpoint(tmp_path, 7, {"generator": saved}, {"counter": 3, "moment": torch.ones(2)}, {"val/l1": 0.5})
    (checkpoint,) = list_checkpoints(tmp_path)
    loaded = network(0.0)
    state = load_checkpoint(checkpoint, {"generator": loaded})
    assert checkpoint.step == 7
    assert checkpoint.metrics == {"val/l1": 0.5}
    assert torch.equal(saved.weight, loaded.weight)
    assert state["counter"] == 3
    assert torch.equal(state["moment"], torch.ones(2))


def test_the_last_and_the_best_are_kept(tmp_path):
    for step, score in ((1, 0.9), (2, 0.1), (3, 0.8), (4, 0.7), (5, 0.6)):
        save_checkpoint(tmp_path, step, {"g": network(step)}, {}, {"val/l1": score})
        prune_checkpoints(tmp_path, 2, "val/l1", "min")
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [2, 4, 5]
    best = best_checkpoint(list_checkpoints(tmp_path), "val/l1", "min")
    assert best is not None
    assert best.step == 2
    assert best_checkpoint(list_checkpoints(tmp_path), "val/l1", "max").step == 4
    assert best_checkpoint(list_checkpoints(tmp_path), "val/other", "max") is None


def test_a_full_disk_leaves_the_checkpoints_before_and_no_draft(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"g": network(1)}, {}, {})

    def full(tensors, path):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left on device\); make room, then continue with --resume"):
        save_checkpoint(tmp_path, 2, {"g": network(2)}, {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_only_what_is_called_as_a_checkpoint_is_one_and_the_last_has_the_most_steps(tmp_path):
    for step in (99_999_998, 100_000_002):
        save_checkpoint(tmp_path, step, {"g": network(1)}, {}, {})
    for copy in ("step-backup", "step-00000003.old"):
        (tmp_path / copy).mkdir()
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [99_999_998, 100_000_002]


def test_a_checkpoint_of_other_networks_is_refused(tmp_path):
    checkpoint = save_checkpoint(tmp_path, 1, {"g": network(1)}, {}, {})
    with pytest.raises(CheckpointError, match="does not fit these networks"):
        load_checkpoint(checkpoint, {"g": nn.Linear(5, 2)})
    with pytest.raises(CheckpointError, match=r"cannot be read .*other\.safetensors"):
        load_checkpoint(checkpoint, {"other": network(1)})


@pytest.mark.parametrize("file", ["g.safetensors", "state.pt", "checkpoint.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"junk", None])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, file, content):
    checkpoint = save_checkpoint(tmp_path, 1, {"g": network(1)}, {"moments": torch.ones(9)}, {})
    whole = (checkpoint.path / file).read_bytes()
    (checkpoint.path / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    loaded = network(0)
    with pytest.raises(CheckpointError, match=r"step-00000001 .*; remove it to go on from the one before"):
        load_checkpoint(*list_checkpoints(tmp_path), {"g": loaded})
    assert torch.all(loaded.weight == 0)


def test_metrics_of_older_checkpoints_have_todays_names(tmp_path):
    old = {"validation/l1_to_target": 0.5, "eval/expression_accuracy": 0.25, "eval/rating_error": 1.5}
    save_checkpoint(tmp_path, 1, {"g": network(1)}, {}, old)
    save_checkpoint(tmp_path, 2, {"g": network(1)}, {}, {"val/l1_to_target": 0.75})
    first, _ = list_checkpoints(tmp_path)
    assert first.metrics == {"val/l1_to_target": 0.5, "val/expression_accuracy": 0.25, "val/rating_error": 1.5}
    assert best_checkpoint(list_checkpoints(tmp_path), "val/l1_to_target", "min") == first


def test_state_with_code_in_it_is_refused(tmp_path):
    checkpoint = save_checkpoint(tmp_path, 1, {"g": network(1)}, {}, {})
    torch.save({"evil": os.system}, checkpoint.path / "state.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(checkpoint, {"g": network(1)})


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    import torch
    from torch import nn
    from legan.platform.training.checkpoint import prune_checkpoints, save_checkpoint
    step = 0
    while True:
        step += 1
        big = nn.Linear(700, 700)
        nn.init.constant_(big.weight, step)
        state = {"step": step, "x": torch.full((400_000,), float(step))}
        save_checkpoint(Path(sys.argv[1]), step, {"g": big}, state, {"m": -step})
        prune_checkpoints(Path(sys.argv[1]), 2, "m", "max")
        print(step, flush=True)
""")


@pytest.mark.long
@pytest.mark.kills
def test_a_writer_killed_at_any_moment_leaves_only_whole_checkpoints(tmp_path):
    for delay in (0.02, 0.07, 0.11):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert list_checkpoints(tmp_path)
        for checkpoint in list_checkpoints(tmp_path):
            big = nn.Linear(700, 700)
            state = load_checkpoint(checkpoint, {"g": big})
            assert state["step"] == checkpoint.step
            assert float(state["x"][-1]) == checkpoint.step
            assert torch.all(big.weight == checkpoint.step)
        for folder in tmp_path.iterdir():
            if folder.name.startswith("step-"):
                for file in folder.iterdir():
                    file.unlink()
                folder.rmdir()
