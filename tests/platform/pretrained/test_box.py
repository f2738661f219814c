import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from legan.models.expression import class_logits
from legan.platform.data.rendered.render import render_faces
from legan.platform.errors import CheckpointError
from legan.platform.evaluation.metrics import structural_similarity
from legan.platform.model import Model, find_model, read_model
from legan.platform.pixels import normalise, to_tensor
from legan.platform.pretrained.box import box_folder, box_names, in_box

MOST_BYTES = 15_000_000
PEOPLE = range(5000, 5012)
UNSEEN_SEED = 99


@pytest.fixture(scope="module")
def boxed() -> Model:
    return read_model(box_folder("box:rendered"))


def test_the_box_is_small_whole_and_has_its_card(boxed: Model) -> None:
    folder = box_folder("box:rendered")
    assert box_names() == ["rendered"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json", ".md"}
    assert boxed.quality is not None
    assert boxed.predictor is not None
    assert boxed.matcher is not None
    assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_its_translations_of_strangers_are_nearer_to_the_truth_than_the_photograph(boxed: Model) -> None:
    schema, draw = boxed.schema, torch.Generator().manual_seed(0)
    E, L = len(schema.expressions), len(schema.lightings)
    sources, targets, classes = [], [], []
    for person in PEOPLE:
        wanted = [int(torch.randint(n, (), generator=draw)) for n in (E, L, E, L)]
        names = schema.expressions[wanted[0]], schema.lightings[wanted[1]]
        other = schema.expressions[wanted[2]], schema.lightings[wanted[3]]
        for (expression, lighting), into in ((names, sources), (other, targets)):
            faces = render_faces(person, size=boxed.image_size, seed=UNSEEN_SEED, expressions=[expression], lightings=[lighting])
            into.append(faces.images[0, 0])
        classes.append(wanted[2:])
    x, truth = (normalise(to_tensor(np.stack(images)), False) for images in (sources, targets))
    expression, lighting = torch.tensor(classes).T
    with torch.inference_mode():
        image = boxed.generator(x, schema.encode(expression, lighting)).image
        read = [logits.argmax(1) for logits in class_logits(boxed.predictor, image, E)]
    assert structural_similarity(image, truth).mean() > structural_similarity(x, truth).mean() + 0.1
    right = [float((seen == wanted).float().mean()) for seen, wanted in zip(read, (expression, lighting), strict=True)]
    assert min(right) > 0.8


def test_a_run_or_a_folder_of_that_name_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGAN_HOME", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    assert find_model("rendered") == find_model("box:rendered") == box_folder("box:rendered")
    run = tmp_path / "runs" / "rendered"
    shutil.copytree(box_folder("box:rendered"), run / "model")
    (run / "config.yaml").write_text("")
    assert find_model("rendered") == run / "model"
    assert in_box("rendered") is None
    assert find_model("box:rendered") == box_folder("box:rendered")


def test_what_is_not_in_the_box_is_told_with_what_is() -> None:
    with pytest.raises(CheckpointError, match=r"^box:nobody is no model of the package; there are: box:rendered\.$"):
        find_model("box:nobody")


def test_a_photograph_is_translated_before_anything_is_trained(tmp_path: Path) -> None:
    face = render_faces(7, size=256, seed=UNSEEN_SEED, expressions=["neutral"], lightings=["ambient"])
    Image.fromarray(face.images[0, 0]).save(tmp_path / "photo.png")
    words = ["translate", "photo.png", "--expression", "smile", "--lighting", "left"]
    environment = {**os.environ, "LEGAN_HOME": str(tmp_path / "runs")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-m", "legan", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "legan: there is no models:/legan@champion yet, so box:rendered is used" in done.stderr
    with Image.open(tmp_path / "photo.smile.left.png") as picture:
        assert picture.size == (64, 64)
    assert not (tmp_path / "runs").exists()
