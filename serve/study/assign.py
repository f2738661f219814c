"""Who rates what, and in which order: pure functions of a seed."""

from collections.abc import Sequence

import numpy as np


def assign(sizes: Sequence[int], raters: int, per_unit: int, seed: int) -> list[list[int]]:
    """For each unit (an image, a line-up, or a batch of them) the raters, numbered from 0, who judge it.

    ``sizes`` counts each unit's items. Every unit gets ``per_unit`` different raters, and the raters' totals of items differ by
    the largest unit at most (by one where each unit is one item): units are taken from the largest to the smallest, each goes to
    the raters who have least, and ties are broken by lot.
    """
    if not 1 <= per_unit <= raters:
        raise ValueError(f"{raters} cannot give {per_unit} for each unit")
    rng = np.random.default_rng([seed, 11])
    load = np.zeros(raters, np.int64)
    chosen: list[list[int]] = [[] for _ in sizes]
    lot = rng.permutation(len(sizes))
    for unit in sorted(lot.tolist(), key=lambda unit: -sizes[unit]):
        least = np.lexsort((rng.random(raters), load))[:per_unit]
        load[least] += sizes[unit]
        chosen[unit] = sorted(least.tolist())
    return chosen


def item_order(items: Sequence[int], rater: int, seed: int) -> list[int]:
    """A rater's items, shuffled."""
    order = np.random.default_rng([seed, 12, rater]).permutation(len(items))
    return [items[index] for index in order]


def model_order(models: Sequence[str], rater: int, item: int, seed: int) -> list[str]:
    """A line-up's models from the first place to the last, shuffled for each rater and item."""
    order = np.random.default_rng([seed, 13, rater, item]).permutation(len(models))
    return [models[index] for index in order]
