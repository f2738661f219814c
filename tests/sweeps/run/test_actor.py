"""The process of a trial, in this one: what Ray Tune calls, without Ray Tune."""

from collections.abc import Callable, Iterator

import pytest
from mlflow import MlflowClient

from legan.platform.tracking.places import default_tracking_uri
from legan.sweeps.run.actor import SweepContext, TrialActor
from legan.sweeps.search.study import STEP, suggested
from legan.sweeps.sweep import Outcome, Sweep, read_outcome, write_outcome

CONFIG = {"loss.q": 8.0}


@pytest.fixture
def sweep(new_sweep: Callable[..., Sweep]) -> Sweep:
    asha = {"metric": "val/l1_to_target", "grace": 2, "reduction": 2}
    parameters = {"loss.q": {"float": [5, 10]}}
    search = {"objectives": {"val/quality": "maximize"}, "parameters": parameters, "trials": 2, "pruning": "asha", "asha": asha}
    return new_sweep(suite=None, search=search)


@pytest.fixture
def actor(sweep: Sweep) -> Iterator[TrialActor]:
    actor = TrialActor.__new__(TrialActor)
    actor.config = CONFIG
    actor.setup(CONFIG, SweepContext(sweep, default_tracking_uri(), {}))
    yield actor
    actor.cleanup()


def test_a_trial_that_is_interrupted_is_not_one_that_was_stopped_early_and_goes_on(sweep: Sweep, actor: TrialActor) -> None:
    (trial,) = suggested(sweep, CONFIG)

    def found() -> tuple[str, bool]:
        client = MlflowClient(default_tracking_uri())
        (run,) = client.search_runs([client.get_experiment_by_name("legan").experiment_id])
        return run.info.status, "stopped_early" in run.data.tags

    assert [actor.step()[STEP] for _ in range(2)] == [1, 2]
    actor.cleanup()  # as Ray Tune does with all that it has when an error ends it
    assert read_outcome(sweep, trial.name) is None
    assert found() == ("KILLED", False)

    actor.reset_config(CONFIG)
    assert actor.step()[STEP] == 3
    write_outcome(sweep, trial.name, Outcome("stopped", {}))  # as the driver does with one that it has decided to stop
    actor.cleanup()
    outcome = read_outcome(sweep, trial.name)
    assert outcome is not None
    assert (outcome.status, outcome.metrics["step"]) == ("stopped", 3)
    assert found() == ("FINISHED", True)
