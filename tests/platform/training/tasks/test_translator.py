from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.platform.training.tasks.test_legan_stargan import make_task

from legan.models.generator import Generator
from legan.platform.data.dataset import Dataset, LeftOut, open_dataset
from legan.platform.evaluation.figures import GAP, SMALLEST_TILE
from legan.platform.training.tasks.translator import goal_of, held_out_pairs, sample_grids


class Watching(Generator):
    """Keeps what it was given."""

    def forward(self, x: torch.Tensor, f: torch.Tensor):
        self.seen = x
        return super().forward(x, f)


def marked(data: Dataset, rows: np.ndarray) -> Dataset:
    return replace(data, faces=data.faces.assign(synthetic=np.isin(np.arange(len(data)), rows)))


def test_translations_are_not_validated_on(tiny_data: Path) -> None:
    data = open_dataset(tiny_data)
    held_out = data.rows("val")
    pairs = held_out_pairs(marked(data, held_out[:9]))
    assert pairs is not None
    assert set(pairs["source_row"]) | set(pairs["target_row"]) == set(held_out[9:])
    nobody = held_out_pairs(marked(data, held_out))
    assert nobody is None
    assert goal_of(nobody).metric == "val/l1_cycle"


def test_pictures_show_a_photograph_of_the_validation_split_and_never_a_test_person(tiny_data: Path) -> None:
    data = open_dataset(tiny_data)
    torch.manual_seed(0)
    G = Watching(3, 4, width=4, blocks=0)
    for made, shown in (
        (data.rows("val")[:5], data.rows("val")[5]),
        (data.rows("val"), data.rows("train")[0]),
    ):
        sample_grids(G, marked(data, made), torch.device("cpu"))
        expected = torch.from_numpy(data.images[shown].copy()).permute(2, 0, 1).float() / 127.5 - 1
        torch.testing.assert_close(G.seen[0], expected)


@pytest.mark.parametrize(("gone", "columns"), [(((), ("left", "right", "ambient")), 1 + 3), ((("smile", "scream"), ()), 1 + 4)])
def test_a_kind_with_one_class_has_no_column_in_the_pictures(tiny_data: Path, gone, columns: int) -> None:
    data = open_dataset(tiny_data)
    data = data.without(LeftOut(*gone))
    shown = sample_grids(Generator(*map(len, (data.schema.expressions, data.schema.lightings)), 4, 0), data, torch.device("cpu"))
    assert {grid.shape[1] for grid in shown.values()} == {GAP + columns * (SMALLEST_TILE + GAP)}


def test_a_training_ends_with_what_ratings_by_its_q_mean(tiny_data: Path) -> None:
    def remarks(**quality) -> list[str]:
        task = make_task(tiny_data)
        task.stated = {"quality": quality}
        return task.remarks()

    said, warned = remarks(raters="simulated", images=40, mean=4.8, sd=1.1, fake_mean=6.7)
    assert said == "quality is by simulated raters; real images: 4.8 ± 1.1; this model's outputs: 6.7"
    assert warned.startswith("Q rates this model's outputs above real images (6.7 against 4.8 on average)")
    assert len(remarks(raters="people", images=40, mean=4.8, sd=1.1, fake_mean=4.2)) == 1
    assert remarks(raters="people") == ["quality is by human raters; no real images were rated"]


def test_a_collapsed_translator_is_doubted_and_remarked(tiny_data: Path) -> None:
    task = make_task(tiny_data)
    assert task.doubts() == []
    with torch.no_grad():
        for network in (task.networks["generator"], task.translator):
            for hourglass in (network.expression, network.lighting):
                hourglass.conv0[0].weight[:, 3:] = 0
    (doubt,) = task.doubts()
    assert doubt.startswith("G has collapsed: its output does not depend on the expression asked for (it changes by ")
    assert doubt in task.remarks()
    task.data = marked(task.data, task.data.rows("val"))
    assert task.doubts() == [], "nobody is held out"
