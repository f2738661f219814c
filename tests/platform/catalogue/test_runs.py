"""Runs as they lie in a home, and as MLflow knows them."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from legan.cli import app
from legan.platform.catalogue.runs import find_run, list_runs
from legan.platform.errors import CheckpointError
from legan.platform.tracking.tracker import Tracker
from legan.platform.training.run_folder import Run, create_run

NewRun = Callable[..., Run]
HOLD = """
import sys
from pathlib import Path
from legan.platform.tracking.spool import Spool
spool = Spool(Path(sys.argv[1]))
print("held", flush=True)
input()
"""
"""Takes a record as a training does, until it is told to end."""


def printed(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_run_has_its_state(new_run: NewRun, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = new_run("finished", "grey").settings
    create_run(ready, "legan", settings, "begun")
    create_run(ready / "sweeps" / "up" / "trials", "legan", settings, "a-0", {"sweep": "up"})
    died = create_run(ready / "sweeps" / "up" / "trials", "legan", settings, "a-1", {"sweep": "up"})
    (died.folder / "outcome.json").write_text('{"status": "failed", "error": "its process died"}')
    for name, status, tags in (
        ("failed", "FAILED", {}),
        ("stopped", "FINISHED", {"stopped_early": "true"}),
        ("away", "KILLED", {}),
    ):
        run = create_run(ready, "legan", settings, name)
        tracker = Tracker(run.folder, experiment="legan", run_name=name, params={}, tags={"kind": "legan", **tags})
        assert tracker.close(status, timeout_s=60) == 0
    shutil.copytree(ready / "failed", ready / "interrupted")  # its last line is missing, as of a process that was killed
    record = ready / "interrupted" / "tracking.jsonl"
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:-1]))
    (ready / "interrupted" / "run.json").unlink()
    (ready / "damaged").mkdir()
    (ready / "damaged" / "config.yaml").write_text("kind: legan\nsettings: {stepps: 3}\n")
    shutil.rmtree(ready / "away")  # MLflow alone knows it
    created = shutil.copytree(ready / "begun", ready / "held")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(created)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        said: list[str] = []
        found = {run.name: run for run in list_runs(said.append)}
        holder.communicate(b"\n")

    assert {name: run.status for name, run in found.items()} == {
        "finished": "finished", "begun": "not begun", "sweeps/up/trials/a-0": "not begun",
        "sweeps/up/trials/a-1": "failed", "failed": "failed",
        "stopped": "stopped early", "interrupted": "interrupted", "away": "interrupted", "held": "running",
    }  # fmt: skip
    assert (found["away"].folder, found["away"].kind) == (None, "legan")
    assert found["finished"].val == {"val/l1_to_target": [(2, 0.4), (4, 0.2), (6, 0.3)]}
    assert found["finished"].best("val/l1_to_target") == (4, 0.2)
    assert len(said) == 1
    assert said[0].startswith("damaged is left out: ")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said.clear()
    assert "away" not in {run.name for run in list_runs(said.append)}
    assert said[-1].startswith("Runs of other homes are not listed: MLflow at http://127.0.0.1:9 cannot be asked")


def test_a_run_is_found_by_folder_name_and_id_here_and_in_mlflow(new_run: NewRun, ready: Path) -> None:
    run = new_run("first", "grey")
    here = find_run("first")
    assert find_run(str(run.folder)) == here
    shutil.move(run.folder, ready.parent / "elsewhere")
    assert here.run_id is not None
    for name in ("first", here.run_id):
        there = find_run(name)
        assert (there.folder, there.run_id, there.val, there.data) == (None, here.run_id, here.val, here.data)
        assert there.settings["batch_size"] == str(here.settings["batch_size"])
    with pytest.raises(CheckpointError, match="there is no run 'second'; `legan runs list` shows those there are"):
        find_run("second")


def test_the_commands_print_lines_and_json(new_run: NewRun) -> None:
    first, second = new_run("first", "grey"), new_run("second", "grey", batch_size=8, seed=3)
    lines = printed("runs", "list").splitlines()
    assert [line.split()[0] for line in lines] == ["run", "second", "first"]
    assert re.match(r"first +legan +finished +– +l1_to_target 0\.3 \(best 0\.2\) +negatives +\d{4}-", lines[2])
    assert json.loads(printed("runs", "list", "--json"))[1]["val"] == {"val/l1_to_target": [[2, 0.4], [4, 0.2], [6, 0.3]]}

    shown = printed("runs", "show", "first")
    assert re.search(r"^L1 to target ↓ +0\.3 +0\.2 at step 4$", shown, re.MULTILINE)
    assert re.search(r"^loss\.lambda_3 +0\.0$", shown, re.MULTILINE)
    assert f"folder       {first.folder}" in shown
    assert json.loads(printed("runs", "show", "first", "--json"))["status"] == "finished"

    compared = printed("runs", "compare", "first", second.folder)
    assert re.search(r"^batch_size +4 +8$", compared, re.MULTILINE)
    assert re.search(r"^seed +0 +3$", compared, re.MULTILINE)
    assert re.search(r"^L1 to target ↓, best +0\.2 at step 4 +0\.2 at step 4$", compared, re.MULTILINE)
    assert "workers" not in compared
    values = json.loads(printed("runs", "compare", "first", "second", "--json"))
    assert (values["runs"], values["settings"], values["same_data"]) == (
        ["first", "second"], {"seed": ["0", "3"], "batch_size": ["4", "8"]}, True,
    )  # fmt: skip
    assert values["validation"]["val/l1_to_target"][0] == {"last": [6, 0.3], "best": [4, 0.2]}
    assert "They have the same settings." in printed("runs", "compare", "first", "first")


def test_runs_on_different_data_do_not_compare(new_run: NewRun, tiny_data: Path) -> None:
    new_run("first", "grey")
    new_run("second", "noise", data=tiny_data)
    assert "They were trained on different data, so their validations don't compare." in printed(
        "runs", "compare", "first", "second"
    )
