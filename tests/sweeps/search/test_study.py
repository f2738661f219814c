import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from legan.platform.config import check_settings
from legan.platform.errors import ConfigError
from legan.platform.settings import LeganSettings
from legan.platform.tracking.spool import Spool
from legan.platform.training.tasks.translator import goal_of
from legan.sweeps.search.space import asha_problems, edges, last_rung
from legan.sweeps.search.study import (
    UNFINISHED,
    counted,
    counted_trials,
    open_study,
    scheduler,
    searcher,
    settle,
    suggested,
    suggestion_key,
)
from legan.sweeps.sweep import Outcome, SweepSettings, Trial, create_sweep, known_trials, open_sweep, write_outcome

DRIVER = Path(__file__).with_name("cheap_search.py")
PARAMETERS = {
    "loss.lambda_4": {"choices": [0, 0.5, 2]},
    "loss.q": {"float": [5, 10], "when": {"loss.lambda_4": [0.5, 2]}},
    "adam.learning_rate": {"float": [1e-5, 1e-3], "log": True},
    "generator.width": {"int": [8, 64], "step": 8},
}
ONE = {"val/quality": "maximize"}
TWO = {"val/quality": "maximize", "val/fd_identity": "minimize"}


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def make(home, name="mine", seeds=1, **search):
    search = {"objectives": ONE, "parameters": PARAMETERS, "trials": 12} | search
    settings, problems = check_settings(
        SweepSettings, {"search": search, "seeds": seeds, "data": "d", "classifier": "c", "matcher": "m"}
    )
    assert settings is not None, problems
    return create_sweep(home, name, settings)


def quality(changes):
    """A cheap stand-in for a training: highest at q = 8, learning rate 1e-4 and λ4 = 0.5."""
    rate = math.log10(changes["adam.learning_rate"])
    return 10 - (changes.get("loss.q", 5) - 8) ** 2 - (rate + 4) ** 2 - abs(changes["loss.lambda_4"] - 0.5)


def run_through(search, at_most=1000, objectives=ONE):
    """Ask and tell one after the other; the suggestions."""
    made = []
    while len(made) < at_most and (changes := search.suggest(f"t{len(made)}")) != Searcher.FINISHED:
        values = dict(zip(objectives, (quality(changes), changes["generator.width"] / 8), strict=False))
        search.on_trial_complete(f"t{len(made)}", values)
        made.append(changes)
    return made


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "gp"])
@pytest.mark.parametrize("objectives", [ONE, TWO])
def test_every_sampler_suggests_as_many_as_asked_the_paper_first(tmp_path, sampler, objectives):
    sweep = make(tmp_path, sampler=sampler, objectives=objectives, trials=12)
    made = run_through(searcher(sweep), objectives=objectives)
    assert len(made) == 12
    assert len({suggestion_key(changes) for changes in made}) == 12
    assert made[0] == {"loss.lambda_4": 0.5, "loss.q": 8.0, "adam.learning_rate": 1e-4, "generator.width": 64}
    study = open_study(sweep)
    assert [trial.state for trial in counted(study)] == [TrialState.COMPLETE] * 12
    assert [direction.name.lower() for direction in study.directions] == list(objectives.values())
    assert counted(study)[0].values[0] == pytest.approx(10)


def test_a_study_goes_on_in_another_sweep_and_counts_over_both(tmp_path):
    shared = {"study": "ours", "storage": f"sqlite:///{tmp_path / 'shared.db'}", "trials": 14}
    first, second = make(tmp_path, "first", **shared), make(tmp_path, "second", **shared)
    made = run_through(searcher(first), at_most=9)
    more = run_through(searcher(second))
    assert (len(made), len(more)) == (9, 5)
    assert len({suggestion_key(changes) for changes in made + more}) == 14
    assert run_through(searcher(first)) == []


def test_the_same_seed_suggests_the_same_and_a_reopened_study_something_else(tmp_path):
    one, again = make(tmp_path, "one", sampler="random"), make(tmp_path, "again", sampler="random")
    first = run_through(searcher(one), at_most=4)
    assert run_through(searcher(again), at_most=4) == first
    other = make(tmp_path, "other", sampler="random", seed=1)
    assert run_through(searcher(other), at_most=4)[1:] != first[1:]
    later = run_through(searcher(one), at_most=3)
    assert not {suggestion_key(changes) for changes in later} & {suggestion_key(changes) for changes in first}


