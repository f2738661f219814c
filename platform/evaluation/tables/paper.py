"""The paper's Tables 1, 2 and 3 as data, with the names that methods and columns have there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from legan.platform.evaluation.metric_names import (
    EXPRESSION_ACCURACY,
    FD_IDENTITY,
    FID,
    KID,
    L1,
    LIGHTING_ACCURACY,
    LPIPS,
    MATCH,
    QUALITY,
    REAL_IMAGES,
    SSIM,
    Reference,
)

STARGAN, STARGAN_LQUAL, STARGAN_V2, LEGAN = "StarGAN", "StarGAN w/ Lqual", "StarGAN-v2", "LEGAN"
HUMAN_PREFERENCE = "Human preference"
"""Column of what people chose in a line-up study; no evaluation measures it."""
PAPER_METRICS = (*(metric.title for metric in (FID, LPIPS, SSIM, MATCH, QUALITY)), HUMAN_PREFERENCE)
OUR_METRICS = tuple(metric.title for metric in (KID, FD_IDENTITY, L1, EXPRESSION_ACCURACY, LIGHTING_ACCURACY))
SPELLINGS = {
    "stargan": STARGAN,
    "starganlqual": STARGAN_LQUAL,
    "starganwlqual": STARGAN_LQUAL,
    "starganwithlqual": STARGAN_LQUAL,
    "starganv2": STARGAN_V2,
    "legan": LEGAN,
}


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper: what it is measured on, what images are compared with, its numbers by method and metric."""

    number: int
    data: str
    reference: Reference
    numbers: Mapping[str, Mapping[str, float]]


def paper_row(
    fid: float, lpips: float, ssim: float, match: float, quality: float, human: float | None = None
) -> dict[str, float]:
    """A row of a table of the paper, its columns in their order."""
    numbers = (fid, lpips, ssim, match, quality, *(() if human is None else (human,)))
    return dict(zip(PAPER_METRICS, numbers, strict=False))


PAPER = {
    1: PaperTable(
        1,
        "CMU Multi-PIE, held-out subjects",
        "target",
        {
            STARGAN: paper_row(38.745, 0.126, 0.559, 0.635, 5.200, 22.3),
            STARGAN_LQUAL: paper_row(34.045, 0.123, 0.567, 0.647, 5.391, 34.7),
            STARGAN_V2: paper_row(54.842, 0.212, 0.415, 0.202, 5.172, 3.75),
            LEGAN: paper_row(29.964, 0.120, 0.649, 0.649, 5.853, 39.3),
            REAL_IMAGES: {FID.title: 12.931, MATCH.title: 0.739, QUALITY.title: 5.921},
        },
    ),
    2: PaperTable(
        2,
        "AFLW",
        "source",
        {
            STARGAN: paper_row(43.987, 0.302, 0.639, 0.622, 6.41),
            STARGAN_LQUAL: paper_row(41.641, 0.268, 0.624, 0.614, 6.73),
            STARGAN_V2: paper_row(59.328, 0.445, 0.279, 0.213, 6.60),
            LEGAN: paper_row(38.794, 0.271, 0.622, 0.628, 6.68),
            REAL_IMAGES: {QUALITY.title: 6.83},
        },
    ),
    3: PaperTable(
        3,
        "CelebA",
        "source",
        {
            STARGAN: paper_row(42.089, 0.173, 0.623, 0.620, 6.98),
            STARGAN_LQUAL: paper_row(36.189, 0.145, 0.614, 0.621, 7.15),
            STARGAN_V2: paper_row(50.360, 0.311, 0.312, 0.295, 6.89),
            LEGAN: paper_row(29.059, 0.184, 0.662, 0.635, 7.07),
            REAL_IMAGES: {QUALITY.title: 7.31},
        },
    ),
}


def method_name(name: str) -> str:
    """The paper's spelling of a method's name, or the name itself."""
    return SPELLINGS.get(re.sub(r"[^a-z0-9]", "", name.lower()), name)
