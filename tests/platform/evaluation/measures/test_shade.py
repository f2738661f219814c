from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from legan.models.generator import Translation
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.rendered.light import LAMPS, direction
from legan.platform.data.rendered.render import SCHEMA, render_dataset
from legan.platform.evaluation.measures.shade import (
    angle_between,
    band_of,
    known_lamps,
    people_bands,
    shade_of,
    tone_of,
    towards_lamps,
    towards_light,
)
from legan.platform.evaluation.pairs import choose_pairs, load_batch

CPU = torch.device("cpu")


def faces_of(colours: Any) -> Tensor:
    """Float images in [-1, 1] of uint8 N×H×W×3 values."""
    return torch.from_numpy(np.asarray(colours, np.uint8)).permute(0, 3, 1, 2).float() / 127.5 - 1


def cielab(colour: tuple[int, int, int]) -> tuple[float, float]:
    """L* and b* of an sRGB colour from the standard's own formulas (IEC 61966-2-1, CIE 15, D65)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in colour)]
    weights = [(0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)]
    xyz = [sum(w * v for w, v in zip(row, linear, strict=True)) for row in weights]
    _, fy, fz = (t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29
                 for t in (v / white for v, white in zip(xyz, (0.95047, 1.0, 1.08883), strict=True)))  # fmt: skip
    return 116 * fy - 16, 200 * (fy - fz)


@pytest.mark.parametrize("colour", [(236, 188, 160), (141, 85, 60), (60, 40, 30)])
def test_the_skin_tone_is_ita_by_the_formulas_of_the_standard(colour: tuple[int, int, int]) -> None:
    lightness, yellow = cielab(colour)
    images = np.zeros((1, 8, 8, 3))
    images[:, 2:6, 2:6] = colour
    inside = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    inside[..., 2:6, 2:6] = True
    expected = np.degrees(np.arctan2(lightness - 50, yellow))
    assert shade_of(faces_of(images), inside).tone.item() == pytest.approx(expected, abs=0.05)


def test_eyes_and_lips_do_not_change_the_tone() -> None:
    skin, eye = [70.0, 10.0, 20.0], [5.0, 0.0, 0.0]
    assert tone_of(np.array([skin] * 9 + [eye] * 4)) == pytest.approx(45.0)


def test_halves_are_the_viewers_and_only_the_hull_counts() -> None:
    images = np.full((2, 8, 8, 3), 255)
    images[0, 1:7, 1:4], images[0, 1:7, 4:7] = 0, 119  # black at the left, L* 50 at the right
    images[1, 1:4, 1:7], images[1, 4:7, 1:7] = 119, 0
    inside = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    inside[..., 1:7, 1:7] = True
    found = shade_of(faces_of(images), inside)
    assert found.side.tolist() == pytest.approx([50.0, 0.0], abs=0.1)
    assert found.height.tolist() == pytest.approx([0.0, 50.0], abs=0.1)


def test_a_hull_of_nothing_has_no_numbers() -> None:
    found = shade_of(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool))
    assert all(part.isnan().all() for part in found)


def test_the_light_of_an_ellipsoid_is_found() -> None:
    """Luminance that is n · l exactly, at all places of an ellipse's bounding box that it covers."""
    y, x = (each.ravel() for each in np.mgrid[0:41, 0:31].astype(float))
    towards = np.array([0.5, -0.3, np.sqrt(1 - 0.34)])
    across, down = (x - 15) / (15.5 * 1.3), (y - 20) / (20.5 * 1.3)
    luminance = np.stack([across, -down, np.sqrt(np.clip(1 - across**2 - down**2, 0, 1))], 1) @ towards
    assert towards_light(luminance, x, y) == pytest.approx(towards)
    turned = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert angle_between(turned, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])).tolist() == pytest.approx([0, 90])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("rendered") / "faces"
    render_dataset(out, subjects=4, size=32, seed=3, val_share=0.25, test_share=0.25)
    return open_dataset(out)


def test_on_rendered_faces_the_light_comes_from_its_side_and_strength_follows_the_angle(rendered: Dataset) -> None:
    rows = rendered.rows()
    found = shade_of(load_batch(rendered, rows, CPU), torch.from_numpy(rendered.hulls(rows))[:, None])
    lamps = known_lamps(rendered, SCHEMA)
    assert lamps is not None
    assert {SCHEMA.lightings[k] for k in lamps} == set(SCHEMA.lightings) - {"ambient", "sides"}
    towards = towards_lamps(lamps, torch.from_numpy(rendered.lighting))
    error = angle_between(found.towards, towards)
    assert error.isnan().sum() == 2 * len(rows) // 20
    assert 5 < error.nanmedian() < 25, "a rough eye, and no blind one"
    names = rendered.faces["lighting"].to_numpy()
    middle = {name: found.towards[torch.from_numpy(names == name)].mean(0) for name in SCHEMA.lightings}
    sides = ["left_side", "left_half", "left_slight", "front", "right_slight", "right_half", "right_side"]
    across = [middle[name][0] for name in sides]
    assert across == sorted(across)
    up = [middle[name][1] for name in ("bottom", "bottom_slight", "top_slight", "top")]
    assert up == sorted(up)
    assert towards[torch.from_numpy(names == "left")][0].tolist() == pytest.approx(direction(LAMPS["left"].lamps[0]).tolist())


def test_photographs_have_no_known_lamps(data: Dataset) -> None:
    assert known_lamps(data, data.schema) is None


def test_bands_are_by_person_and_their_limits_those_of_the_literature(rendered: Dataset) -> None:
    assert [band_of(tone) for tone in (-40, -30, 0, 11, 29, 42, 56)] == [
        "dark", "dark", "brown", "tan", "intermediate", "light", "very light",
    ]  # fmt: skip
    assert band_of(float("nan")) == "unknown"
    bands = people_bands(rendered, rendered.rows())
    assert set(bands) == set(rendered.faces["subject"])
    brightness = {name: rendered.images[rendered.subject == name].mean() for name in bands}
    assert (
        people_bands(replace(rendered, images=np.zeros_like(rendered.images)), rendered.rows("test")).keys() < brightness.keys()
    )


def test_outputs_are_held_against_source_and_target_and_every_number_is_by_tone_too(data: Dataset, tiny: Any) -> None:
    class Lighter(torch.nn.Module):
        disentangled = False

        def forward(self, x: Tensor, f: Tensor) -> Translation:
            return Translation(x * 0.5 + 0.5, None, None)

    pairs = choose_pairs(data, 20, seed=0)
    evaluation = tiny.evaluate(replace(tiny.model(), generator=Lighter()), pairs)
    table = evaluation.table
    assert table.loc["output", "ita_change"] > 5
    assert table.loc["copy input", "ita_change"] == 0 == table.loc["real images", "ita_to_target"]
    source, target = pairs.iloc[0][["source_row", "target_row"]]
    inside = torch.from_numpy(data.hulls([source, target]))[:, None]
    pixels = shade_of(load_batch(data, np.array([source, target]), CPU), inside)
    copied = evaluation.scores[evaluation.scores["method"] == "copy input"].iloc[0]
    assert copied["side_light_to_target"] == pytest.approx(abs(float(pixels.side[0] - pixels.side[1])))
    tones = evaluation.classes[evaluation.classes["attribute"] == "skin tone"]
    assert tones["pairs"].tolist() == [20, 20, 20], "one person"
    assert tones.set_index("method").loc["output", "ssim_to_target"] == pytest.approx(table.loc["output", "ssim_to_target"])
    assert "light_angle" not in table
    assert isinstance(evaluation.classes, pd.DataFrame)
