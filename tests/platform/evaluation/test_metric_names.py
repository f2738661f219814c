import re
from pathlib import Path
from typing import Any

import pytest

from legan.platform.evaluation.features import Extractor
from legan.platform.evaluation.measures.masks import AXES
from legan.platform.evaluation.metric_names import (
    EVALUATION,
    LACKING,
    METRICS,
    RATINGS,
    VALIDATION,
    Metric,
    Need,
    canonical,
    find,
    heading,
    needing,
    titled,
)
from legan.platform.evaluation.paired import Judges
from legan.platform.evaluation.scoring import image_metrics

ROOT = Path(__file__).parents[3]
OPTIONS: dict[Need, str] = {
    "inception": "`inception` weights",
    "alexnet": "`alexnet` weights",
    "matcher": "`--matcher`",
    "classifier": "`--classifier`",
    "quality": "`--quality`",
    "masks": "masks",
    "strangers": "pairs of strangers",
    "lamps": "rendered faces",
}


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("validation/l1_to_target", "val/l1_to_target"),
        ("val/l1_to_target", "val/l1_to_target"),
        ("eval/verification_auc", "val/verification_auc"),
        ("eval/rating_error", "val/rating_error"),
        ("eval/both_accuracy", "val/both_accuracy"),
        ("eval/expression_accuracy", "eval/expression_accuracy"),
        ("eval/l1_to_target", "eval/l1_to_target"),
        ("eval/accuracy", "eval/accuracy"),
        ("loss/g_total", "loss/g_total"),
        ("validation", "validation"),
        ("loss/validation/x", "loss/validation/x"),
    ],
)
def test_old_names_of_validation_metrics_are_read_as_those_of_today(written: str, today: str) -> None:
    assert canonical(written) == today
    assert canonical(today) == today


def test_no_name_and_no_title_means_two_things() -> None:
    names = [name for metric in METRICS for name in metric.names]
    assert len(set(names)) == len(names)
    for table in (EVALUATION, VALIDATION, RATINGS):
        assert len({metric.title for metric in table}) == len(table)
    assert all(canonical(name) == name for name in names)


def test_every_name_leads_to_its_row() -> None:
    for metric in METRICS:
        assert [find(name) for name in metric.names] == [metric] * len(metric.names)
    for metric in EVALUATION:
        assert find(metric.stem) == find(metric.key("source")) == titled(metric.title) == metric
    assert find("validation/l1_cycle") == find("val/l1_cycle") is not None
    assert find("eval/copy_input/fid") is None
    assert find("val/ssim_to_target") is find("eval/ssim_to_target")
    assert titled("Human preference") is None


@pytest.mark.parametrize("reference", ["target", "source"])
def test_the_table_has_what_an_evaluation_measures(reference: Any) -> None:
    network: Any = object()
    measured = {
        *image_metrics(reference, "identity", network, network, lamps=True, detector=True, one_person_from=0.5),
        "fid",
        "kid",
        "fd_identity",
        "kd_identity",
        "fid_to_train",
        "fd_identity_to_train",
        *AXES.values(),
    }
    assert {metric.key(reference) for metric in EVALUATION} == measured


def test_judges_say_what_they_lack() -> None:
    network: Any = object()
    assert Judges(network, network).lacking() == {"inception", "alexnet", "quality", "strangers"}
    extractor = Extractor("inception", "fid", "kid", "none", "", network, network)
    assert Judges(network, network, network, network, extractor, one_person_from=0.0).lacking() == frozenset()
    assert [metric.name for metric in needing("inception")] == ["fid", "kid", "fid_to_train"]
    assert {need for metric in METRICS for need in metric.needs} == set(LACKING)


def test_headings_are_for_people() -> None:
    assert heading("match_to_source") == "Match to source ↑"
    assert heading("kd_identity") == "KD identity ↓"
    assert heading("eval/ratings/test/mean_rating") == "Mean rating"
    assert heading("attribute") == "attribute"


def test_the_documentation_lists_every_metric_of_an_evaluation_and_no_other() -> None:
    rows = _documented(ROOT / "docs" / "evaluate.md")
    assert {metric.stem for metric in EVALUATION} == set(rows)
    for metric in EVALUATION:
        better, needs = rows[metric.stem]
        assert better == (metric.better or "–"), metric.name
        assert {need for need, option in OPTIONS.items() if option in needs} == set(metric.needs), metric.name


def test_a_metric_is_compared_or_not() -> None:
    assert Metric("x_to_{reference}", "X", "0 to 1", "lower").compared
    assert not Metric("x", "X", "0 to 1", "lower").compared


def _documented(page: Path) -> dict[str, tuple[str, str]]:
    """Better and needs by stem, from the table of metrics."""
    text = page.read_text(encoding="utf-8")
    table = re.search(r"^\| name \| .*?\n\n", text, re.MULTILINE | re.DOTALL)
    assert table is not None
    rows = {}
    for line in table.group().strip().splitlines()[2:]:
        name, *_, better, needs = (cell.strip() for cell in line.strip("| ").split(" | "))
        names = [each.removesuffix("_to_…") for each in re.findall(r"`([^`]+)`", name)]
        ways = better.split("; ")
        for stem, way in zip(names, ways * len(names) if len(ways) == 1 else ways, strict=True):
            rows[stem] = (way, needs)
    return rows
