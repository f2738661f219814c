import pytest

from legan.platform.settings import AdamSettings, ClassifierSettings


@pytest.mark.parametrize(("step", "expected"), [(0, 0.1), (50, 0.1), (75, 0.05), (99, 0.002)])
def test_learning_rate_falls_linearly_over_the_second_half(step: int, expected: float) -> None:
    assert AdamSettings(learning_rate=0.1, decay_from=0.5).rate(step, 100) == pytest.approx(expected)


def test_learning_rate_is_constant_by_default() -> None:
    assert {AdamSettings(learning_rate=0.1).rate(step, 100) for step in range(100)} == {0.1}


def test_epochs_become_steps_rounded_up() -> None:
    assert ClassifierSettings(epochs=3).total_steps(48, 32) == 5  # 144 images in batches of 32
    assert ClassifierSettings(epochs=0.001).total_steps(48, 32) == 1
    assert ClassifierSettings(steps=7).total_steps(48, 32) == 7
