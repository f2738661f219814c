"""What trainings aim at and measure on the way is in the table of metrics, and better in the same direction."""

from dataclasses import replace
from pathlib import Path

import pytest

from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.evaluation.metric_names import VALIDATION, find
from legan.platform.rival_settings import RecolorSettings
from legan.platform.settings import ClassifierSettings, ExpressionSettings, IdentitySettings, QualitySettings
from legan.platform.training.parallel import Ranks
from legan.platform.training.task import Goal
from legan.platform.training.tasks.classifier import classifier_task
from legan.platform.training.tasks.expression import expression_task
from legan.platform.training.tasks.identity import identity_task
from legan.platform.training.tasks.quality import quality_task
from legan.platform.training.tasks.recolor import RecolorTask, recolor_task
from legan.platform.training.tasks.supervised import SupervisedTask
from legan.platform.training.tasks.translator import goal_of, held_out_pairs

SHORT = {"steps": 1, "batch_size": 4, "adam": {"learning_rate": 1e-3, "beta1": 0.9}, "width": 8}


@pytest.fixture
def tasks(tiny_data: Path, tmp_path: Path) -> list[SupervisedTask | RecolorTask]:
    data = open_dataset(tiny_data)
    two = replace(data, faces=data.faces.assign(split=["val" if name in "ef" else "train" for name in data.subject]))
    ratings = make_simulated_ratings(data, tmp_path / "ratings", count=72)
    return [
        identity_task(
            IdentitySettings.model_validate(SHORT | {"network": "lightcnn9", "width": 0.25, "features": 32}), two, Ranks()
        ),
        quality_task(QualitySettings.model_validate(SHORT | {"image_size": 32, "layers": 3, "hidden": 8}), ratings, Ranks()),
        classifier_task(ClassifierSettings.model_validate(SHORT), data, Ranks()),
        recolor_task(RecolorSettings.model_validate({"steps": 1, "generator": {"width": 4}}), data, Ranks()),
        expression_task(ExpressionSettings.model_validate(SHORT | {"hidden": 8}), data, Ranks()),
    ]


def aims_as_the_table_says(goal: Goal) -> bool:
    metric = find(goal.metric)
    return metric in VALIDATION and goal.mode == {"lower": "min", "higher": "max"}[metric.better or ""]


def test_goals_are_metrics_of_validation_and_aim_the_same_way(tiny_data: Path, tasks: list[SupervisedTask | RecolorTask]) -> None:
    goals = [*(task.goal for task in tasks), goal_of(held_out_pairs(open_dataset(tiny_data))), goal_of(None)]
    assert all(map(aims_as_the_table_says, goals))
    validated = {name for task in tasks for name in task.validate()} | {goal.metric for goal in goals}
    assert validated - {"val/ssim_to_target"} == {name for metric in VALIDATION for name in metric.names}
