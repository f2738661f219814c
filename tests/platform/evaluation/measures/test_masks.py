from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import pearsonr
from torch import Tensor

from legan.models.generator import Generator, Translation
from legan.platform.data.dataset import Dataset
from legan.platform.evaluation.evaluate import EvaluationRequest, prepare
from legan.platform.evaluation.measures.masks import FACES, change, changes, correlation_inside, mask_scores
from legan.platform.evaluation.pairs import choose_pairs, load_batch
from legan.platform.evaluation.report import write_report

CPU = torch.device("cpu")


def test_change_by_hand() -> None:
    """Two channels, three classes: of 0, 3, 0 the mean is 1, the deviations 1, 2, 1; the other channel never changes."""
    images = torch.tensor([[0.0, 5.0], [3.0, 5.0], [0.0, 5.0]]).reshape(3, 1, 2, 1, 1)
    assert change(images).item() == pytest.approx((4 / 3 + 0) / 2)


def test_the_correlation_is_scipys_over_the_pixels_inside() -> None:
    rng = np.random.default_rng(0)
    a, inside = rng.normal(size=(3, 9, 9)), rng.random((3, 9, 9)) < 0.6
    b = a + rng.normal(size=a.shape)
    expected = [pearsonr(x[where], y[where]).statistic for x, y, where in zip(a, b, inside, strict=True)]
    a[~inside] = 1e3  # what lies outside has no say
    found = correlation_inside(*(torch.from_numpy(each) for each in (a, b, inside)))
    assert found.tolist() == pytest.approx(expected)


def test_a_mask_that_never_changes_shows_nothing() -> None:
    flat, lively = torch.ones(1, 4, 4), torch.arange(16.0).reshape(1, 4, 4)
    assert correlation_inside(flat, lively, torch.ones(1, 4, 4, dtype=torch.bool)).item() == 0
    assert correlation_inside(lively, lively, torch.zeros(1, 4, 4, dtype=torch.bool)).item() == 0


class Painter(Generator):
    """Me paints the left half by its class and the output as well; Ml paints the right half, but the output the left."""

    def __init__(self) -> None:
        super().__init__(3, 4, width=4, blocks=0)

    def forward(self, x: Tensor, f: Tensor) -> Translation:
        half = x.shape[3] // 2
        expression, lighting = f[:, :3].argmax(1), f[:, 3:].argmax(1)
        e, g = (each.float()[:, None, None, None] / 4 for each in (expression, lighting))
        mask_e, mask_l, image = x.clone() * 0, x.clone() * 0, x.clone() * 0
        mask_e[..., :half] += e
        mask_l[..., half:] += g
        image[..., :half] += e + g
        return Translation(image, mask_e, mask_l)


def test_masks_that_show_the_change_score_1_and_those_that_show_another_place_minus_1(data: Dataset, tiny: Any) -> None:
    evaluation = tiny.evaluate(replace(tiny.model(), generator=Painter()), choose_pairs(data, 20, seed=0))
    row = evaluation.table.loc["output"]
    assert (row["mask_expression"], row["mask_lighting"]) == pytest.approx((1.0, -1.0))
    assert np.isnan(evaluation.table.loc[["copy input", "real images"], "mask_lighting"]).all()


def test_the_other_axis_stays_the_faces_own_and_each_face_is_measured_once(data: Dataset, tiny: Any) -> None:
    asked = []

    class Watched(Painter):
        def forward(self, x: Tensor, f: Tensor) -> Translation:
            asked.append(f)
            return super().forward(x, f)

    pairs = choose_pairs(data, 40, seed=0)
    faces = pairs.drop_duplicates("source_row")
    assert len(faces) < len(pairs)
    scores = mask_scores(replace(tiny.model(), generator=Watched()), data, pairs, CPU)
    assert scores.index.equals(pairs.index)
    assert scores.notna().all(axis=1).sum() == len(faces) <= FACES
    f = torch.cat(asked)
    own = torch.from_numpy(data.expression[faces["source_row"]]), torch.from_numpy(data.lighting[faces["source_row"]])
    of_e, of_l = f[: 3 * len(faces)], f[3 * len(faces) :]
    assert torch.equal(of_e[:, 3:].argmax(1), own[1].repeat(3))
    assert torch.equal(of_l[:, :3].argmax(1), own[0].repeat(4))
    assert torch.equal(of_e[:, :3].argmax(1).unique(), torch.arange(3))


