from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import RATER

from legan.models.quality import QualityModel
from legan.models.recolor import ColorizationGenerator
from legan.platform.data.variants.recolored import recolored
from legan.platform.errors import CheckpointError
from legan.platform.evaluation.recolorer import load_recolorer
from legan.platform.model import numbers_of, save_network, weights_hash


@pytest.fixture
def colourist() -> ColorizationGenerator:
    torch.manual_seed(0)
    return ColorizationGenerator(image_size=32, width=4).eval()


def test_a_recolourer_is_loaded_from_a_run_or_a_folder(home: Path, colourist: ColorizationGenerator) -> None:
    save_network(home / "first" / "model", "colorization", numbers_of(colourist), colourist)
    (home / "first" / "config.yaml").write_text("kind: recolor\n")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    for path in (Path("first"), home / "first", home / "first" / "model"):
        loaded = load_recolorer(path, 32)
        assert loaded.digest == weights_hash(colourist)
        assert np.abs(loaded.recolour(images).astype(int) - recolored(colourist, images, torch.device("cpu"))).max() <= 1


def test_what_recolours_other_images_or_nothing_is_named(home: Path, tmp_path: Path, colourist: ColorizationGenerator) -> None:
    save_network(tmp_path / "small", "colorization", numbers_of(colourist), colourist)
    save_network(tmp_path / "Q", "quality", RATER, QualityModel(**RATER))
    with pytest.raises(CheckpointError) as caught:
        load_recolorer(tmp_path / "small", 64)
    assert str(caught.value) == (
        f"{tmp_path / 'small'} recolours images of 32×32, and these are 64×64; "
        "give a recolourer that was trained on images of 64×64."
    )
    with pytest.raises(CheckpointError, match=r"is a quality model \(Q\); give a run of `legan train recolor`\."):
        load_recolorer(tmp_path / "Q", 32)
    with pytest.raises(CheckpointError, match="there is nothing at"):
        load_recolorer(tmp_path / "nothing", 32)
