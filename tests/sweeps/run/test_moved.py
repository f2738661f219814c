"""Sweeps whose home, data or networks have been moved."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from tests.tiny import RATER

from legan.models.quality import QualityModel
from legan.platform.errors import ConfigError
from legan.platform.model import save_network
from legan.platform.tracking.places import default_tracking_uri, run_in_store
from legan.platform.training.checks import Inputs
from legan.platform.training.run_folder import open_run
from legan.sweeps.run.moved import with_inputs
from legan.sweeps.run.plan import remember_inputs
from legan.sweeps.run.progress import open_sweeps_run, settle
from legan.sweeps.run.trial import run_trial
from legan.sweeps.sweep import Sweep, open_sweep, suite_trials

NewSweep = Callable[..., Sweep]


def test_a_moved_home_takes_a_sweeps_networks_along(ready: Path, new_sweep: NewSweep) -> None:
    sweep = new_sweep(quality=ready / "Q" / "model")
    stored = yaml.safe_load((sweep.folder / "sweep.yaml").read_text())
    assert stored["quality"] == "../../Q/model"
    assert stored["data"] == str(sweep.settings.data)
    moved = ready.parent / "moved"
    ready.rename(moved)
    assert open_sweep(moved, "tiny").settings == sweep.settings.model_copy(update={"quality": moved / "Q" / "model"})


def test_a_sweep_goes_on_with_what_it_began_with_wherever_that_is_now(new_sweep: NewSweep, tmp_path: Path) -> None:
    sweep = new_sweep()
    remember_inputs(sweep, Inputs())
    begun = suite_trials(sweep.settings)[0]

    def die(step: int, metrics: object) -> None:
        raise OSError("the machine is tired")

    with pytest.raises(OSError, match="tired"):
        run_trial(sweep, begun, default_tracking_uri(), die)
    named = {name: getattr(sweep.settings, name) for name in ("data", "identity", "quality", "classifier", "matcher")}
    for name, path in named.items():
        shutil.copytree(path, tmp_path / "there" / name)
    there = {name: tmp_path / "there" / name for name in named}
    torch.manual_seed(5)
    save_network(tmp_path / "other", "quality", RATER, QualityModel(**RATER))

    with pytest.raises(ConfigError) as caught:
        with_inputs(sweep, there | {"quality": tmp_path / "other", "classifier": tmp_path / "nothing"}, Inputs())
    problems = {each.place: each.message for each in caught.value.problems}
    known = json.loads((sweep.folder / "inputs.json").read_text())
    assert sorted(problems) == ["--classifier", "--quality"]
    assert f"and tiny began with {known['quality'][:12]}; give what it began with" in problems["--quality"]
    assert open_sweep(sweep.folder, str(sweep.folder)).settings == sweep.settings

    with_inputs(sweep, there, Inputs())
    moved = open_sweep(sweep.folder, str(sweep.folder))
    assert {name: getattr(moved.settings, name) for name in named} == there
    assert run_trial(moved, begun, default_tracking_uri()).status == "finished"
    assert open_run(moved.trials, begun.name).settings.data == there["data"]


def test_the_q_that_judges_goes_along(
    new_sweep: NewSweep, judging_quality: Path, tmp_path: Path, networks: dict[str, Path]
) -> None:
    sweep = new_sweep(quality_judge=judging_quality)
    remember_inputs(sweep, Inputs())
    shutil.move(judging_quality, tmp_path / "there")
    with pytest.raises(ConfigError, match=r"--quality-judge: .* and tiny began with"):
        with_inputs(sweep, {"quality_judge": networks["quality"]}, Inputs())
    with_inputs(sweep, {"quality_judge": tmp_path / "there"}, Inputs())
    assert open_sweep(sweep.folder, str(sweep.folder)).settings.rated_by == tmp_path / "there"


def test_an_older_sweep_knows_its_data_by_its_trials(new_sweep: NewSweep, tmp_path: Path) -> None:
    sweep = new_sweep()
    run_trial(sweep, suite_trials(sweep.settings)[0], default_tracking_uri())
    torch.manual_seed(5)
    save_network(tmp_path / "other", "quality", RATER, QualityModel(**RATER))
    with pytest.raises(ConfigError, match=r"--quality: .* and tiny began with"):
        with_inputs(sweep, {"quality": tmp_path / "other"}, Inputs())


def test_what_a_sweep_does_not_have_cannot_be_moved(new_sweep: NewSweep, tmp_path: Path) -> None:
    sweep = new_sweep(identity=None, overrides=("loss.lambda_3=0",))
    with pytest.raises(ConfigError, match="--identity: tiny has none; leave it out"):
        with_inputs(sweep, {"identity": tmp_path}, Inputs())


def test_a_sweep_taken_out_of_its_home_has_its_data_and_networks_there(
    ready: Path, new_sweep: NewSweep, tmp_path: Path, networks: dict[str, Path], tiny_data: Path
) -> None:
    shutil.copytree(tiny_data, ready / "faces")
    shutil.copytree(networks["quality"], ready / "Q" / "model")
    sweep = new_sweep(data=ready / "faces", quality=ready / "Q" / "model")
    trial = suite_trials(sweep.settings)[0]
    assert run_trial(sweep, trial, default_tracking_uri()).status == "finished"

    taken = Path(shutil.move(sweep.folder, tmp_path / "archive" / "2026" / "mine"))
    opened = open_sweep(ready, str(taken))
    assert opened.settings == sweep.settings
    assert open_run(opened.trials, trial.name).settings.data == ready / "faces"
    moved = open_sweep(ready, str(with_inputs(opened, {"data": tiny_data}, Inputs()).folder))
    assert (moved.settings.data, moved.settings.quality) == (tiny_data, ready / "Q" / "model")


def test_the_ended_trials_of_a_copied_sweep_are_sent_anew(ready: Path, new_sweep: NewSweep) -> None:
    sweep, uri, said = new_sweep(), default_tracking_uri(), list[str]()
    open_sweeps_run(sweep, uri, said.append)[0].close()
    run_trial(sweep, suite_trials(sweep.settings)[0], uri)
    copied = open_sweep(ready, str(shutil.copytree(sweep.folder, ready / "sweeps" / "other")))
    parent, run_id = open_sweeps_run(copied, uri, said.append)
    settle(copied, uri, said.append)
    parent.close()
    first, second = (run_in_store(each.trials / suite_trials(each.settings)[0].name).run_id for each in (sweep, copied))
    assert first != second
    assert run_id != run_in_store(sweep.parent).run_id
    assert f"{copied.parent} is a copy of {sweep.parent}; from now on it is a run of its own in MLflow." in said
