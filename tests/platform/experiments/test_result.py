import csv
import json
import math
from pathlib import Path

import pytest
from scipy.stats import t as student
from tests.platform.experiments.conftest import translated

from legan.platform.errors import CheckpointError
from legan.platform.experiments.arms import write_arm
from legan.platform.experiments.experiment import Experiment
from legan.platform.experiments.result import cells_of, metrics_of, paper_number, read_scores, write_result
from legan.platform.settings import IdentitySettings
from legan.platform.training.run_folder import create_run

PAIRS = {"pairs_of_one_person": 132, "pairs_of_strangers": 1440, "people": 2}
TPR = {"none": (0.50, 0.60, 0.70), "legan": (0.62, 0.70, 0.84), "jitter": (0.70, 0.60, 0.50), "copies": (0.5, 0.6, 0.7)}


@pytest.fixture
def verification(asked, tmp_path: Path) -> Experiment:
    """An experiment whose trainings have scored TPR."""
    made = Experiment(tmp_path / "first", asked.model_copy(update={"seeds": 3}))
    for arm, numbers in TPR.items():
        for seed, number in enumerate(numbers):
            folder = made.evaluation(arm, seed)
            folder.mkdir(parents=True)
            told = {"step": 4, "metrics": {"tpr_at_fpr_0.01": number, "roc_auc": 0.9, "failure_to_acquire": 0.0}} | PAIRS
            (folder / "verification.json").write_text(json.dumps(told))
            settings = IdentitySettings(data=asked.data, steps=8, seed=seed)
            create_run(made.trial(arm, seed).parent, "identity", settings, "run")  # its folder has the scores already
            (made.trial(arm, seed).parent / "run" / "config.yaml").rename(made.trial(arm, seed) / "config.yaml")
            (made.trial(arm, seed).parent / "run").rmdir()
    return made


def test_an_arm_is_compared_with_none_seed_by_seed(verification):
    cells = {(cell.arm, cell.metric): cell for cell in cells_of(verification, read_scores(verification))}
    legan = cells["legan", "tpr_at_fpr_0.01"]
    assert legan.mean == pytest.approx(0.72)
    assert legan.sd == pytest.approx(math.sqrt((0.1**2 + 0.02**2 + 0.12**2) / 2))
    difference = legan.difference
    assert difference.mean == pytest.approx(0.12)
    half = student.ppf(0.975, 2) * 0.02 / math.sqrt(3)  # of 0.12, 0.10 and 0.14
    assert difference.interval == pytest.approx((0.12 - half, 0.12 + half))
    assert difference.verdict(False) == "better"
    assert cells["jitter", "tpr_at_fpr_0.01"].difference.verdict(False) == "within seed spread"
    assert cells["none", "tpr_at_fpr_0.01"].difference is None
    assert "failure_to_acquire" not in {metric for _, metric in cells}


def test_the_table_says_how_many_images_and_people_and_compares_legan_with_the_controls(verification):
    translated(verification)
    for arm in verification.settings.arms:
        write_arm(verification, arm)
    files = write_result(verification, read_scores(verification))
    assert [file.name for file in files] == ["table4.md", "table4.csv", "table4.png"]
    text = files[0].read_text()
    assert "| Original | 48 (4) | 0 | 0.600 ± 0.100" in text
    assert "| Augmented by LEGAN | 48 (4) | 48 | 0.720 ± 0.111" in text
    assert "Augmented by LEGAN less Copied, TPR at FPR 1 %: +0.1200 (+0.0703 to +0.1697)." in text
    assert "All are scored on the same 132 pairs of one person and 1,440 of strangers, of 2 people." in text
    assert "of 8 steps; scored at the best validation, step 4 to 4." in text
    with files[1].open() as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["arm"], row["verdict"]) for row in rows if row["metric"] == "tpr_at_fpr_0.01"} >= {("legan", "better")}
    assert metrics_of(verification, read_scores(verification))["mean/eval/tpr_at_fpr_0.01/legan"] == pytest.approx(0.72)


def test_what_is_not_scored_yet_is_counted(verification):
    (verification.evaluation("copies", 2) / "verification.json").unlink()
    translated(verification)
    for arm in verification.settings.arms:
        write_arm(verification, arm)
    text = write_result(verification, read_scores(verification))[0].read_text()
    assert "Not scored yet: 1 training. The same command goes on." in text


def test_a_damaged_score_is_named(verification):
    (verification.evaluation("none", 0) / "verification.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read; remove it"):
        read_scores(verification)


def test_expressions_stand_beside_the_papers(asked, tmp_path):
    made = Experiment(tmp_path / "first", asked.model_copy(update={"question": "expression", "protocol": None, "seeds": 1}))
    folder = made.evaluation("legan", 0)
    folder.mkdir(parents=True)
    rows = [{"expression": "neutral", "auc": 0.8}, {"expression": "smile", "auc": 0.9}]
    (folder / "expression.json").write_text(json.dumps({"rows": rows, "mean_auc": 0.85, "step": 4, "images": 24, "people": 2}))
    (score,) = read_scores(made)
    assert score.values == {"neutral": 0.8, "smile": 0.9, "mean of all": 0.85}
    assert paper_number(made, "legan", "neutral") == (0.868, 0.005)
    assert paper_number(made, "none", "Smile") == (0.955, 0.001)
    assert paper_number(made, "copies", "neutral") is None


@pytest.mark.parametrize(
    ("protocol", "metric", "number"),
    [("ijbb", "tpr_at_fpr_0.01", 0.967), ("lfw", "tpr_at_fpr_0.01_of_folds", 0.972), ("lfw", "tpr_at_fpr_0.01", None)],
)
def test_the_papers_verification_stands_beside_what_it_measured(asked, tmp_path, protocol, metric, number):
    made = Experiment(tmp_path, asked.model_copy(update={"protocol": protocol}))
    found = paper_number(made, "legan", metric)
    assert (None if found is None else found[0]) == number
