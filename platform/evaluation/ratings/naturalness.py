"""Stage I of section 3: a linear SVM on face features that roughly tells natural from unnatural faces.

    svm folder    svm.json     format, direction and offset of the hyperplane, masked, about
                  features/    the network folder of the features, copied, so that the two cannot part

A rated image is natural when its mean rating is at least 5 (the paper's halves 0 - 5 and 5 - 10 share the 5). Shapes: N images,
F features.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.data.dataset import SPLITS, Dataset
from legan.platform.data.ratings.ratings import Ratings
from legan.platform.errors import CheckpointError, ConfigError, DataError, Problem, first_line
from legan.platform.files import refuse_existing, whole_folder
from legan.platform.model import IDENTITY, StoredNetwork, instead_of, load_network, save_network, weights_hash
from legan.platform.pixels import network_input

FORMAT = 1
FILE = "svm.json"
NATURAL_FROM = 5.0
PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
BATCH = 64


@dataclass(frozen=True, eq=False)
class NaturalnessSVM:
    """The fitted hyperplane: distance = features · direction + offset, in standard deviations of the training features.

    ``direction`` float64 F. ``masked``: it was fitted on faces that are black outside their hull, and wants such.
    """

    network: StoredNetwork
    direction: NDArray[np.float64]
    offset: float
    masked: bool
    about: Mapping[str, Any]

    def distances(self, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float64]:
        """Signed distance of N uint8 images from the hyperplane, float64 N; above 0 on the natural side."""
        return face_features(self.network, images, device) @ self.direction + self.offset

    def rate(self, data: Dataset, device: torch.device) -> NDArray[np.float64]:
        """The signed distance of every face of a data set, float64 N."""
        parts = []
        for start in range(0, len(data), BATCH):
            images = np.asarray(data.images[start : start + BATCH])
            if self.masked:
                images = images * data.hulls(slice(start, start + BATCH))[..., None]
            parts.append(self.distances(images, device))
        return np.concatenate(parts)


def side_names(distance: NDArray[np.float64]) -> NDArray[np.str_]:
    """``natural`` or ``unnatural`` for each signed distance."""
    return np.where(distance >= 0, "natural", "unnatural").astype(np.str_)


def fit_naturalness(ratings: Ratings, network: StoredNetwork, *, masked: bool, device: torch.device) -> NaturalnessSVM:
    """Fit the SVM on the split train, choose its penalty C by the split val, and measure it on each split.

    Both sides weigh the same however many images they have. ``about`` holds C, the accuracies (balanced: mean of the two
    sides') and the counts. Raises ConfigError for a network without face features, DataError where train or val lack a side.
    """
    _expect_features(network)
    natural = ratings.mean >= NATURAL_FROM

    lacking = [
        Problem(f"split {split}", f"it has no {side} image")
        for split in ("train", "val")
        for side, wanted in (("natural", True), ("unnatural", False))
        if not (natural[ratings.split == split] == wanted).any()
    ]
    if lacking:
        raise DataError(f"the SVM cannot be fitted on {ratings.path}: {'; '.join(map(str, lacking))}; rate more images.")

    features = face_features(network, ratings.images, device)
    rows = {split: np.flatnonzero(ratings.split == split) for split in SPLITS}
    scaler = StandardScaler().fit(features[rows["train"]])
    scaled = scaler.transform(features)

    fitted = [_fit(scaled[rows["train"]], natural[rows["train"]], penalty) for penalty in PENALTIES]
    scores = [balanced_accuracy_score(natural[rows["val"]], svm.predict(scaled[rows["val"]])) for svm in fitted]
    best = int(np.argmax(scores))

    weights = np.asarray(fitted[best].coef_[0], np.float64)
    length = float(np.linalg.norm(weights)) or 1.0
    direction = weights / length / scaler.scale_
    offset = float(fitted[best].intercept_[0]) / length - float(direction @ scaler.mean_)
    predicted = features @ direction + offset >= 0

    about = {
        "C": PENALTIES[best],
        "ratings": ratings.path.name,
        "simulated": ratings.simulated,
        "features": network.kind,
        "features_hash": weights_hash(network.module),
        "images": {split: len(rows[split]) for split in SPLITS},
        "natural": {split: int(natural[rows[split]].sum()) for split in SPLITS},
        "balanced_accuracy": {split: _balanced(natural[rows[split]], predicted[rows[split]]) for split in SPLITS},
    }
    return NaturalnessSVM(network, direction, offset, masked, about)


def face_features(network: StoredNetwork, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.float64]:
    """Features of uint8 N×H×H×3 images, float64 N×F; they are resized to what the network reads."""
    module = cast("LightCNN | FacenetIdentity", network.module.to(device).eval())
    size = int(network.numbers["image_size"]) if "image_size" in network.numbers else images.shape[1]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            batch = np.stack([_resized(image, size) for image in images[start : start + BATCH]])
            parts.append(module.features(network_input(batch, device)).double().cpu().numpy())
    return np.concatenate(parts)


def write_svm(out: Path, svm: NaturalnessSVM, *, overwrite: bool = False) -> None:
    """Write an svm folder, whole or not at all; DataError where ``out`` exists (unless ``overwrite``)."""
    refuse_existing(out, FILE, overwrite=overwrite)
    record = {
        "format": FORMAT,
        "masked": svm.masked,
        "offset": svm.offset,
        "direction": svm.direction.tolist(),
        "about": dict(svm.about),
    }
    with whole_folder(out) as draft:
        save_network(draft / "features", svm.network.kind, svm.network.numbers, svm.network.module, **svm.network.info)
        (draft / FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_svm(folder: Path) -> NaturalnessSVM:
    """The SVM of a folder; CheckpointError says what is missing or wrong."""
    if not (folder / FILE).is_file():
        raise CheckpointError(f"{folder} is no SVM of `legan ratings svm` (it has no {FILE}); make one, or correct the path.")
    network = load_network(folder / "features")
    try:
        record = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise CheckpointError(f"{folder} has SVM format {record['format']}, this version reads {FORMAT}; make it anew.")
        direction = np.array(record["direction"], np.float64)
        return NaturalnessSVM(network, direction, float(record["offset"]), bool(record["masked"]), dict(record["about"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / FILE} is damaged ({first_line(error)}); make it anew.") from error


def _expect_features(network: StoredNetwork) -> None:
    if not isinstance(network.module, LightCNN | FacenetIdentity):
        raise ConfigError([Problem("--features", instead_of(network.kind, IDENTITY))])


def _fit(features: NDArray[np.float64], natural: NDArray[np.bool_], penalty: float) -> LinearSVC:
    return LinearSVC(C=penalty, class_weight="balanced", dual="auto", max_iter=20_000, random_state=0).fit(features, natural)


def _balanced(natural: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float | None:
    """None where the split lacks a side."""
    return float(balanced_accuracy_score(natural, predicted)) if len(np.unique(natural)) == 2 else None


def _resized(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if image.shape[0] == size:
        return image
    quality = cv2.INTER_AREA if size < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size, size), interpolation=quality), np.uint8)
