import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from legan.platform.errors import NonFiniteLossError
from legan.platform.settings import TrainingSettings
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.loop import Due, Interrupted, Listener, due, load_for_export, progress_line, train
from legan.platform.training.parallel import Ranks, step_generator
from legan.platform.training.task import Goal


class Toy:
    """The smallest task: a linear layer with dropout after it, random inputs, Adam."""

    exports = "best"
    images_per_step = 4
    goal = Goal("val/error", "min")

    def __init__(self, total_steps: int, poison: int | None = None):
        torch.manual_seed(3)
        self.network = nn.Linear(3, 1)
        self.networks = {"toy": self.network}
        self.adam = torch.optim.Adam(self.network.parameters(), lr=0.05)
        self.total_steps, self.poison = total_steps, poison

    def batch(self, step):
        return {"x": torch.randn(4, 3, generator=step_generator(1, step))}

    def step(self, batch, step):
        loss = nn.functional.dropout(self.network(batch["x"]), 0.5).square().mean()
        if step == self.poison:
            loss = loss * math.nan
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return {"loss/fine": torch.ones(()), "loss/total": loss.detach()}

    def state_dict(self):
        return {"adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])

    def validate(self):
        return {"val/error": float(self.network.weight.detach().abs().sum())}

    def doubts(self):
        return ["it is a toy"]

    def samples(self):
        return {}


class Records:
    def __init__(self):
        self.metrics: dict[str, dict[int, float]] = {}

    def log_metrics(self, values, step):
        for key, value in values.items():
            self.metrics.setdefault(key, {})[step] = value

    def log_image(self, key, image, step):
        raise AssertionError("the toy has no pictures")


def settings(**values) -> TrainingSettings:
    return TrainingSettings(**{"steps": 20, "log_every": 5, "checkpoint_every": 5, "validate_every": 5, "keep_last": 2} | values)


def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tmp_path):
    whole, lines = Toy(20), []
    train(whole, settings(), tmp_path / "whole", Ranks(), Listener(Records(), lines.append))
    train(Toy(10), settings(), tmp_path / "parts", Ranks(), Listener(None, lines.append))
    rest = Toy(20)
    train(rest, settings(), tmp_path / "parts", Ranks(), Listener(None, lines.append))
    assert torch.equal(whole.network.weight, rest.network.weight)
    assert "resumed from step 10 of 20" in lines


def test_where_the_end_is_asked_for_the_step_becomes_a_checkpoint_and_the_run_goes_on_from_there(tmp_path):
    whole, records, calls = Toy(20), Records(), []
    train(whole, settings(), tmp_path / "whole", Ranks(), Listener(None, str))
    listener = Listener(records, str, end_asked=lambda: calls.append(1) or len(calls) == 7)
    with pytest.raises(Interrupted, match="step 7"):
        train(Toy(20), settings(), tmp_path / "parts", Ranks(), listener)
    assert [(checkpoint.step, dict(checkpoint.metrics)) for checkpoint in list_checkpoints(tmp_path / "parts")][-1] == (7, {})
    assert sorted(records.metrics["loss/total"]) == [5, 7]
    rest = Toy(20)
    train(rest, settings(), tmp_path / "parts", Ranks(), listener._replace(end_asked=None))
    assert torch.equal(whole.network.weight, rest.network.weight)


def test_a_training_that_ends_by_itself_is_not_interrupted(tmp_path):
    train(Toy(1), settings(), tmp_path, Ranks(), Listener(None, str, end_asked=lambda: True))
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [1]


def test_validations_are_said_and_which_is_the_best(tmp_path):
    lines = []
    errors = {3: 0.5, 6: 0.9, 9: 0.4}
    train(Scripted(9, errors), settings(validate_every=3), tmp_path, Ranks(), Listener(None, lines.append))
    assert [line for line in lines if "validation" in line] == [
        "step 3/9  on the validation split: error 0.5 (the best so far)",
        "step 6/9  on the validation split: error 0.9",
        "step 9/9  on the validation split: error 0.4 (the best so far)",
    ]


