import signal
import subprocess
import sys
import time

import psutil
import pytest
from tests.platform.experiments.conftest import TRAINING

from legan.platform.experiments.experiment import experiments_home, open_experiment
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
def test_one_command_makes_table_4_also_when_it_was_ended_twice(tiny_data, translator, pairs, ready, tmp_path):
    words, log = command(tiny_data, translator, pairs, "--arm", "none", "--arm", "legan", "--name", "first"), tmp_path / "log"
    assert ended(words, log, "none-0: step 2/4", signal.SIGTERM) == 130
    assert "stopped; the same command goes on" in log.read_text()
    assert f"--resume {experiments_home(ready) / 'first' / 'trials' / 'none-0'}`" in log.read_text()
    assert ended([*words, "--at-once", "2"], log, "legan-0: step 2/4", signal.SIGKILL) == -signal.SIGKILL
    assert "translations: legan augment" not in log.read_text()

    whole = done(words)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "| Augmented by LEGAN | 48 (4) | 48 |" in whole.stdout
    experiment = open_experiment(experiments_home(ready) / "first")
    store = open_store(default_tracking_uri())
    ids = [
        run_in_store(folder).run_id for folder in (experiment.parent, *(experiment.trial(arm, 0) for arm in ("none", "legan")))
    ]
    assert all(each is not None and store.knows(each) for each in ids)

    # A network that is damaged since costs its own score alone.
    before = (experiment.evaluation("none", 0) / "verification.json").stat().st_mtime_ns
    (experiment.evaluation("legan", 0) / "verification.json").unlink()
    (experiment.trial("legan", 0) / "model" / "weights.safetensors").write_bytes(b"")
    failed = done(words)
    assert failed.returncode == 2
    assert "legan-0 failed" in failed.stderr
    assert "legan train" not in failed.stdout
    assert "Not scored yet: 1 training" in (experiment.report / "table4.md").read_text()
    assert (experiment.evaluation("none", 0) / "verification.json").stat().st_mtime_ns == before


@pytest.mark.long
@pytest.mark.kills
def test_one_command_makes_table_5(sparse_data, translator, ready):
    settings = [part for change in ("steps=4", "width=4", "batch_size=4", "log_every=1") for part in ("--set", change)]
    asked = ["--data", str(sparse_data), "--model", str(translator), "--seeds", "1", "--arm", "none"]
    made = done([sys.executable, "-m", "legan", "experiment", "expression", *asked, "--workers", "0", *settings])
    assert made.returncode == 0, made.stdout + made.stderr
    assert "| Original | 36 (4) | 0 |" in made.stdout
    assert "mean of all" in made.stdout
