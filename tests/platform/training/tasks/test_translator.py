from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from legan.models.generator import Generator
from legan.platform.data.dataset import Dataset, open_dataset
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