def test_doubts_are_said_at_validations_from_the_middle_on_and_not_at_the_end(tmp_path):
    lines = []
    train(Toy(20), settings(validate_every=5, log_every=4), tmp_path, Ranks(), Listener(None, lines.append))
    assert [line for line in lines if "toy" in line] == ["step 10/20  it is a toy", "step 15/20  it is a toy"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, ""), (10, "logged"), (20, "logged"), (25, "logged sampled"), (40, "logged"), (50, "logged validated sampled"),
        (100, "logged validated sampled"), (150, "logged validated sampled"), (170, "logged saved"),
        (340, "logged saved"), (850, "logged validated sampled saved"),
        (901, "logged validated sampled saved"),  # the last
    ],
)  # fmt: skip
def test_what_is_due_after_a_step(step, expected):
    asked = settings(log_every=10, validate_every=50, sample_every=25, checkpoint_every=170)
    assert due(step, asked, total=901) == Due(**{name: name in expected.split() for name in Due._fields})


def test_metrics_are_means_over_the_logged_steps(tmp_path):
    records, lines = Records(), []
    train(Toy(12), settings(), tmp_path, Ranks(), Listener(records, lines.append))
    assert sorted(records.metrics["loss/total"]) == [5, 10, 12]
    assert records.metrics["loss/fine"][10] == 1.0
    assert records.metrics["images_per_s"][12] > 0
    assert sorted(records.metrics["val/error"]) == [5, 10, 12]
    assert lines[-1].startswith("step 12/12  ")


def test_reports_have_a_validation_at_its_own_step_and_nowhere_else(tmp_path):
    told, task = {}, Toy(12)
    task.validate = lambda: {"val/error": float(len(told))}
    train(
        task,
        settings(log_every=2, checkpoint_every=6, validate_every=6),
        tmp_path,
        Ranks(),
        Listener(None, str, told.__setitem__),
    )
    assert {step: metrics.get("val/error") for step, metrics in told.items()} == {
        2: None, 4: None, 6: 2.0, 8: None, 10: None, 12: 5.0,
    }  # fmt: skip
    assert all(metrics["loss/fine"] == 1.0 for metrics in told.values())
    assert [checkpoint.metrics["val/error"] for checkpoint in list_checkpoints(tmp_path)] == [2.0, 5.0]


def test_a_nan_names_step_and_term_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(
        NonFiniteLossError, match="step 8: the loss term loss/total became nan; the last good checkpoint is step-00000005"
    ):
        train(Toy(20, poison=7), settings(), tmp_path, Ranks(), Listener(None, str))
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [5]


def test_a_nan_is_found_before_a_checkpoint_between_logs_is_written(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"step 3: .* no checkpoint had been written yet"):
        train(Toy(20, poison=2), settings(log_every=20, checkpoint_every=4), tmp_path, Ranks(), Listener(None, str))
    assert list_checkpoints(tmp_path) == []


def test_a_nan_is_found_before_anything_is_validated(tmp_path):
    task = Toy(20, poison=2)
    task.validate = lambda: pytest.fail("weights without meaning were validated")
    with pytest.raises(NonFiniteLossError, match="step 3: the loss term loss/total became nan"):
        train(task, settings(log_every=20, checkpoint_every=20, validate_every=4), tmp_path, Ranks(), Listener(None, str))


def test_weights_that_a_finite_loss_spoilt_are_never_written(tmp_path):
    task = Toy(20)
    task.network.weight.register_hook(lambda gradient: gradient * math.inf if task.adam.state_dict()["state"] else gradient)
    with pytest.raises(NonFiniteLossError, match=r"step 2: a weight of the toy became nan; the last good .* is step-00000001"):
        train(task, settings(checkpoint_every=1), tmp_path, Ranks(), Listener(None, str))
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [1]


def test_export_takes_the_best_checkpoint(tmp_path):
    task = Toy(20)
    train(task, settings(keep_last=10), tmp_path, Ranks(), Listener(None, str))
    errors = {checkpoint.step: checkpoint.metrics["val/error"] for checkpoint in list_checkpoints(tmp_path)}
    assert load_for_export(task, tmp_path) == min(errors, key=errors.get)
    assert task.validate()["val/error"] == min(errors.values())


