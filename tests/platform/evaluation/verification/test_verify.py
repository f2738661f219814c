"""Whole verifications by the command, each number against plain NumPy on features that were computed one image at a time."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from legan.cli import app
from legan.models.identity import LightCNN
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, LeganError
from legan.platform.evaluation.metric_names import VERIFICATION
from legan.platform.evaluation.verification.pair_lists import read_list
from legan.platform.evaluation.verification.templates import template_features
from legan.platform.evaluation.verification.verify import VerificationRequest, prepare_verification
from legan.platform.model import load_identity, save_network
from legan.platform.pixels import network_input
from legan.platform.settings import IdentitySettings
from legan.platform.training.lifecycle import train_run
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import create_run

CPU = torch.device("cpu")


def command(*arguments: Any) -> str:
    done = CliRunner().invoke(app, ["evaluate", "verification", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.output


@pytest.fixture
def features(network: Path) -> Any:
    T = load_identity(network).module
    assert isinstance(T, LightCNN)

    def of(data: Dataset) -> np.ndarray:
        with torch.inference_mode():
            one_by_one = [T.features(network_input(np.asarray(data.images[row : row + 1]), CPU)) for row in range(len(data))]
        return torch.cat(one_by_one).double().numpy()

    return of


def passing(scores: np.ndarray, strangers: np.ndarray, rate: float, all_strangers: int) -> float:
    """The lowest of the scores that at most ``rate`` of so many strangers reach."""
    allowed = [score for score in np.sort(scores) if (strangers >= score).sum() <= rate * all_strangers + 1e-9]
    return float(allowed[0]) if allowed else np.inf


@pytest.mark.usefixtures("ready")
def test_lfw_by_ten_folds(lfw: Dataset, view_2: Path, network: Path, features: Any, tmp_path: Path) -> None:
    said = command(network, "--protocol", "lfw", "--data", lfw.path, "--list", view_2, "--out", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "verification.json").read_text())

    found, where = features(lfw), {Path(path).stem: row for row, path in enumerate(lfw.faces["source_path"])}
    scores, same, fold = [], [], []
    lines = [line.split("\t") for line in view_2.read_text().splitlines()[1:]]
    for number, words in enumerate(lines):
        one, other = f"{words[0]}_{int(words[1]):04d}", f"{words[2] if len(words) == 4 else words[0]}_{int(words[-1]):04d}"
        there = one in where and other in where
        scores.append(np.corrcoef(found[where[one]], found[where[other]])[0, 1] if there else -np.inf)
        same.append(len(words) == 3)
        fold.append(number // 40 + 1)
    scores, same, fold = np.round(scores, 6), np.array(same), np.array(fold)

    made = np.isfinite(scores)
    threshold = passing(scores, scores[~same], 0.01, 200)
    assert told["metrics"]["tpr_at_fpr_0.01"] == pytest.approx((scores[same] >= threshold).mean())
    assert "tpr_at_fpr_0.001" not in told["metrics"]
    assert told["left_out"] == {"0.001": f"0.1% of {(made & ~same).sum()} pairs of strangers is less than one"}
    by_fold = []
    for number in range(1, 11):
        rest = fold != number
        threshold = passing(scores[rest], scores[rest & ~same], 0.01, 180)
        by_fold.append((scores[~rest & same] >= threshold).mean())
    assert [each["tpr"] for each in told["folds"]] == pytest.approx(by_fold)
    assert told["metrics"]["tpr_at_fpr_0.01_of_folds"] == pytest.approx(np.mean(by_fold))
    assert told["metrics"]["roc_auc"] == pytest.approx(roc_auc_score(same[made], scores[made]), abs=1e-4)
    assert told["metrics"]["failure_to_acquire"] == (~made).sum() / 400
    assert told["metrics"]["failure_to_acquire"] > 0
    assert told["pairs_not_compared"]["one_person"] + told["pairs_not_compared"]["strangers"] == (~made).sum()
    strangers, one = scores[made & ~same], scores[made & same]
    assert told["metrics"]["fnmr_at_fmr_0.01"] == pytest.approx(
        1 - (one >= passing(scores[made], strangers, 0.01, len(strangers))).mean()
    )
    low, high = told["rates"][0]["tpr_interval"]
    assert low <= told["metrics"]["tpr_at_fpr_0.01"] <= high
    assert "TPR at FPR 1 %, mean of folds ↑" in said
    assert "could not be compared" in said
    assert f"The rate 0.1% is left out: {told['left_out']['0.001']}." in said
    assert "The rates are in these files and not in MLflow: " in said
    curve = pd.read_csv(tmp_path / "out" / "roc.csv")
    assert (curve["fmr"].diff().dropna() >= 0).all()
    assert curve[["fmr", "tmr"]].iloc[-1].tolist() == [1, 1]
    with Image.open(tmp_path / "out" / "roc.png") as picture:
        assert picture.size[0] > 500
    text = (tmp_path / "out" / "verification.md").read_text()
    assert "| 10 | " in text
    assert "the threshold of each fold is set on the pairs of all other folds" in text


def test_templates_are_means_over_media_of_means_over_frames(
    ijbb: Dataset, template_pairs: Path, network: Path, features: Any
) -> None:
    found, compared = features(ijbb), read_list("ijbb", template_pairs, ijbb)
    T = load_identity(network).module
    assert compared.media is not None
    pooled = template_features(T, ijbb, compared.rows, compared.side, compared.media, CPU).numpy()  # type: ignore[arg-type]
    assert np.allclose(np.linalg.norm(pooled, axis=1), 1, atol=1e-6)
    faces = ijbb.faces.assign(row=range(len(ijbb)))
    for index, (_, own) in enumerate(faces.groupby("template")):
        media = [found[frames["row"].to_numpy()].mean(axis=0) for _, frames in own.groupby("media")]
        wanted = np.mean(media, axis=0)
        assert np.allclose(pooled[index], wanted / np.linalg.norm(wanted), atol=1e-5)


@pytest.mark.usefixtures("ready")
def test_ijbb_compares_the_listed_pairs_alone(
    ijbb: Dataset, template_pairs: Path, network: Path, features: Any, tmp_path: Path
) -> None:
    command(network, "--protocol", "ijbb", "--data", ijbb.path, "--list", template_pairs, "--out", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "verification.json").read_text())
    found, faces = features(ijbb), ijbb.faces.assign(row=range(len(ijbb)))
    template = {}
    for number, own in faces.groupby("template"):
        media = [found[frames["row"].to_numpy()].mean(axis=0) for _, frames in own.groupby("media")]
        template[number] = np.mean(media, axis=0)
    pairs = [tuple(map(int, line.split(","))) for line in template_pairs.read_text().split()][:-1]
    scores = np.round([np.corrcoef(template[a], template[b])[0, 1] for a, b in pairs], 6)
    same = np.array([a // 10 == b // 10 for a, b in pairs])
    threshold = passing(scores, scores[~same], 0.01, (~same).sum() + 1)
    assert told["metrics"]["tpr_at_fpr_0.01"] == pytest.approx((scores[same] >= threshold).mean())
    assert told["metrics"]["roc_auc"] == pytest.approx(roc_auc_score(same, scores), abs=1e-4)
    assert (told["pairs_of_strangers"], told["pairs_of_one_person"], told["templates"]) == (871, 30, 60)
    assert told["intervals_over"] == "template"


def test_the_numbers_are_in_the_networks_run(ready: Path, lfw: Dataset, view_2: Path, tiny_data: Path, tmp_path: Path) -> None:
    asked = {"network": "lightcnn9", "width": 0.125, "features": 16, "steps": 2, "batch_size": 4, "data": tiny_data}
    store = f"sqlite:///{ready}/mlflow.db"
    run = create_run(ready, "identity", IdentitySettings(**asked, workers=0), "T-0")
    train_run(run, Ranks(), store, str)
    said = command("T-0", "--protocol", "lfw", "--data", lfw.path, "--list", view_2)
    assert "Logged as eval/lfw/pairs/… to the network's MLflow run " in said
    client = MlflowClient(store)
    (stored,) = client.search_runs([each.experiment_id for each in client.search_experiments()], "tags.kind = 'identity'")
    told = json.loads((ready / "evaluations" / "verification-T-0-lfw-pairs" / "verification.json").read_text())
    assert told["times_scored_on_test"] == 1
    assert {name: stored.data.metrics[f"eval/lfw/pairs/{name}"] for name in told["metrics"]} == pytest.approx(told["metrics"])
    assert set(told["metrics"]) <= {metric.name for metric in VERIFICATION}
    files = {file.path for file in client.list_artifacts(stored.info.run_id, "verification/lfw-pairs")}
    assert {f"verification/lfw-pairs/{name}" for name in ("verification.json", "verification.md", "roc.csv", "roc.png")} == files
    assert "is scored on lfw's test people for the 2nd time" in command(
        "T-0", "--protocol", "lfw", "--data", lfw.path, "--list", view_2
    )


def test_who_learned_from_the_pairs_people_is_refused(lfw: Dataset, view_2: Path, network: Path, tmp_path: Path) -> None:
    module = load_identity(network).module
    known = list(lfw.people_called(["Person_00", "Person_01"]))
    save_network(tmp_path / "K", "lightcnn", module.numbers, module, people=known)  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match=r"RUN: it learned from 2 of the 60 people of the pairs; take other pairs, or .*--known-judges"
    ):
        prepare_verification(VerificationRequest(tmp_path / "K", "lfw", lfw.path, view_2))
    bench = prepare_verification(VerificationRequest(tmp_path / "K", "lfw", lfw.path, view_2, known_judges=True))
    assert bench.about()["people_are_new_to_the_network"] == "learned from 2 of the 60 people of the pairs"
    save_network(tmp_path / "S", "lightcnn", module.numbers, module, people=["0" * 12])  # type: ignore[arg-type]
    assert prepare_verification(VerificationRequest(tmp_path / "S", "lfw", lfw.path, view_2)).acquainted == "checked"


def test_all_problems_are_told_at_once(lfw: Dataset, view_2: Path, tmp_path: Path) -> None:
    T = {"layers": 9, "classes": 3, "image_size": 48, "width": 0.125, "features": 16}
    save_network(tmp_path / "big", "lightcnn", T, LightCNN(**T))
    view_2.write_text(view_2.read_text().replace("Person_03\t", "Nobody\t"))
    (tmp_path / "file").touch()
    with pytest.raises(LeganError) as caught:
        command(tmp_path / "big", "--protocol", "lfw", "--data", lfw.path, "--list", view_2, "--out", tmp_path / "file" / "out")
    for part in (
        f"--out: {tmp_path / 'file' / 'out'} cannot be written",
        "--list: ",
        "whom",
        "RUN: it is for 48×48 images, the data set has 32×32",
    ):
        assert part in str(caught.value)
    with pytest.raises(LeganError) as caught:
        command("facenet", "--protocol", "lfw", "--data", tmp_path / "none", "--list", tmp_path / "nothing.txt")
    for part in ("RUN: ", "`legan weights facenet` downloads them", "--data: ", "--list: the list of pairs "):
        assert part in str(caught.value)


@pytest.mark.long
def test_memory_does_not_grow_with_the_pairs(tmp_path: Path) -> None:
    """Peak memory of a process that compares 1,000 templates by 400,000 pairs, and by eight times as many."""
    script = textwrap.dedent("""
        import resource, sys
        import numpy as np, torch
        from legan.platform.evaluation.verification.scores import Draws, ScoreCounts, pearson, standardised
        unit = standardised(torch.randn(1000, 64, generator=torch.Generator().manual_seed(0)))
        counts, draws = ScoreCounts(), Draws(1000, draws=20)
        rng = np.random.default_rng(0)
        for _ in range(int(sys.argv[1])):
            first, second = rng.integers(1000, size=(2, 16384))
            scores = pearson(unit, first, second)
            same = rng.random(16384) < 0.01
            counts.add(scores, same); draws.add(scores, same, first, second)
        counts.at_rate(0.01), counts.area(), draws.intervals([0.01])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """)
    peaks = [
        int(subprocess.run([sys.executable, "-c", script, blocks], check=True, capture_output=True, text=True).stdout)
        for blocks in ("24", "192")
    ]
    assert peaks[1] < peaks[0] + 40 * 1024