def test_scores_are_what_numpy_and_scipy_make_of_the_networks_pictures(data: Dataset, tiny: Any) -> None:
    model, pairs = tiny.model(), choose_pairs(data, 3, seed=0)
    scores, G = mask_scores(model, data, pairs, CPU), model.generator
    for pair in pairs.drop_duplicates("source_row").itertuples():
        row = pair.source_row
        x, inside = load_batch(data, np.array([row]), CPU), data.hulls([row])[0]
        labels = [model.schema.encode(torch.tensor([e]), torch.tensor([data.lighting[row]])) for e in range(3)]
        with torch.inference_mode():
            made = [G(x, f) for f in labels]
        maps = [
            np.stack([picture[0].numpy() for picture in pictures]) for pictures in zip(*((m[1], m[0]) for m in made), strict=True)
        ]
        mask, output = (np.abs(each - each.mean(0)).mean((0, 1))[inside] for each in maps)
        assert scores.loc[pair.Index, "mask_expression"] == pytest.approx(pearsonr(mask, output).statistic, abs=1e-5)


def test_a_generator_without_masks_is_left_out_and_says_so(data: Dataset, tiny: Any, tiny_data: Path) -> None:
    single, pairs = tiny.model(disentangled=False), choose_pairs(data, 5, seed=0)
    assert changes(single, load_batch(data, np.array([60]), CPU), (torch.tensor([0]), torch.tensor([0]))) == {}
    assert not {"mask_expression", "mask_lighting"} & set(tiny.evaluate(single, pairs).table.columns)
    classifier, matcher = tiny.save_judges()
    bench = prepare(str(tiny.save("single", single)), EvaluationRequest(tiny_data, classifier, matcher, pairs=4))
    assert bench.left_out["mask_expression, mask_lighting"] == "the generator makes no masks"
    assert "mask_expression and mask_lighting are left out: the generator makes no masks." in bench.advice
    bench = prepare(str(tiny.save("three", tiny.model())), EvaluationRequest(tiny_data, classifier, matcher, pairs=4))
    assert "mask_expression, mask_lighting" not in bench.left_out


def test_the_picture_shows_masks_beside_what_changes(data: Dataset, tiny: Any, tmp_path: Path) -> None:
    model = replace(tiny.model(), generator=Painter())
    evaluation = tiny.evaluate(model, choose_pairs(data, 20, seed=0))
    files = write_report(tmp_path, evaluation, model, data, {}, CPU)
    assert tmp_path / "masks.png" in files
    picture = np.asarray(Image.open(tmp_path / "masks.png").convert("L"))
    faces = 8
    assert picture.shape[0] > faces * 96
    tiles = picture[-faces * 100 :, -8 * 100 :].reshape(faces, 100, 8, 100)[:, :96, :, :96]
    halves = tiles.reshape(faces, 96, 8, 2, 48).mean((1, 4))
    left, right = halves[..., 0].mean(0), halves[..., 1].mean(0)
    # columns: input, Me, Me changes, output changes, Ml, Ml changes, output changes, output
    assert left[2] > 100 > right[2] == 0
    assert right[5] > 100 > left[5] == 0
    assert left[3] > 100 > right[3] == left[5] == 0
    assert left[6] > 100 > right[6] == 0

    single = tiny.model(disentangled=False)
    files = write_report(tmp_path, tiny.evaluate(single, evaluation.pairs), single, data, {}, CPU)
    assert tmp_path / "masks.png" not in files
    assert not (tmp_path / "masks.png").exists()


def test_an_axis_of_one_class_has_no_measure(data: Dataset, tiny: Any) -> None:
    lit = data.without(type(data.left_out)((), ("right", "front", "ambient")))
    model = replace(tiny.model(), generator=Generator(3, 1, width=4, blocks=0), schema=lit.schema)
    found = mask_scores(model, lit, pd.DataFrame({"source_row": lit.rows("test")}), CPU)
    assert list(found) == ["mask_expression"]