class Scripted(Toy):
    """Its validations at the steps of ``errors`` give these."""

    def __init__(self, total_steps: int, errors: dict[int, float]):
        super().__init__(total_steps)
        self.errors, self.at = errors, 0

    def step(self, batch, step):
        self.at = step + 1
        return super().step(batch, step)

    def validate(self):
        return {"val/error": self.errors[self.at]}


PLATEAU = {2: 0.5, 4: 0.3, 6: 0.4, 8: 0.3, 10: 0.2, 12: 0.2, 14: 0.9, 16: 0.3, 18: 0.1, 20: 0.1}
"""Of three without a better one there are none before step 16, where the best is that of step 10."""


def patient(patience: int | None) -> Scripted:
    task = Scripted(20, PLATEAU)
    task.goal = Goal("val/error", "min", patience)
    return task


def test_a_training_ends_on_a_plateau_and_keeps_its_best_validation(tmp_path):
    asked, lines, records = settings(validate_every=2, checkpoint_every=5), [], Records()
    train(patient(3), asked, tmp_path, Ranks(), Listener(records, lines.append))
    assert sorted(records.metrics["val/error"]) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert lines[-1] == "step 16/20  ends here: the best validation, at step 10, is 3 validations ago"
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [10, 15, 16]
    assert load_for_export(patient(3), tmp_path) == 10
    train(patient(3), asked, tmp_path, Ranks(), Listener(records, lines.append))
    assert lines[-1] == "step 16/20  ends here: the best validation, at step 10, is 3 validations ago"
    assert max(records.metrics["loss/total"]) == 16


@pytest.mark.parametrize("patience", [None, 4])
def test_without_a_plateau_all_steps_are_done(tmp_path, patience):
    train(patient(patience), settings(validate_every=2), tmp_path, Ranks(), Listener(None, str))
    assert list_checkpoints(tmp_path)[-1].step == 20


@pytest.mark.parametrize("stop", [5, 11, 13])
def test_a_resumed_training_ends_on_the_same_plateau_with_the_same_weights(tmp_path, stop):
    asked, whole, calls = settings(validate_every=2, checkpoint_every=5), patient(3), []
    train(whole, asked, tmp_path / "whole", Ranks(), Listener(None, str))
    listener = Listener(None, str, end_asked=lambda: calls.append(1) or len(calls) == stop)
    with pytest.raises(Interrupted, match=f"step {stop}"):
        train(patient(3), asked, tmp_path / "parts", Ranks(), listener)
    rest = patient(3)
    train(rest, asked, tmp_path / "parts", Ranks(), Listener(None, str))
    assert rest.at == whole.at == 16
    assert torch.equal(whole.network.weight, rest.network.weight)
    assert load_for_export(whole, tmp_path / "whole") == load_for_export(rest, tmp_path / "parts") == 10
    assert torch.equal(whole.network.weight, rest.network.weight)


def test_each_thing_happens_by_its_own_interval(tmp_path):
    records, told = Records(), {}
    errors = {3: 0.5, 6: 0.9, 9: 0.4, 12: 0.4, 14: 0.6}
    pictures = []
    task = Scripted(14, errors)
    task.samples = lambda: pictures.append(task.at) or {}
    asked = settings(log_every=7, validate_every=3, sample_every=4, checkpoint_every=5, keep_last=10)
    train(task, asked, tmp_path, Ranks(), Listener(records, str, told.__setitem__))
    assert records.metrics["val/error"] == errors
    assert {step: metrics["val/error"] for step, metrics in told.items() if "val/error" in metrics} == errors
    assert pictures == [4, 8, 12, 14]
    assert sorted(told) == sorted(records.metrics["loss/total"]) == [3, 4, 5, 6, 7, 8, 9, 10, 12, 14]


