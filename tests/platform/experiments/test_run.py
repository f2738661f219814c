import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from tests.platform.experiments.conftest import TRAINING

from legan.platform.experiments.experiment import experiments_home, open_experiment
from legan.platform.experiments.run import each_of
from legan.platform.experiments.steps import Step, StepFailedError, Steps
from legan.platform.processors import interruptible
from legan.platform.tracking.places import default_tracking_uri, run_in_store
from legan.platform.tracking.tracker import open_store


def command(tiny_data, translator, pairs, *more):
    settings = [part for change in TRAINING for part in ("--set", change)]
    asked = ["--data", str(tiny_data), "--model", str(translator), "--protocol", "table", "--list", str(pairs), "--seeds", "1"]
    return [sys.executable, "-m", "legan", "experiment", "verification", *asked, "--workers", "0", *settings, *more]


def done(words):
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=250)


def ended(words, log, word, number):
    """Start the command and end it once it has said a word; its exit code, when none of its steps is left."""
    with log.open("w") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 200
        while word not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.send_signal(number)
        code = process.wait(60)
    while any("first/trials" in " ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return code


@pytest.mark.long
@pytest.mark.kills
def test_one_command_makes_table_4_also_when_it_was_killed(tiny_data, translator, pairs, ready, tmp_path):
    words, log = command(tiny_data, translator, pairs, "--arm", "none", "--arm", "legan", "--name", "first"), tmp_path / "log"
    assert ended(words, log, "none-0: step 2/4", signal.SIGKILL) == -signal.SIGKILL
    whole = done([*words, "--at-once", "2"])
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "translations: legan augment" not in whole.stdout
    assert "| Augmented by LEGAN | 48 (4) | 48 |" in whole.stdout
    experiment = open_experiment(experiments_home(ready) / "first")
    store = open_store(default_tracking_uri())
    ids = [
        run_in_store(folder).run_id for folder in (experiment.parent, *(experiment.trial(arm, 0) for arm in ("none", "legan")))
    ]
    assert all(each is not None and store.knows(each) for each in ids)


def test_what_fails_is_told_and_the_others_go_on():
    said: list[str] = []
    done: list[str] = []

    def fails() -> None:
        raise StepFailedError("first failed (exit code 2): it said nothing")

    failed = each_of(Steps(said.append), {"first": fails, "second": lambda: done.append("second")}, 1, said.append)
    assert failed == ["first failed (exit code 2): it said nothing"]
    assert done == ["second"]
    assert said == ["first failed (exit code 2): it said nothing; the others go on"]


@pytest.mark.kills
def test_sigterm_ends_a_training_with_its_checkpoint(tmp_path, tiny_data, ready):
    said: list[str] = []
    steps = Steps(said.append)
    train = ("train", "identity", "--data", str(tiny_data), "--workers", "0", "--name", "long", "--set", "steps=100000")
    settings = ("--set", "network=lightcnn9", "--set", "width=0.125", "--set", "batch_size=4", "--set", "log_every=1")
    step = Step("first", (*train, *settings), (tmp_path / "done").is_file)

    def end_it() -> None:
        deadline = time.monotonic() + 100
        while not any("images/s" in line for line in said) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_it).start()
    with pytest.raises(KeyboardInterrupt), interruptible():
        each_of(steps, {"first": lambda: steps.run(step)}, 1, said.append)
    assert any("continue with" in line for line in said), said[-5:]
    with pytest.raises(KeyboardInterrupt):
        steps.run(Step("second", ("--version",), (tmp_path / "done").is_file))
