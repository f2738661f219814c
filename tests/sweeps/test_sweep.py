"""A sweep's folder, as earlier versions wrote it and as others change it."""

from collections.abc import Callable

import pytest
import yaml

from legan.platform.errors import CheckpointError, ConfigError
from legan.sweeps.sweep import FILE, Sweep, open_sweep, read_outcome

NewSweep = Callable[..., Sweep]
ASHA = {
    "objectives": {"val/quality": "maximize"},
    "parameters": {"loss.q": {"float": [5, 10]}},
    "pruning": "asha",
    "asha": {"metric": "validation/l1_cycle"},
}
"""As it was written when validation's metrics were ``validation/…``."""


def test_old_names_of_validations_metrics_are_read(new_sweep: NewSweep) -> None:
    sweep = new_sweep(suite=None, search=ASHA)
    text = (sweep.folder / FILE).read_text()
    (sweep.folder / FILE).write_text(text.replace("val/l1_cycle", "validation/l1_cycle"))
    search = open_sweep(sweep.folder, str(sweep.folder)).settings.search
    assert search is not None
    assert search.asha.metric == "val/l1_cycle"

    (sweep.trials / "a-0").mkdir(parents=True)
    (sweep.trials / "a-0" / "outcome.json").write_text(
        '{"status": "stopped", "metrics": {"validation/l1_to_target": 0.5, "val/quality": 5, "step": 3}, "run_id": null}'
    )
    outcome = read_outcome(sweep, "a-0")
    assert outcome is not None
    assert outcome.metrics == {"val/l1_to_target": 0.5, "val/quality": 5, "step": 3}


@pytest.mark.parametrize("text", ["", "[]", '{"status": "finished"}', '{"status": 1, "metrics": 2, "run_id": 3}'])
def test_an_outcome_that_somebody_changed_is_told(new_sweep: NewSweep, text: str) -> None:
    sweep = new_sweep()
    (sweep.trials / "a-0").mkdir(parents=True)
    (sweep.trials / "a-0" / "outcome.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"outcome\.json cannot be read; remove it"):
        read_outcome(sweep, "a-0")


def test_what_is_wrong_in_a_sweeps_file_has_the_file_and_the_place(new_sweep: NewSweep) -> None:
    sweep = new_sweep()
    document = yaml.safe_load((sweep.folder / FILE).read_text())
    (sweep.folder / FILE).write_text(yaml.safe_dump(document | {"seeds": 0, "search": ASHA | {"points": [{"loss.q": 3}]}}))
    with pytest.raises(ConfigError) as caught:
        open_sweep(sweep.folder, str(sweep.folder))
    problems = caught.value.problems
    assert {problem.file for problem in problems} == {str(sweep.folder / FILE)}
    assert {problem.place for problem in problems} == {"seeds", "search.points.0.loss.q"}
