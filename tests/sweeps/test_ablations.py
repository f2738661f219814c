import math

import pytest
import torch

from legan.models.losses import CLASSIFICATION_KINDS, classification_loss
from legan.models.quality import QUALITY_LOSSES
from legan.platform.config import apply_overrides, check_settings, flatten, read_section
from legan.platform.settings import LeganSettings, QualitySettings
from legan.sweeps.ablations import CLASSIFICATION, LOSSES, MARGIN, OF_QUALITY, QUALITY_TARGET, SUITES, UPSAMPLING

LEGAN = LeganSettings, read_section("paper", "legan") | {"identity": "t", "quality": "q"}
Q = QualitySettings, read_section("paper", "quality") | {"ratings": "rated"}
VARIANTS = [(suite, name) for suite, variants in SUITES.items() for name in variants]


@pytest.mark.parametrize(("suite", "name"), VARIANTS)
def test_each_variant_is_valid_and_changes_only_what_it_names(suite, name):
    changes, (kind, paper) = SUITES[suite][name], Q if suite in OF_QUALITY else LEGAN
    values, problems = apply_overrides(paper, [f"{key}={value}" for key, value in changes.items()])
    settings, wrong = check_settings(kind, values)
    assert settings is not None, problems + wrong
    full, _ = check_settings(kind, paper)
    before, after = flatten(full.model_dump()), flatten(settings.model_dump())
    assert {key for key in after if after[key] != before[key]} <= set(changes)
    assert all(after[key] == value for key, value in changes.items())


def test_suites_have_the_rows_of_the_papers_tables():
    rows = [name for name in LOSSES if name != "wo/ disentangling, matched"]
    assert rows == ["wo/ disentangling", "wo/ Ladv", "wo/ Lcls", "wo/ Lrec", "wo/ Lqual", "wo/ Lid", "LEGAN"]
    assert list(UPSAMPLING) == ["Bilinear Interpolation", "Transposed Convolution", "Pixel Shuffling"]
    assert [changes["loss.q"] for changes in QUALITY_TARGET.values()] == [5, 6, 7, 8, 9, 10]


def test_the_suite_of_lcls_compares_every_kind_at_like_weight():
    assert [changes["loss.classification"] for changes in CLASSIFICATION.values()] == list(CLASSIFICATION_KINDS)
    logits, f = torch.zeros(4, 26), torch.zeros(4, 26)  # of a D that knows nothing yet, the paper's 6 + 20 classes
    f[:, [0, 6]] = 1
    weighted = {
        name: float(changes["loss.lambda_1"] * classification_loss(logits, f, 6, changes["loss.classification"]))
        for name, changes in CLASSIFICATION.items()
    }
    assert weighted["Binary, mean"] == pytest.approx(20 * math.log(2))
    assert weighted["Binary, sum"] == pytest.approx(26 * math.log(2))
    assert weighted["Softmax"] == pytest.approx(math.log(6) + math.log(20))


def test_the_suite_of_qs_loss_has_every_kind_there_is():
    assert [changes["loss"] for changes in MARGIN.values()] == list(QUALITY_LOSSES)