def test_a_small_space_ends_when_it_is_exhausted(tmp_path):
    sweep = make(tmp_path, parameters={"loss.lambda_4": {"choices": [0, 0.5]}, "loss.q": {"choices": [7, 8]}}, sampler="random")
    search = searcher(sweep)
    made = [search.suggest(str(index)) for index in range(4)]
    assert len({suggestion_key(changes) for changes in made}) == 4
    assert search.suggest("one more") == Searcher.FINISHED
    assert len(counted(open_study(sweep))) == 4


def test_a_suggestion_is_a_training_a_seed_with_names_that_follow_from_it(tmp_path):
    sweep = make(tmp_path, seeds=2)
    config = {"loss.lambda_4": 0, "adam.learning_rate": 1 / 30000, "generator.width": 8, "of the driver": 3}
    trials = suggested(sweep, config)
    assert [trial.seed for trial in trials] == [0, 1]
    assert trials[0].changes == {"loss.lambda_4": 0, "adam.learning_rate": 1 / 30000, "generator.width": 8}
    assert trials[0].variant == trials[1].variant == "lambda_4=0 learning_rate=3.33333e-05 width=8"
    assert [trial.name[10:] for trial in trials] == ["-0", "-1"]
    reordered = {"generator.width": 8.0, "adam.learning_rate": 1 / 30000 * (1 + 1e-15), "loss.lambda_4": False * 1.0}
    assert suggested(sweep, reordered)[0].name == trials[0].name
    assert suggested(sweep, config | {"loss.lambda_4": 0.5})[0].name != trials[0].name
    both = {"generator.width": {"int": [8, 64]}, "discriminator.width": {"int": [8, 64]}}
    wide = suggested(make(tmp_path, "wide", parameters=both), {"generator.width": 8, "discriminator.width": 9})
    assert wide[0].variant == "generator.width=8 discriminator.width=9"


def test_a_trial_that_failed_before_it_had_settings_is_one_of_the_searchs(tmp_path):
    sweep = make(tmp_path)
    write_outcome(sweep, "0f5c1a-1", Outcome("failed", {}, "no GPU here"))
    assert known_trials(sweep) == [Trial("0f5c1a-1", "0f5c1a", 1, {})]


def test_settling_offers_again_what_was_under_way_and_nothing_else(tmp_path):
    shared = {"study": "ours", "storage": f"sqlite:///{tmp_path / 'shared.db'}", "trials": 6}
    mine, other = make(tmp_path, "mine", **shared), make(tmp_path, "other", **shared)
    search, theirs = searcher(mine), searcher(other)
    first, second, third = search.suggest("1"), search.suggest("2"), theirs.suggest("3")
    search.on_trial_complete("1", {"val/quality": 3.0})
    assert settle(mine) == 1
    assert settle(mine) == 0
    again = searcher(mine)
    assert again.suggest("4") == second
    rest = [again.suggest(str(index)) for index in range(5, 8)]
    assert again.suggest("9") == Searcher.FINISHED
    keys = {suggestion_key(changes) for changes in (first, second, third, *rest)}
    assert len(keys) == 6
    states = [trial.state for trial in counted(open_study(mine))]
    assert states == [TrialState.COMPLETE, *[TrialState.RUNNING] * 5]
    theirs.on_trial_complete("3", {"val/quality": 1.0})


def test_a_suggestion_that_the_database_interrupts_is_offered_again(tmp_path, monkeypatch):
    sweep = make(tmp_path)
    search = searcher(sweep)
    draw = optuna.trial.Trial.suggest_float

    def interrupted(trial, name, *arguments, **options):
        if name == "adam.learning_rate":
            raise optuna.exceptions.StorageInternalError("the disk is full")
        return draw(trial, name, *arguments, **options)

    monkeypatch.setattr(optuna.trial.Trial, "suggest_float", interrupted)
    with pytest.raises(ConfigError, match="cannot be used"):
        search.suggest("first")
    monkeypatch.undo()
    assert settle(sweep) == 1
    assert counted(open_study(sweep)) == []
    assert searcher(sweep).suggest("again")["loss.q"] == 8.0  # the paper's values come first, as they would have


def test_a_trial_that_cannot_be_finished_ends_the_search_and_is_offered_again(tmp_path):
    search = searcher(sweep := make(tmp_path))
    first, second = search.suggest("1"), search.suggest("2")
    search.on_trial_complete("1", {UNFINISHED: "the disk is full"})
    assert search.suggest("3") == Searcher.FINISHED
    search.on_trial_complete("2", {"val/quality": 3.0})
    assert settle(sweep) == 1
    again = searcher(sweep)
    assert again.suggest("4") == first != second
    assert again.suggest("5") != Searcher.FINISHED


