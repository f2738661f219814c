"""The paper's ablations as data: each variant of Tables 11-13 is a name and the settings that make it.

So are the variants of what the paper words in more than one way. The settings are those of ``legan train legan --set``, or of
``legan train quality --set`` in the suites OF_QUALITY; what is not named stays as in the full model.
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

CLASSIFICATION: Variants = {
    "Binary, mean": {"loss.classification": "bce", "loss.lambda_1": 20},
    "Binary, sum": {"loss.classification": "bce_sum", "loss.lambda_1": 1},
    "Softmax": {"loss.classification": "softmax", "loss.lambda_1": 1},
}
"""Lcls (Eq. 3) as the paper words it, as StarGAN's code has it, and as one cross-entropy each for expression and lighting.

Each comes with the λ1 that goes with it: with 26 classes, 20 × the mean is nearly as large as the sum.
"""

MARGIN: Variants = {
    "Eq. 1": {"loss": "margin"},
    "Section 9": {"loss": "hinge"},
    "Margin of the text": {"loss": "absolute"},
    "Squared error": {"loss": "squared"},
}
"""What Q is trained with: Eq. 1, its hinge, the margin σ as the text has it, and no margin at all."""

SUITES: Mapping[str, Variants] = {
    "losses": LOSSES,
    "upsampling": UPSAMPLING,
    "q": QUALITY_TARGET,
    "classification": CLASSIFICATION,
    "margin": MARGIN,
}
OF_QUALITY = ("margin",)
"""The suites that train Q on ratings, which needs neither T nor judges."""
