"""Who is worse than whom: by hand, and beside what an evaluation of the same pairs says."""

from pathlib import Path

import pytest
import torch
from tests.platform.catalogue.known import make_model, write_negatives

from legan.models.expression import AttributeClassifier
from legan.models.identity import LightCNN
from legan.platform.catalogue.guard import COPY, Contest, contestant, hold
from legan.platform.data.dataset import open_dataset
from legan.platform.evaluation.paired import Judges, evaluate_pairs
from legan.platform.evaluation.pairs import choose_pairs
from legan.platform.evaluation.reference import split_features

CPU = torch.device("cpu")


def judged(expression: float, lighting: float, match: float) -> dict[str, float]:
    return {"expression_accuracy": expression, "lighting_accuracy": lighting, "match_to_source": match}


@pytest.mark.parametrize(
    ("scores", "worse_than"),
    [
        ({"a": 0.317, "champion": 0.748, COPY: 0.503}, ["champion", COPY]),
        ({"a": 0.6, "champion": 0.748, COPY: 0.503}, ["champion"]),
        ({"a": 0.4, COPY: 0.503}, [COPY]),
        ({"a": 0.748, "champion": 0.748, COPY: 0.503}, []),
        ({"a": 0.75, "champion": 0.748, COPY: 0.503}, []),
    ],
)
def test_with_true_targets_ssim_decides(scores: dict[str, float], worse_than: list[str]) -> None:
    contest = Contest("target", {name: {"ssim_to_target": value, "l1_to_target": 0.1} for name, value in scores.items()}, 9, 2)
    assert contest.worse_than() == worse_than


@pytest.mark.parametrize(
    ("candidate", "worse_than"),
    [
        (judged(0.9, 0.8, 0.6), []),  # 0.51 against 0.48 of the champion
        (judged(0.9, 0.9, 0.1), ["champion", COPY]),  # it forgets people
        (judged(0.3, 0.4, 1.0), ["champion"]),  # hardly more than a copy
        (judged(0.2, 0.2, 1.0), ["champion", COPY]),
    ],
)
def test_without_targets_neither_accuracy_nor_match_alone_decides(candidate: dict[str, float], worse_than: list[str]) -> None:
    scores = {"a": candidate, "champion": judged(0.8, 0.8, 0.6), COPY: judged(0.3, 0.2, 1.0)}
    assert Contest("source", scores, 9, 2).worse_than() == worse_than


def test_the_numbers_are_those_of_an_evaluation_of_the_same_pairs(tiny_data: Path, tmp_path: Path) -> None:
    data = open_dataset(tiny_data)
    pairs = choose_pairs(data, 70, seed=0, split="val")
    torch.manual_seed(1)
    judges = Judges(
        AttributeClassifier(expressions=3, lightings=4, image_size=32, width=4),
        LightCNN(layers=9, classes=3, image_size=32, width=0.125, features=16),
    )
    model = make_model(tiny_data, "noise")
    real = {each.name: split_features(data, "test", each, CPU, tmp_path) for each in judges.extractors()}
    table = evaluate_pairs(model, data, pairs, judges, real, CPU).table

    contest = hold([contestant("a", model, CPU)], model, data, pairs, judges, CPU)
    assert (contest.pairs, contest.people) == (len(pairs), 1)
    for name, method in (("a", "output"), (COPY, "copy input")):
        assert contest.scores[name] == pytest.approx({key: table.loc[method, key] for key in contest.scores[name]})
        assert set(contest.scores[name]) == {
            "ssim_to_target", "l1_to_target", "expression_accuracy", "lighting_accuracy", "match_to_target",
        }  # fmt: skip


def test_grey_is_better_than_noise_and_both_than_a_copy_where_targets_are_negatives(tmp_path: Path) -> None:
    """As the tests of promotion take for granted."""
    folder = write_negatives(tmp_path / "negatives")
    data = open_dataset(folder)
    pairs = choose_pairs(data, 400, seed=0, split="val")
    models = {kind: make_model(folder, kind) for kind in ("grey", "noise")}
    contest = hold([contestant(kind, model, CPU) for kind, model in models.items()], models["grey"], data, pairs, None, CPU)
    assert contest.number("grey") > contest.number("noise") > contest.number(COPY)
