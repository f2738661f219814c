import time
from pathlib import Path

import pytest
import torch
from tests.platform.training.test_checks import SMALL

from legan.platform.config import resolve
from legan.platform.training import reckon
from legan.platform.training.checks import Facts, Inputs, trainable
from legan.platform.training.reckon import reckoned


def facts_of(data: Path, kind: str = "legan", *overrides: str) -> Facts:
    own = SMALL if kind == "legan" else ["workers=0"]
    return trainable(resolve(kind, "quick", [*own, *overrides], {"data": data}), Inputs())


def test_the_time_is_that_of_all_steps_that_are_left(tiny_data: Path) -> None:
    asked = facts_of(tiny_data, "legan", "steps=1000000")
    words = reckoned(asked, Inputs(), 0, elsewhere=False).split()
    seconds = float(words[words.index("of") + 1])
    hours, minutes, rest = map(int, words[2].split(":"))
    assert hours * 3600 + minutes * 60 + rest == pytest.approx(1_000_000 * seconds, rel=0.1)
    assert " for 1 steps of " in reckoned(asked, Inputs(), 999_999, elsewhere=False)


def test_what_is_measured_changes_nothing_of_the_training(tiny_data: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    reckoned(facts_of(tiny_data, "classifier"), Inputs(), 0, elsewhere=False)
    assert list(tmp_path.iterdir()) == []
    torch.set_rng_state(before)


def test_steps_that_take_long_are_reckoned_from_smaller_ones(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reckon, "BUDGET_S", 0.01)
    begun = time.monotonic()
    said = reckoned(facts_of(tiny_data, "legan", "batch_size=400"), Inputs(), 0, elsewhere=False)
    assert time.monotonic() - begun < 5
    assert "(1 made here, of 1 of 400 images a minibatch)" in said


def test_a_training_of_one_step_has_a_time_too(tiny_data: Path) -> None:
    asked = facts_of(tiny_data, "legan", "steps=1", "adam.decay_from=1")
    assert reckoned(asked, Inputs(), 0, elsewhere=False).startswith("time: about 0:0")


def test_nothing_is_known_of_other_machines(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = facts_of(tiny_data, "legan", "workers=2")
    assert reckoned(asked, Inputs(), 0, elsewhere=True) == "time: not reckoned, since other machines train"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu = asked._replace(settings=asked.settings.model_copy(update={"gpu": True}))
    assert "not reckoned" in reckoned(on_gpu, Inputs(), 0, elsewhere=False)