@pytest.mark.parametrize("keep_last", [1, 10])
def test_the_best_validation_is_a_checkpoint_with_metrics_of_its_own_step(tmp_path, keep_last):
    errors = {3: 0.5, 6: 0.9, 9: 0.4, 12: 0.4, 14: 0.6}
    asked = settings(validate_every=3, checkpoint_every=5, keep_last=keep_last)
    task = Scripted(14, errors)
    train(task, asked, tmp_path, Ranks(), Listener(None, str))
    kept = {checkpoint.step: checkpoint.metrics.get("val/error") for checkpoint in list_checkpoints(tmp_path)}
    assert kept == ({3: 0.5, 5: None, 9: 0.4, 10: None, 14: 0.6} if keep_last == 10 else {9: 0.4, 14: 0.6})
    assert load_for_export(task, tmp_path) == 9


def test_what_is_best_is_not_forgotten_when_a_run_goes_on(tmp_path):
    asked = settings(validate_every=3, checkpoint_every=5, keep_last=1)
    train(Scripted(6, {3: 0.5, 6: 0.9}), asked, tmp_path, Ranks(), Listener(None, str))
    train(Scripted(14, {9: 0.7, 12: 0.6, 14: 0.8}), asked, tmp_path, Ranks(), Listener(None, str))
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [3, 14]


def test_a_run_that_goes_on_from_a_best_validation_ends_with_the_same_weights(tmp_path):
    asked = settings(validate_every=3, checkpoint_every=50)
    whole, rest = Scripted(14, dict.fromkeys((3, 6, 9, 12, 14), 1.0)), Scripted(14, {6: 2.0, 9: 2.0, 12: 2.0, 14: 2.0})
    train(whole, asked, tmp_path / "whole", Ranks(), Listener(None, str))
    (tmp_path / "parts").mkdir()
    shutil.copytree(tmp_path / "whole" / "step-00000003", tmp_path / "parts" / "step-00000003")
    train(rest, asked, tmp_path / "parts", Ranks(), Listener(None, str))
    assert torch.equal(whole.network.weight, rest.network.weight)


def test_a_validation_without_a_number_is_never_the_best(tmp_path):
    asked = settings(validate_every=3, checkpoint_every=50)
    train(Scripted(9, {3: math.nan, 6: 2.0, 9: math.nan}), asked, tmp_path, Ranks(), Listener(None, str))
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [6, 9]
    assert load_for_export(Toy(9), tmp_path) == 6


@pytest.mark.parametrize("what", ["validate_every", "sample_every"])
def test_weights_that_are_not_finite_are_not_looked_at(tmp_path, what):
    task = Toy(20)
    task.network.weight.register_hook(lambda gradient: gradient * math.inf if task.adam.state_dict()["state"] else gradient)
    task.validate = task.samples = lambda: pytest.fail("weights without meaning were looked at")
    rare = dict.fromkeys(("log_every", "validate_every", "sample_every", "checkpoint_every"), 20)
    with pytest.raises(NonFiniteLossError, match="step 2: a weight of the toy became nan"):
        train(task, settings(**rare | {what: 2}), tmp_path, Ranks(), Listener(Records(), str))


def test_progress_line_tells_rate_losses_and_time_left():
    line = progress_line(25, 100, 10.0, 4, {"loss/g_total": 1.2345, "loss/rec": 0.5})
    assert line == "step 25/100  10.0 images/s  0:30 left  g_total 1.23  rec 0.5"


KILLED = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_loop import Toy, settings
    from legan.platform.training.loop import Listener, train
    from legan.platform.training.parallel import Ranks
    say = lambda line: print(line, flush=True)
    train(Toy(3000), settings(checkpoint_every=7), Path(sys.argv[2]), Ranks(), Listener(None, say))
""")


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_process_goes_on_to_the_same_weights(tmp_path):
    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", KILLED, here, str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("step 105/"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    reached = list_checkpoints(tmp_path / "killed")[-1].step
    assert 98 <= reached < 3000
    end = reached + 50
    resumed, whole = Toy(end), Toy(end)
    train(resumed, settings(), tmp_path / "killed", Ranks(), Listener(None, str))
    train(whole, settings(), tmp_path / "whole", Ranks(), Listener(None, str))
    assert torch.equal(resumed.network.weight, whole.network.weight)
