from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset
from legan.platform.data.faces.detect import FaceDetector
from legan.platform.data.masks import five_points
from legan.platform.data.rendered.render import render_faces
from legan.platform.evaluation.evaluate import EvaluationRequest, prepare
from legan.platform.evaluation.measures.own_hull import RealFaces, five_points_in, own_hulls
from legan.platform.evaluation.pairs import choose_pairs


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.mark.parametrize("size", [32, 64, 160])
def test_points_are_where_the_renderer_put_them(detector: FaceDetector, size: int) -> None:
    faces = render_faces(3, size=size, seed=2, expressions=["neutral"], lightings=["front"])
    found = five_points_in(faces.images[0, 0], detector)
    assert found is not None
    assert np.abs(found - five_points(faces.landmarks[0])).max() < 0.07 * size


def test_a_face_has_its_own_hull_and_what_shows_none_has_the_other(detector: FaceDetector) -> None:
    face = render_faces(3, size=64, seed=2, expressions=["neutral"], lightings=["front"]).images[0, 0]
    pictures = np.stack([face, np.roll(face, 8, axis=1), np.full_like(face, 90)])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    other = torch.zeros(3, 1, 64, 64, dtype=torch.bool)
    other[..., :5, :5] = True
    hulls, found = own_hulls(images, other, detector)
    assert found.tolist() == [True, True, False]
    assert torch.equal(hulls[2], other[2])
    middle = [hull[0].nonzero()[:, 1].double().mean() for hull in hulls]
    assert middle[1] - middle[0] == pytest.approx(8, abs=2), "the hull moves with the face"


def test_q_sees_outputs_in_the_hulls_that_were_found_and_all_else_in_those_of_the_data(data: Dataset, tiny: Any) -> None:
    seen = []

    class Watching(QualityModel):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean((1, 2, 3))

    class Blind:
        def detect(self, image: Any, min_size: int) -> list[Any]:
            return []

    pairs = choose_pairs(data, 5, seed=0)
    judges = replace(tiny.judges(), quality=Watching(image_size=32, width=4, layers=3, hidden=8), detector=Blind())
    table = tiny.evaluate(tiny.model(), pairs, judges=judges).table
    assert (table["face_found"] == 0).all()
    outside = ~torch.from_numpy(data.hulls(pairs["source_row"].to_numpy()))
    assert (seen[0].permute(0, 2, 3, 1)[outside] == -1).all()
    assert "face_found" not in tiny.evaluate(tiny.model(), pairs).table


def test_sources_and_targets_are_looked_at_once_each(data: Dataset, tiny: Any) -> None:
    class Once:
        """Remembers what it is shown."""

        def __init__(self) -> None:
            self.seen: list[bytes] = []

        def detect(self, image: np.ndarray[Any, Any], min_size: int) -> list[Any]:
            self.seen.append(image.tobytes())
            return []

    pairs = choose_pairs(data, 12, seed=0)
    detector, rows = Once(), np.unique(pairs[["source_row", "target_row"]].to_numpy(np.int64))
    tiny.evaluate(tiny.model(), pairs, judges=replace(tiny.judges(), detector=detector))
    assert len(detector.seen) == len(pairs) + len(rows)


def test_rows_say_in_which_a_face_is_found(detector: FaceDetector, data: Dataset) -> None:
    faces = render_faces(3, size=32, seed=2, expressions=["neutral"], lightings=["front"]).images[0]
    images = np.concatenate([faces, np.full_like(faces[:1], 90)])
    shown = RealFaces(replace(data, images=images), detector)
    expected = [five_points_in(image, detector) is not None for image in images]
    rows = np.arange(len(images))[::-1]
    assert shown.found(rows, torch.device("cpu")).tolist() == expected[::-1]
    assert expected[0]
    assert not expected[-1]


def test_every_evaluation_looks_for_faces(tiny: Any, tiny_data: Path) -> None:
    classifier, matcher = tiny.save_judges()
    bench = prepare(str(tiny.save("model", tiny.model())), EvaluationRequest(tiny_data, classifier, matcher, pairs=4))
    assert isinstance(bench.judges.detector, FaceDetector)
