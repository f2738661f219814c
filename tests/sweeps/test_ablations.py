import pytest

from legan.platform.config import apply_overrides, check_settings, flatten, read_section
from legan.platform.settings import LeganSettings
from legan.sweeps.ablations import LOSSES, QUALITY_TARGET, SUITES, UPSAMPLING

PAPER = read_section("paper", "legan") | {"identity": "t", "quality": "q"}
VARIANTS = [(suite, name) for suite, variants in SUITES.items() for name in variants]


@pytest.mark.parametrize(("suite", "name"), VARIANTS)
def test_each_variant_is_valid_and_changes_only_what_it_names(suite, name):
    changes = SUITES[suite][name]
    values, problems = apply_overrides(PAPER, [f"{key}={value}" for key, value in changes.items()])
    settings, wrong = check_settings(LeganSettings, values)
    assert settings is not None, problems + wrong
    full, _ = check_settings(LeganSettings, PAPER)
    before, after = flatten(full.model_dump()), flatten(settings.model_dump())
    assert {key for key in after if after[key] != before[key]} <= set(changes)
    assert all(after[key] == value for key, value in changes.items())


def test_suites_have_the_rows_of_the_papers_tables():
    rows = [name for name in LOSSES if name != "wo/ disentangling, matched"]
    assert rows == ["wo/ disentangling", "wo/ Ladv", "wo/ Lcls", "wo/ Lrec", "wo/ Lqual", "wo/ Lid", "LEGAN"]
    assert list(UPSAMPLING) == ["Bilinear Interpolation", "Transposed Convolution", "Pixel Shuffling"]
    assert [changes["loss.q"] for changes in QUALITY_TARGET.values()] == [5, 6, 7, 8, 9, 10]
