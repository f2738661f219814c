"""Photographs turned by quarters: how many faces are found, how many with the eyes in place, and how long it takes.

    python benchmarks/results/turned_photographs.py ../shared/data/yalefaces ../shared/data/photos

Each photograph's largest face is looked for as it lies, and turned by 90, 180 and 270°, by the detector alone and by the list of
attempts. Eyes are in place within a quarter of the eye distance from where the upright photograph has them. The confidences that
decide were chosen on the photographs of CHOSEN; the others are told apart. Times are medians, measured in turn on the same image.
The photographs without a face are scikit-image's.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage import data

from legan.platform.data.align import transform_points
from legan.platform.data.faces.attempts import quarters
from legan.platform.data.faces.detect import Face, FaceDetector
from legan.platform.data.faces.find import FaceFinder
from legan.platform.data.image import read_image

CHOSEN = tuple(
    [f"subject0{number}" for number in range(1, 8)] + [f"celeba_hq_{number}" for number in range(1, 5)] + ["portrait_1"]
)
WITHOUT = ("coffee", "chelsea", "rocket", "retina", "brick", "grass")

Find = Callable[[np.ndarray], list[Face]]


def counts(photos: Sequence[np.ndarray], find: Find, true: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Photographs in which ``find`` finds a face, and has its eyes in place, upright and turned clockwise by 90, 180 and 270°."""
    rows = []
    for turns in range(4):
        found = right = 0
        for photo, points in zip(photos, true, strict=True):
            turned = np.ascontiguousarray(np.rot90(photo, -turns))
            there = transform_points(points, quarters(-turns % 4, *turned.shape[:2]))
            faces = find(turned)
            found += bool(faces)
            apart = np.linalg.norm(faces[0].points[:2] - there[:2], axis=1).max() if faces else np.inf
            right += bool(apart < 0.25 * np.linalg.norm(there[1] - there[0]))
        rows.append((found, right))
    return rows


def times(photos: Sequence[np.ndarray], ways: Sequence[Find], rounds: int) -> np.ndarray:
    """The least seconds of the processor that each way took for each photograph, photographs × ways."""
    taken = np.full((len(photos), len(ways)), np.inf)
    for _ in range(rounds):
        for row, photo in enumerate(photos):
            for column, find in enumerate(ways):
                start = time.process_time()
                find(photo)
                taken[row, column] = min(taken[row, column], time.process_time() - start)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    detector = FaceDetector()
    finder = FaceFinder(detector, 40)
    ways: dict[str, Find] = {"detector alone": detector.detect, "attempts": lambda photo: finder.find(photo).faces}
    files = [file for folder in options.folders for file in sorted(folder.iterdir()) if not file.name.startswith(("README", "."))]

    print("| photographs | by | upright | turned by 90° | 180° | 270° |\n|---|---|---|---|---|---|")
    for group, wanted in (("chosen on", True), ("others", False)):
        photos = [read_image(file) for file in files if file.name.startswith(CHOSEN) == wanted]
        true = [detector.detect(photo)[0].points for photo in photos]
        for name, find in ways.items():
            rows = counts(photos, find, true)
            cells = " | ".join(f"{found} found, {right} right" for found, right in rows)
            print(f"| {len(photos)}, {group} | {name} | {cells} |", flush=True)
            turned = {"found": sum(found for found, _ in rows[1:]), "right": sum(right for _, right in rows[1:])}
            claim = {"benchmark": "turned", "group": group, "by": name, "upright_right": rows[0][1], "turned": 3 * len(photos)}
            print(json.dumps(claim | turned), flush=True)

    for name, photos in (
        ("upright", [read_image(file) for file in files]),
        ("without a face", [getattr(data, w)() for w in WITHOUT]),
    ):
        taken = 1000 * times(
            [photo if photo.ndim == 3 else np.dstack([photo] * 3) for photo in photos], list(ways.values()), options.rounds
        )
        (alone, attempts), ratio = np.median(taken, axis=0), np.median(taken[:, 1] / taken[:, 0])
        print(f"| {len(photos)} {name} | {alone:.1f} ms | {attempts:.1f} ms | median ratio {ratio:.2f} |")
        means = {"mean_ratio": round(float(taken[:, 1].sum() / taken[:, 0].sum()), 3)}
        print(
            json.dumps(
                {"benchmark": "attempts", "of": name, "alone_ms": round(alone, 1), "attempts_ms": round(attempts, 1)} | means
            )
        )


if __name__ == "__main__":
    main()
