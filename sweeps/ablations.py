"""The paper's ablations as data: each variant of Tables 11-13 is a name and the settings that make it.

The settings are those of ``legan train legan --set``; what is not named stays as in the full model.
"""

from collections.abc import Mapping
from typing import Any

Variants = Mapping[str, Mapping[str, Any]]

LOSSES: Variants = {
    "wo/ disentangling": {"generator.disentangled": False},
    "wo/ disentangling, matched": {"generator.disentangled": False, "generator.matched": True},
    "wo/ Ladv": {"loss.lambda_adv_g": 0},
    "wo/ Lcls": {"loss.lambda_1_g": 0},
    "wo/ Lrec": {"loss.lambda_2": 0},
    "wo/ Lqual": {"loss.lambda_4": 0},
    "wo/ Lid": {"loss.lambda_3": 0},
    "LEGAN": {},
}
"""Table 11: terms are taken from what G minimises, and D keeps its own.

*wo/ disentangling* has a third of the parameters; the paper has no row for one hourglass that is as large as the three.
"""

UPSAMPLING: Variants = {
    "Bilinear Interpolation": {"generator.upsampling": "bilinear"},
    "Transposed Convolution": {"generator.upsampling": "transposed"},
    "Pixel Shuffling": {"generator.upsampling": "pixel_shuffle"},
}
"""Table 12."""

QUALITY_TARGET: Variants = {f"q = {q}": {"loss.q": q} for q in range(5, 11)}
"""Table 13."""

SUITES: Mapping[str, Variants] = {"losses": LOSSES, "upsampling": UPSAMPLING, "q": QUALITY_TARGET}
