import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import open_dataset
from legan.platform.data.ratings.ratings import Ratings
from legan.platform.errors import CheckpointError, ConfigError, DataError
from legan.platform.evaluation.ratings.naturalness import (
    NaturalnessSVM,
    face_features,
    fit_naturalness,
    read_svm,
    side_names,
    write_svm,
)
from legan.platform.model import StoredNetwork

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> StoredNetwork:
    torch.manual_seed(0)
    numbers = {"layers": 9, "classes": 3, "image_size": 32, "width": 0.25, "features": 24}
    return StoredNetwork("lightcnn", LightCNN(**numbers).eval(), numbers, {"run_id": "x"})


@pytest.fixture(scope="module")
def ratings() -> Ratings:
    """Smooth images rated 5 and above, noisy ones below."""
    rng = np.random.default_rng(0)
    natural = rng.uniform(size=120) < 0.7
    slope = np.linspace(0, 1, 32)[:, None] * rng.uniform(60, 200, (120, 1, 1)) + 20
    noise = rng.normal(0, 60, (120, 32, 32)) * ~natural[:, None, None]
    images = np.repeat(np.clip(slope + noise, 0, 255)[..., None], 3, axis=3).astype(np.uint8)
    mean = np.where(natural, rng.choice([5.0, 7.0, 9.0], 120), rng.choice([1.0, 4.9], 120)).astype(np.float32)
    split = np.array(["train"] * 80 + ["val"] * 20 + ["test"] * 20)
    names = np.array([f"{i}.png" for i in range(120)])
    return Ratings(Path("r"), images, mean, np.ones(120, np.float32), names, split, split, simulated=False, masked=False)


@pytest.fixture(scope="module")
def svm(ratings: Ratings, network: StoredNetwork) -> NaturalnessSVM:
    return fit_naturalness(ratings, network, masked=False, device=CPU)


def test_distances_are_those_of_scikit_learns_pipeline(svm: NaturalnessSVM, ratings: Ratings, network: StoredNetwork) -> None:
    with torch.inference_mode():
        x = torch.from_numpy(ratings.images).permute(0, 3, 1, 2).float() / 127.5 - 1
        features = network.module.features(x).double().numpy()
    np.testing.assert_allclose(face_features(network, ratings.images, CPU), features, atol=1e-5)
    estimator = LinearSVC(C=svm.about["C"], class_weight="balanced", dual="auto", max_iter=20_000, random_state=0)
    reference = make_pipeline(StandardScaler(), estimator)
    natural = ratings.mean >= 5
    reference.fit(features[:80], natural[:80])
    expected = reference.decision_function(features) / np.linalg.norm(estimator.coef_)
    np.testing.assert_allclose(svm.distances(ratings.images, CPU), expected, atol=1e-3)
    accuracy = balanced_accuracy_score(natural[100:], reference.predict(features[100:]))
    assert svm.about["balanced_accuracy"]["test"] == pytest.approx(accuracy)
    assert accuracy > 0.9
    assert svm.about["natural"]["train"] == int(natural[:80].sum())


def test_sides() -> None:
    assert side_names(np.array([-0.1, 0.0, 2.0])).tolist() == ["unnatural", "natural", "natural"]


def test_a_data_set_is_rated_whole_or_masked(svm: NaturalnessSVM, tiny_data: Path) -> None:
    data = open_dataset(tiny_data)
    whole, masked = svm.rate(data, CPU), replace(svm, masked=True).rate(data, CPU)
    np.testing.assert_allclose(whole, svm.distances(np.array(data.images), CPU), atol=1e-4)
    np.testing.assert_allclose(masked, svm.distances(data.images * data.hulls(data.rows())[..., None], CPU), atol=1e-4)
    assert not np.allclose(whole, masked)


def test_it_is_stored_with_its_features(svm: NaturalnessSVM, ratings: Ratings, tmp_path: Path) -> None:
    write_svm(tmp_path / "svm", svm)
    again = read_svm(tmp_path / "svm")
    assert np.array_equal(again.distances(ratings.images[:9], CPU), svm.distances(ratings.images[:9], CPU))
    assert again.about == svm.about
    assert not again.masked
    with pytest.raises(DataError, match="already exists"):
        write_svm(tmp_path / "svm", svm)
    record = json.loads((tmp_path / "svm" / "svm.json").read_text())
    (tmp_path / "svm" / "svm.json").write_text(json.dumps(record | {"format": 9}))
    with pytest.raises(CheckpointError, match="has SVM format 9"):
        read_svm(tmp_path / "svm")
    (tmp_path / "svm" / "svm.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_svm(tmp_path / "svm")
    with pytest.raises(CheckpointError, match=r"is no SVM of `legan ratings svm`"):
        read_svm(tmp_path)


def test_images_of_another_size_are_resized(network: StoredNetwork, ratings: Ratings) -> None:
    doubled = ratings.images[:4].repeat(2, axis=1).repeat(2, axis=2)
    expected = face_features(network, ratings.images[:4], CPU)
    np.testing.assert_allclose(face_features(network, doubled, CPU), expected, atol=1e-5)


def test_what_cannot_be_fitted_is_told(ratings: Ratings, network: StoredNetwork) -> None:
    with pytest.raises(DataError, match="split train: it has no unnatural image; split val: it has no unnatural image; rate"):
        fit_naturalness(replace(ratings, mean=ratings.mean * 0 + 8), network, masked=False, device=CPU)
    quality = StoredNetwork("quality", QualityModel(32, 4, 3, 4), {"image_size": 32}, {})
    with pytest.raises(ConfigError, match="--features: it is a quality model"):
        fit_naturalness(ratings, quality, masked=False, device=CPU)
