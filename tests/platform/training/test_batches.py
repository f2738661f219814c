import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from legan.platform.pixels import to_tensor
from legan.platform.training.batches import choose_variants, drawn_images, rows_of_split, rows_of_step, shift


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 2**31 - 1))
def test_every_epoch_sees_every_row_once(count, per_step, seed):
    rows = np.arange(count) * 3 + 1
    steps = -(-3 * count // per_step)
    seen = np.concatenate([rows_of_step(rows, per_step, step, seed) for step in range(steps)])
    for epoch in range(3):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == sorted(rows)


def test_order_depends_on_epoch_and_seed_only():
    rows = np.arange(50)
    assert np.array_equal(rows_of_step(rows, 10, 3, 7), rows_of_step(rows, 10, 3, 7))
    assert not np.array_equal(rows_of_step(rows, 50, 0, 7), rows_of_step(rows, 50, 1, 7))
    assert not np.array_equal(rows_of_step(rows, 50, 0, 7), rows_of_step(rows, 50, 0, 8))


def test_rows_of_split():
    assert rows_of_split(np.array(["train", "val", "train"]), "train").tolist() == [0, 2]


def test_variants_come_as_often_as_asked_for():
    chosen = choose_variants(30_000, [2, 1, 1, 1], torch.Generator().manual_seed(0))
    shares = np.bincount(chosen) / len(chosen)
    assert np.allclose(shares, [0.4, 0.2, 0.2, 0.2], atol=0.01)


def test_without_variants_no_number_is_drawn():
    first, second = (torch.Generator().manual_seed(0) for _ in range(2))
    assert not choose_variants(5, [1.0], first).any()
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))


def test_drawn_images_are_the_chosen_variants_of_their_rows():
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1).repeat(3, -1)
    drawn = drawn_images(images, [images + 10, images + 20], np.array([3, 0, 1, 3]), np.array([0, 1, 2, 2]))
    assert drawn[:, 0, 0, 0].tolist() == [3, 10, 21, 23]
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]


def test_shifted_images_repeat_their_edges():
    image = torch.arange(12, dtype=torch.uint8).view(1, 1, 3, 4)
    moved = shift(image.expand(3, 1, 3, 4), torch.tensor([[1, 0], [0, -2], [5, 5]]))
    assert moved[0, 0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert moved[1, 0].tolist() == [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]
    assert moved[2, 0].tolist() == [[0] * 4] * 3


def test_shifted_images_stay_channels_last():
    images = to_tensor(np.zeros((2, 8, 8, 3), np.uint8))
    assert shift(images, torch.zeros(2, 2, dtype=torch.int64)).is_contiguous(memory_format=torch.channels_last)