def test_a_database_that_goes_away_is_said_in_a_sentence(tmp_path):
    search = searcher(sweep := make(tmp_path))
    search.suggest("1")
    (sweep.folder / "study.db").write_bytes(b"no database " * 1000)
    for ask in (
        lambda: search.suggest("2"),
        lambda: search.on_trial_complete("1", {"val/quality": 3.0}),
        lambda: counted_trials(sweep),
    ):
        with pytest.raises(
            ConfigError, match=r"search\.storage: the study in the sweep's folder cannot be used \(.*not a database"
        ):
            ask()


def test_a_trial_that_fails_or_lacks_a_number_fails_and_one_that_is_stopped_is_pruned(tmp_path):
    search = searcher(sweep := make(tmp_path))
    ends = [(None, True), ({"val/quality": math.nan}, False), ({"step": 3}, False)]
    ends += [({"val/quality": 2.0}, True), ({"val/quality": 2}, False)]
    for index, (result, error) in enumerate(ends):
        search.suggest(str(index))
        search.on_trial_result(str(index), {"step": 1, "loss/g_total": 3.0})
        search.on_trial_complete(str(index), result, error)
    assert [trial.state.name for trial in counted(open_study(sweep))] == ["FAIL", "FAIL", "FAIL", "FAIL", "COMPLETE"]
    asha = searcher(sweep := make(tmp_path, "asha", pruning="asha", objectives={"val/fd_identity": "minimize"}))
    asha.suggest("0")
    asha.on_trial_result("0", {"step": 40, "val/l1_to_target": 0.3})
    asha.on_trial_complete("0", {"step": 40, "val/l1_to_target": 0.3})
    asha.suggest("1")
    asha.on_trial_complete("1", {"val/fd_identity": math.inf})
    pruned, failed = counted(open_study(sweep))
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {40: 0.3})
    assert failed.state == TrialState.FAIL


def test_a_trial_that_is_stopped_is_pruned_though_it_has_validated_by_the_objective_on_its_way(tmp_path):
    search = searcher(sweep := make(tmp_path, pruning="asha", objectives={"val/l1_to_target": "minimize"}))
    ends = ({"step": 40, "val/l1_to_target": 0.3}, {"val/l1_to_target": 0.2})
    for index, result in enumerate(ends):
        search.suggest(str(index))
        search.on_trial_complete(str(index), result)
    stopped, ended = counted(open_study(sweep))
    assert (stopped.state, stopped.values) == (TrialState.PRUNED, None)
    assert (ended.state, ended.values) == (TrialState.COMPLETE, [0.2])


def test_asha_stops_the_worst_before_the_last_step(tmp_path):
    training = LeganSettings(steps=800, validate_every=100, loss={"lambda_3": 0, "lambda_4": 0})
    assert last_rung(training) == 700
    assert last_rung(training.model_copy(update={"steps": 850})) == 800
    assert last_rung(training.model_copy(update={"steps": None, "epochs": 3})) == 0
    assert scheduler(make(tmp_path), training) is None
    sweep = make(tmp_path, "asha", pruning="asha", asha={"grace": 100, "reduction": 2})
    asha = scheduler(sweep, training)
    assert asha.metric.replace("to_target", "cycle") == goal_of(None).metric == "val/l1_cycle"
    search = sweep.settings.search
    assert asha_problems(search, training) == []
    assert "asha counts steps" in asha_problems(search, training.model_copy(update={"steps": None, "epochs": 3}))[0].message
    assert "100 of 100 steps" in asha_problems(search, training.model_copy(update={"steps": 100}))[0].message

    class Some:
        def __init__(self, name):
            self.trial_id = name

    trials = [Some(str(index)) for index in range(4)]
    for trial in trials:
        asha.on_trial_add(None, trial)
    decisions = {}
    for step in (100, 200, 400, 700, 800):
        for distance, trial in enumerate(trials):
            if decisions.get(trial.trial_id, ("CONTINUE",))[0] == "CONTINUE":
                report = {"step": step, "val/l1_to_target": float(distance)}
                decisions[trial.trial_id] = (asha.on_trial_result(None, trial, report), step)
    assert decisions["0"] == ("CONTINUE", 800)
    assert decisions["3"] == ("STOP", 100)
    assert asha.on_trial_result(None, trials[0], {"step": 50}) == "CONTINUE"


def test_edges_touch_all_choices_and_both_ends(tmp_path):
    assert edges(make(tmp_path).settings.search) == [
        *({"loss.lambda_4": value} for value in (0, 0.5, 2)),
        *({"loss.lambda_4": 0.5, "loss.q": value} for value in (5, 10)),
        *({"adam.learning_rate": value} for value in (1e-5, 1e-3)),
        *({"generator.width": value} for value in (8, 64)),
    ]


