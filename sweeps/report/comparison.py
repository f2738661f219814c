"""Is a variant different from the full model, or are its seeds? With three seeds a mean alone says little.

The trials of a seed share the order of their images and all other chance of training, so variants are compared seed by seed: of
the differences d_1 … d_n comes the 95 % interval mean ± t(0.975, n - 1) · sd / √n. Student's t knows how little an sd
of three numbers is worth (t = 4.30 at n = 3, 12.7 at n = 2), and pairing asks for no equal variances, which a variant that
falls apart doesn't have. An interval that holds 0 is *within seed spread*: nothing was shown, not even that both are equal.
"""

import math
import statistics
from collections.abc import Mapping
from typing import Literal, NamedTuple

from scipy.stats import t as student

LEVEL = 0.95
Verdict = Literal["better", "worse", "within seed spread", "one seed only"]
BySeed = Mapping[int, float]


class Difference(NamedTuple):
    """Mean over n seeds of a variant's number less the full model's, with its 95 % interval; None with one seed."""

    mean: float
    interval: tuple[float, float] | None
    seeds: int

    def verdict(self, lower_is_better: bool) -> Verdict:
        """A word for it."""
        if self.interval is None:
            return "one seed only"
        low, high = self.interval
        if low <= 0 <= high:
            return "within seed spread"
        return "better" if (self.mean < 0) == lower_is_better else "worse"


def paired_difference(variant: BySeed, full: BySeed) -> Difference | None:
    """``variant`` less ``full`` over the seeds that both have; None without any."""
    differences = [variant[seed] - full[seed] for seed in sorted(variant.keys() & full.keys())]
    n = len(differences)
    if n == 0:
        return None
    mean = statistics.fmean(differences)
    if n == 1:
        return Difference(mean, None, 1)
    half = float(student.ppf((1 + LEVEL) / 2, n - 1)) * statistics.stdev(differences) / math.sqrt(n)
    return Difference(mean, (mean - half, mean + half), n)
