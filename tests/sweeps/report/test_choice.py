from pathlib import Path

import pytest

from legan.platform.errors import ConfigError
from legan.sweeps.report.choice import choose, direction_of
from legan.sweeps.report.results import TrialResult
from legan.sweeps.sweep import Outcome, Sweep, SweepSettings, Trial

SETTINGS = SweepSettings(suite="q", data=Path("d"), classifier=Path("c"), matcher=Path("m"))
SWEEP = Sweep(Path("s"), SETTINGS)


def result(variant: str, seed: int, **metrics: float) -> TrialResult:
    outcome = Outcome("finished", {f"val/{name}": value for name, value in metrics.items()})
    return TrialResult(Trial(f"{variant}-{seed}", variant, seed, {}), Path(f"{variant}-{seed}"), outcome)


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("val/fid", "minimize"),
        ("val/kd_identity", "minimize"),
        ("val/lpips_to_target", "minimize"),
        ("val/l1_to_source", "minimize"),
        ("val/ssim_to_target", "maximize"),
        ("val/match_to_source", "maximize"),
        ("val/quality", "maximize"),
        ("val/lighting_accuracy", "maximize"),
        ("val/mine", None),
        ("loss/g_total", None),
    ],
)
def test_directions_of_the_evaluations_metrics_are_known(metric: str, way: str | None) -> None:
    assert direction_of(metric) == way


def test_the_mean_decides_on_the_variant_not_the_luckiest_seed() -> None:
    results = [result("a", 0, fid=1.0), result("a", 1, fid=9.0), result("b", 0, fid=4.0), result("b", 1, fid=3.0)]
    choice = choose(SWEEP, results, "val/fid")
    assert (choice.result.trial.name, choice.value, choice.mean) == ("b-1", 3.0, 3.5)
    assert choose(SWEEP, results, "val/fid", "maximize").result.trial.name == "a-1"


def test_few_seeds_do_not_compete_with_many() -> None:
    results = [result("a", 0, quality=9.0), result("b", 0, quality=4.0), result("b", 1, quality=5.0)]
    choice = choose(SWEEP, results, "val/quality")
    assert (choice.result.trial.name, choice.left_out) == ("b-1", ("a",))


def test_failed_trials_do_not_compete() -> None:
    bad = result("a", 0, quality=9.0)
    failed = bad._replace(outcome=Outcome("failed", {"val/quality": 9.0}, "e"))
    assert choose(SWEEP, [failed, result("b", 0, quality=1.0)], "val/quality").result.trial.name == "b-0"


def test_what_cannot_be_chosen_by_is_said() -> None:
    results = [result("a", 0, mine=1.0, odd=float("nan"))]
    with pytest.raises(ConfigError, match=r"'val/yours' is unknown; the finished trials of s have val/mine, val/odd"):
        choose(SWEEP, results, "val/yours")
    with pytest.raises(
        ConfigError, match=r"no trial measured val/fid: its weights are not here; get them with `legan weights in"
    ):
        choose(SWEEP, results, "val/fid")
    with pytest.raises(ConfigError, match=r"eval/fid is measured on test people, by whom nothing is chosen; take val/fid"):
        choose(SWEEP, results, "eval/fid")
    with pytest.raises(ConfigError, match=r"whether less or more of val/mine is better is not known; say it with --direction"):
        choose(SWEEP, results, "val/mine")
    with pytest.raises(ConfigError, match=r"val/odd is no number in any finished trial"):
        choose(SWEEP, results, "val/odd", "maximize")
    with pytest.raises(ConfigError, match=r"no trial of s has finished"):
        choose(SWEEP, [results[0]._replace(outcome=None)], "val/mine")