def test_another_study_of_that_name_and_a_storage_that_is_away_are_said_in_a_sentence(tmp_path):
    shared = {"study": "ours", "storage": f"sqlite:///{tmp_path / 'shared.db'}"}
    run_through(searcher(make(tmp_path, "first", **shared)), at_most=3)
    with pytest.raises(ConfigError, match=r"search\.objectives: the study ours has \{'val/quality': 'maximize'\}"):
        searcher(make(tmp_path, "second", objectives={"val/fid": "minimize"}, **shared))
    choices = PARAMETERS | {"loss.lambda_4": {"choices": [0, 0.5]}}
    with pytest.raises(ConfigError, match=r"search\.parameters\.loss\.lambda_4: the study ours has Categorical"):
        searcher(make(tmp_path, "third", parameters=choices | {"loss.q": {"float": [5, 10]}}, **shared))
    with pytest.raises(ConfigError, match=r"search\.storage: the study in sqlite:////nowhere/x\.db cannot be used"):
        searcher(make(tmp_path, "fourth", storage="sqlite:////nowhere/x.db"))
    with pytest.raises(ConfigError, match=r"search\.storage: the study in postgresql://.* cannot be used .*refused"):
        searcher(make(tmp_path, "fifth", storage="postgresql://me@127.0.0.1:1/db"))


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_driver_is_continued_by_another_process_without_repeats(tmp_path):
    sweep = make(tmp_path, trials=6)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = [sys.executable, str(DRIVER), str(sweep.folder)]
    (sweep.folder / "hold").touch()  # what starts after two trials have ended waits for its killer

    def under_way():
        return {path.parent.name for path in sweep.trials.glob("*/starts") if not path.with_name("outcome.json").exists()}

    with (tmp_path / "log").open("wb") as log:
        driver = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until(lambda: len(list(sweep.trials.glob("*/outcome.json"))) >= 2 and under_way(), driver)
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            killed = under_way()
        finally:
            _end(driver)
        (sweep.folder / "hold").unlink()
        second = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            assert second.wait(180) == 0, (tmp_path / "log").read_text()
        finally:
            _end(second)
    sweep = open_sweep(tmp_path, "mine")
    trials = counted(open_study(sweep))
    assert killed
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert len({suggestion_key(trial.params) for trial in trials}) == 6
    assert {folder.name for folder in sweep.trials.iterdir()} == {f"{suggestion_key(trial.params)}-0" for trial in trials}
    for folder in sweep.trials.iterdir():
        starts = (folder / "starts").read_text().split()
        assert len(starts) == (2 if folder.name in killed else 1), folder.name
        told = json.loads((folder / "outcome.json").read_text())["metrics"]["val/quality"]
        (trial,) = (trial for trial in trials if folder.name.startswith(suggestion_key(trial.params)))
        assert told == pytest.approx(trial.value)


def _wait_until(holds, process=None):
    deadline = time.monotonic() + 90
    while not holds():
        assert process is None or process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


@pytest.mark.parametrize("change", [shutil.move, shutil.copytree])
def test_a_renamed_or_copied_sweep_goes_on_with_its_study(tmp_path, change):
    sweep = make(tmp_path)
    search = searcher(sweep)
    first, second = search.suggest("0"), search.suggest("1")
    search.on_trial_complete("0", {"val/quality": quality(first)})
    changed = open_sweep(tmp_path, change(sweep.folder, sweep.folder.with_name("other")))
    assert counted_trials(changed) == 2
    assert settle(changed) == 1, "what was under way is offered again"
    assert searcher(changed).suggest("0") == second
    assert optuna.get_all_study_names(f"sqlite:///{changed.folder}/study.db") == ["mine"]


def test_a_renamed_sweep_knows_what_it_left_under_way_in_a_shared_study(tmp_path):
    shared = f"sqlite:///{tmp_path}/shared.db"
    sweep, other = make(tmp_path, storage=shared, study="s"), make(tmp_path, name="other", storage=shared, study="s")
    spool = Spool(sweep.parent)
    spool.append("open", {"experiment": "e", "run_name": "mine", "params": {}, "tags": {"sweep": "mine"}})
    spool.close()
    searcher(sweep).suggest("0")
    searcher(other).suggest("0")
    renamed = open_sweep(tmp_path, str(shutil.move(sweep.folder, tmp_path / "renamed")))
    assert settle(renamed) == 1
