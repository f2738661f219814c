import pytest

from legan.platform.evaluation.metric_names import canonical


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("validation/l1_to_target", "val/l1_to_target"),
        ("val/l1_to_target", "val/l1_to_target"),
        ("eval/accuracy", "eval/accuracy"),
        ("loss/g_total", "loss/g_total"),
        ("validation", "validation"),
        ("loss/validation/x", "loss/validation/x"),
    ],
)
def test_old_names_of_validation_metrics_are_read_as_those_of_today(written: str, today: str) -> None:
    assert canonical(written) == today
