"""A small LFW and a small IJB-B as data sets, and a network that tells their people apart as far as their colours do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from legan.models.attributes import AttributeSchema
from legan.models.identity import LightCNN
from legan.platform.data.dataset import Dataset
from legan.platform.data.masks import mean_shape
from legan.platform.data.write import write_dataset
from legan.platform.model import save_network

T = {"layers": 9, "classes": 3, "image_size": 32, "width": 0.125, "features": 16}
LANDMARKS = (mean_shape() * 32 / 3 + 16).astype(np.float32).reshape(-1)
Write = Callable[..., Dataset]


@pytest.fixture
def write_faces(tmp_path: Path) -> Write:
    """Writes a row per entry of ``subjects``: an image of the subject's pattern with noise of its own."""

    def write(subjects: list[str], source: str, skipped: tuple[str, ...] = (), **columns: object) -> Dataset:
        people = sorted(set(subjects))
        patterns = np.random.default_rng(0).integers(0, 256, (len(people), 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
        noise = np.random.default_rng(1).normal(0, 30, (len(subjects), 32, 32, 3))
        images = np.clip(patterns[[people.index(each) for each in subjects]] + noise, 0, 255).astype(np.uint8)
        faces = pd.DataFrame({"subject": subjects, "expression": "any", "lighting": "any", "split": "test"})
        faces = faces.assign(
            landmarks=[LANDMARKS] * len(faces), **{name: value for name, value in columns.items() if name != "info"}
        )
        lost = pd.DataFrame({"path": list(skipped), "kind": "no_face", "reason": "no face was found"})
        return write_dataset(
            tmp_path / source, name=source, schema=AttributeSchema(("any",), ("any",), {"any": "any"}), faces=faces,
            images=images, hulls=np.ones((len(faces), 32, 32), np.bool_), source=source, skipped=lost,
            info=columns.get("info") or {},
        )  # fmt: skip

    return write


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Folder of an untrained T."""
    torch.manual_seed(0)
    save_network(tmp_path / "T", "lightcnn", T, LightCNN(**T))
    return tmp_path / "T"


@pytest.fixture
def lfw(write_faces: Write) -> Dataset:
    """60 people with 4 images each, of which one was not usable."""
    names = [(f"Person_{person:02d}", number) for person in range(60) for number in range(1, 5)]
    paths = [f"lfw/{name}/{name}_{number:04d}.jpg" for name, number in names]
    lost = paths.pop(7)
    subjects = [path.split("/")[1] for path in paths]
    return write_faces(subjects, "lfw", (lost,), source_path=paths)


@pytest.fixture
def view_2(tmp_path: Path) -> Path:
    """Ten folds of 20 pairs of each kind; the pairs of six of them name the image that was not usable."""
    rng = np.random.default_rng(5)
    lines = ["10\t20"]
    for fold in range(10):
        people = [f"Person_{person:02d}" for person in range(fold * 6, fold * 6 + 6)]
        for _ in range(20):
            name = people[rng.integers(6)]
            one, other = rng.permutation(4)[:2] + 1
            lines.append(f"{name}\t{one}\t{other}")
        for _ in range(20):
            name, stranger = rng.permutation(people)[:2]
            lines.append(f"{name}\t{rng.integers(1, 5)}\t{stranger}\t{rng.integers(1, 5)}")
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.txt"


@pytest.fixture
def ijbb(write_faces: Write) -> Dataset:
    """30 people with 2 templates each; a template has a video of 1 to 3 frames and, some of them, an image. 900 has no face."""
    rng = np.random.default_rng(6)
    rows = []
    for person in range(30):
        for number in range(2):
            template = 100 + 10 * person + number
            rows += [(f"p{person}", template, "video")] * int(rng.integers(1, 4))
            rows += [(f"p{person}", template, "image")] * int(rng.integers(0, 2))
    subjects, templates, media = map(list, zip(*rows, strict=True))
    info = {"templates": [*sorted(set(templates)), 900]}
    return write_faces(subjects, "ijbb", template=templates, media=media, info=info)


@pytest.fixture
def template_pairs(tmp_path: Path, ijbb: Dataset) -> Path:
    """All pairs of a first template with a second one, as NIST lists them, and one with the template without a face."""
    first = [100 + 10 * person for person in range(30)]
    lines = [f"{one},{other + 1}" for one in first for other in first]
    (tmp_path / "ijbb_11_S1_S2_matches.csv").write_text("\n".join([*lines, f"900,{first[0]}"]) + "\n")
    return tmp_path / "ijbb_11_S1_S2_matches.csv"
