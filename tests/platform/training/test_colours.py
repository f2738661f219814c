import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from legan.models.recolor import ColorizationGenerator
from legan.platform.config import given_twice, resolve
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.data.variants.stored import make_variants, open_variants, variant_file
from legan.platform.errors import ConfigError
from legan.platform.evaluation.recolorer import load_recolorer
from legan.platform.model import numbers_of, read_model, save_network
from legan.platform.settings import TranslatorSettings
from legan.platform.training.colours import colour_problems, colour_variants, variant_shares
from legan.platform.training.start import resume_training, start_training

SMALL = [
    "generator.width=4", "generator.blocks=1", "discriminator.width=4", "discriminator.layers=3", "batch_size=4", "steps=2",
    "checkpoint_every=1", "validate_every=2", "workers=0", "loss.lambda_3=0", "loss.lambda_4=0", "loss.lambda_1=0",
]  # fmt: skip


def recolourer(folder: Path, seed: int = 0, size: int = 32) -> Path:
    """An untrained recolourer's folder."""
    torch.manual_seed(seed)
    network = ColorizationGenerator(image_size=size, width=4)
    save_network(folder, "colorization", numbers_of(network), network)
    return folder


@pytest.fixture
def faces(tiny_data: Path, tmp_path: Path) -> Dataset:
    return open_dataset(shutil.copytree(tiny_data, tmp_path / "faces"))


def test_images_as_they_are_recoloured_and_white_balanced_come_equally_often(faces: Dataset, tmp_path: Path) -> None:
    settings = TranslatorSettings(
        steps=1,
        recolor=(recolourer(tmp_path / "A"), recolourer(tmp_path / "B", seed=1)),
        white_balance=("tungsten", "shade", "automatic"),
    )
    assert variant_shares(settings) == [1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]
    assert [variant.called for variant in colour_variants(settings, faces)] == [
        "colours of A", "colours of B", "white balance tungsten", "white balance shade", "white balance automatic",
    ]  # fmt: skip
    assert len({variant.name for variant in colour_variants(settings, faces)}) == 5
    assert variant_shares(TranslatorSettings(steps=1)) == [1]


def test_recoloured_images_are_the_recolourers_and_named_by_its_weights(faces: Dataset, tmp_path: Path) -> None:
    settings = TranslatorSettings(steps=1, recolor=(recolourer(tmp_path / "A"),))
    variants = colour_variants(settings, faces)
    make_variants(faces, variants, lambda line: None)
    (images,) = open_variants(faces, variants)
    assert np.array_equal(images, load_recolorer(tmp_path / "A", 32).recolour(np.asarray(faces.images)))
    recolourer(tmp_path / "other", seed=3)
    assert colour_variants(TranslatorSettings(steps=1, recolor=(tmp_path / "other",)), faces)[0].name != variants[0].name


def test_a_recolourer_of_another_size_or_kind_is_refused_before_anything_is_made(faces: Dataset, home: Path) -> None:
    recolourer(home / "large" / "model", size=64)
    (home / "large" / "config.yaml").write_text("kind: recolor\n")
    large = resolve("legan", "quick", SMALL, {"data": faces.path, "recolor": [Path("large")]})
    with pytest.raises(ConfigError, match=r"recolor: .*large/model is for 64×64 images, the data set has 32×32"):
        start_training("legan", large, "first", None, dry_run=False)
    asked = resolve("legan", "quick", SMALL, {"data": faces.path, "recolor": [Path("large"), Path("nothing")]})
    with pytest.raises(ConfigError, match="recolor: there is no run 'nothing'"):
        start_training("legan", asked, "first", None, dry_run=False)
    assert not (faces.path / "variants").exists()
    said = given_twice(["recolor=[large]"], {"recolor": [Path("large"), Path("other")]})
    assert [problem.message for problem in said] == ["--recolor says large, other already; leave one of them out"]
    twice = resolve("legan", "quick", SMALL, {"data": faces.path, "recolor": [Path("large"), Path("large")]})
    assert any("names a recolourer twice" in problem.message for problem in twice.problems)


def test_a_data_set_that_cannot_be_written_to_is_named_before_anything_is_made(faces: Dataset) -> None:
    settings = TranslatorSettings(steps=1, white_balance=("shade",))
    assert not colour_problems(settings, faces)
    gone = replace(faces, path=faces.path / "faces.parquet")
    (problem,) = colour_problems(settings, gone)
    assert problem.place == "data"
    assert "faces.parquet is a file; make it writable, or train without --recolor and --white-balance" in problem.message
    (faces.path / "variants").touch()
    (problem,) = colour_problems(TranslatorSettings(steps=1, white_balance=("shade", "cloudy")), faces)
    assert f"{faces.path / 'variants'} is a file; make it writable" in problem.message


def test_stored_images_that_are_damaged_are_named_before_anything_is_made(faces: Dataset) -> None:
    settings = TranslatorSettings(steps=1, white_balance=("shade", "automatic"))
    file = variant_file(faces, colour_variants(settings, faces)[0].name)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    (problem,) = colour_problems(settings, faces)
    assert problem.place == "data"
    assert "white-balance-shade.npy cannot be read" in problem.message
    assert problem.message.endswith("remove it, and it is made anew")


def test_a_training_draws_recoloured_images_says_so_and_goes_on_with_the_same_recolourer(
    faces: Dataset, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recolourer(home / "colours" / "model")
    (home / "colours" / "config.yaml").write_text("kind: recolor\n")
    asked = resolve("legan", "quick", SMALL, {"data": faces.path, "recolor": [Path("colours")]})
    start_training("legan", asked, "first", None, dry_run=False)
    assert "colours of colours: made once of all 72 images" in capsys.readouterr().out
    assert read_model(home / "first" / "model").info["colours"] == ["colours of colours"]
    assert "../colours/model" in (home / "first" / "config.yaml").read_text()

    shutil.rmtree(home / "first" / "checkpoints" / "step-00000002", ignore_errors=True)
    resume_training("legan", "first", [], {}, None, None, dry_run=False)
    shutil.rmtree(home / "colours" / "model")
    recolourer(home / "colours" / "model", seed=5)
    with pytest.raises(ConfigError, match="recolor"):
        resume_training("legan", "first", [], {}, None, None, dry_run=False)
