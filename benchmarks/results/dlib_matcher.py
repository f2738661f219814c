"""How well dlib's face descriptor tells people of a data set apart, by how it is shown a face and how features are compared.

    python benchmarks/results/dlib_matcher.py data/faces
    python benchmarks/results/dlib_matcher.py data/faces --from-size 32

Real images of the training split, at most 160, evenly spread, all pairs of them. ``ours`` is what ``--matcher dlib`` shows its
network; ``predictor`` is dlib's own chip by its five-point predictor. Needs the extra dlib.
"""

import argparse
import json
import time
from pathlib import Path

import dlib
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from legan.models.dlib_identity import CHIP, DlibIdentity, weights_file
from legan.models.verification import FacePairs, area_under_roc, face_pairs, rates_at, threshold_at
from legan.platform.data.dataset import open_dataset, spread
from legan.platform.evaluation.pairs import load_batch

FACES, BATCH, SIDE = 160, 32, 256
BOX = (0.14, 0.20, 0.86, 0.92)
"""Left, top, right and bottom of the face in an aligned image, as fractions: where the predictor looks."""
CUSTOMARY = 0.6


def by_predictor(x: Tensor) -> list[np.ndarray]:
    weights = weights_file()
    assert weights is not None, "pip install 'legan[dlib]'"
    predict = dlib.shape_predictor(str(weights.with_name("shape_predictor_5_face_landmarks.dat")))
    large = F.interpolate(x, size=(SIDE, SIDE), mode="bicubic", align_corners=False).clamp(-1, 1)
    images = ((large + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    box = dlib.rectangle(*(int(SIDE * edge) for edge in BOX))
    return [dlib.get_face_chip(image, predict(image, box), size=CHIP, padding=0.25) for image in images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--from-size", type=int, help="shrink the images to this first")
    options = parser.parse_args()

    data, network = open_dataset(options.data), DlibIdentity()
    rows = spread(data.real_rows("train"), FACES)
    people = torch.from_numpy(np.unique(data.subject[rows], return_inverse=True)[1])
    x = load_batch(data, rows, torch.device("cpu"))
    if options.from_size:
        x = F.interpolate(x, size=(options.from_size,) * 2, mode="area")

    start = time.process_time()
    ours = torch.cat([network.features(x[i : i + BATCH]) for i in range(0, len(x), BATCH)])
    seconds = (time.process_time() - start) / len(x)
    model = dlib.face_recognition_model_v1(str(weights_file()))
    theirs = torch.tensor([list(model.compute_face_descriptor(chip)) for chip in by_predictor(x)])

    about = {
        "benchmark": "dlib_matcher",
        "data": data.name,
        "size": x.shape[-1],
        "images": len(x),
        "people": len(set(people.tolist())),
    }
    print("| shown by | compared by | AUC | of one person above the threshold | strangers below 0.6 |\n|---|---|---|---|---|")
    for shown, features in (("ours", ours), ("predictor", theirs)):
        by_correlation = face_pairs(features, people)
        first, second = torch.triu_indices(len(x), len(x), offset=1)
        by_distance = FacePairs(-(features[first] - features[second]).double().norm(dim=1), by_correlation.same)
        lax = rates_at(by_distance, -CUSTOMARY).false_positives
        for compared, pairs in (("correlation", by_correlation), ("distance", by_distance)):
            threshold = threshold_at(pairs)
            area = area_under_roc(pairs)
            assert threshold is not None
            assert area is not None
            found = rates_at(pairs, threshold).true_positives
            print(f"| {shown} | {compared} | {area:.4f} | {found:.3f} | {lax:.3f} |")
            print(json.dumps(about | {"shown": shown, "compared": compared, "auc": round(area, 4), "found": found, "lax": lax}))
    print(f"{seconds:.3f} s of the processor an image")


if __name__ == "__main__":
    main()
