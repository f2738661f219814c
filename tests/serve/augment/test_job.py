import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import DEFAULT_ALIGNMENT, Dataset, open_dataset
from legan.platform.data.faces.detect import Face
from legan.platform.data.image import read_image
from legan.platform.data.unfinished import at_work
from legan.platform.data.write import write_dataset
from legan.platform.errors import ConfigError, DataError, FolderTakenError
from legan.platform.model import Model, load_network, read_model, save_network, weights_hash, write_model
from legan.platform.settings import LeganSettings
from legan.platform.training.checks import Inputs, check
from legan.platform.training.lifecycle import build_task
from legan.platform.training.parallel import Ranks
from legan.serve import engine as engine_module
from legan.serve.augment.job import augment
from legan.serve.augment.request import AugmentRequest
from legan.serve.augment.worker import PHOTOS, AugmentWorker
from legan.serve.engine import Engine, load_engine
from legan.serve.matcher import Matcher

SIZE = 32


@pytest.fixture
def model(tiny_data: Path, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    generator = Generator(3, 4, width=4, blocks=0, upsampling="bilinear")
    quality = QualityModel(image_size=SIZE, width=4, layers=3, hidden=8)
    write_model(tmp_path / "model", Model(generator, quality, open_dataset(tiny_data).schema, SIZE, DEFAULT_ALIGNMENT))
    return tmp_path / "model"


@pytest.fixture
def matcher(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    network = LightCNN(9, 3, image_size=SIZE, width=0.1, features=16)
    numbers = {"layers": 9, "classes": 3, "image_size": SIZE, "width": 0.1, "features": 16}
    save_network(tmp_path / "matcher", "lightcnn", numbers, network)
    return tmp_path / "matcher"


def skewed(source: Path, out: Path) -> Path:
    """The data set without most of its screams: train has 16 neutral, 16 smile, 4 scream."""
    faces = open_dataset(source).faces
    return some(source, out, np.flatnonzero(~((faces["expression"] == "scream") & (faces["lighting"] != "left")).to_numpy()))


def some(source: Path, out: Path, keep: NDArray[np.integer]) -> Path:
    """These rows of the data set."""
    data = open_dataset(source)
    write_dataset(
        out, name="some", schema=data.schema, faces=data.faces.iloc[keep], images=data.images[keep],
        hulls=np.asarray(data.packed_hulls[keep]), source="tests",
    )  # fmt: skip
    return out


def run(source: Path, out: Path, model: Path, **options: Any) -> Dataset:
    augment(AugmentRequest(source, out, str(model), **{"workers": 0, **options}), lambda _: None)
    return open_dataset(out)


def test_every_row_is_the_engines_translation_and_says_where_it_is_from(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    made = run(tiny_data, tmp_path / "out", model, labels="smile:left, scream:front", seed=7)
    source, engine = open_dataset(tiny_data), load_engine(model, "cpu")
    assert len(made) == 2 * len(source) == 144
    assert made.schema == source.schema
    assert made.faces["source_row"].tolist() == [row for row in range(72) for _ in range(2)]
    assert made.faces[["expression", "lighting"]].to_numpy().tolist() == [["smile", "left"], ["scream", "front"]] * 72
    # Byte for byte what the endpoint's engine gives for these faces; alone in a batch, kernels may round otherwise by a level.
    rows = made.faces["source_row"].to_numpy()
    expected = engine.translate(source.images[rows], list(made.faces["expression"]), list(made.faces["lighting"]))
    np.testing.assert_array_equal(made.images, expected)
    np.testing.assert_array_equal(made.faces["quality"], engine.quality(expected, source.hulls(rows)))
    for row in (0, 1, 63, 64, 77, 143):
        about, origin = made.faces.iloc[row], row // 2
        image = engine.translate(np.array(source.images[origin])[None], [about["expression"]], [about["lighting"]])
        assert np.abs(made.images[row].astype(int) - image[0]).max() <= 1
        for column in ("subject", "split"):
            assert about[column] == source.faces[column][origin]
        assert (about["source_expression"], about["source_lighting"]) == tuple(
            source.faces.loc[origin, ["expression", "lighting"]]
        )
    np.testing.assert_array_equal(made.hulls([5]), source.hulls([2]))
    np.testing.assert_array_equal(made.landmarks([5]), source.landmarks([2]))
    assert set(made.faces["model"]) == {str(model)}
    assert made.people("test") == open_dataset(tiny_data).people("test")
    assert set(made.faces["model_hash"]) == {weights_hash(engine.model.generator)}
    assert set(made.faces["seed"]) == {7}
    assert set(made.faces["attempt"]) == {1}
    assert made.faces["synthetic"].all()
    assert made.faces["similarity"].isna().all()
    assert made.skipped.empty
    assert made.splits == source.splits
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_balancing_equals_the_classes_of_the_training_split_and_keeps_the_sources(
    tiny_data: Path, model: Path, tmp_path: Path
) -> None:
    source = skewed(tiny_data, tmp_path / "skewed")
    lines: list[str] = []
    augment(AugmentRequest(source, tmp_path / "out", str(model), balance="expression", workers=0), lines.append)
    made = open_dataset(tmp_path / "out")
    assert made.faces.groupby(["split", "expression"]).size()["train"].to_dict() == {"neutral": 16, "smile": 16, "scream": 16}
    synthetic = made.faces[made.faces["synthetic"]]
    assert set(synthetic["expression"]) == {"scream"}
    assert set(synthetic["source_expression"]) == {"neutral", "smile"}
    assert (synthetic["lighting"] == synthetic["source_lighting"]).all()
    assert set(synthetic["split"]) == {"train"}
    originals = made.faces[~made.faces["synthetic"]]
    assert originals["source_row"].tolist() == list(range(len(open_dataset(source))))
    np.testing.assert_array_equal(made.images[: len(originals)], open_dataset(source).images)
    assert "12 of 12 translations made" in lines
    assert "expression scream                   4       16" in lines
    without = run(source, tmp_path / "without", model, balance="expression", originals=False)
    assert len(without) == 12
    with pytest.raises(DataError, match="nothing to make"):
        run(tiny_data, tmp_path / "equal", model, balance="both")
    assert not (tmp_path / "equal.partial").exists()  # nothing that stands in the next command's way


def test_a_translation_that_is_kept_as_a_source_still_says_what_made_it(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    few = some(tiny_data, tmp_path / "few", np.arange(6))
    one = run(few, tmp_path / "one", model, labels="smile:left", originals=True, seed=5).faces
    two = run(tmp_path / "one", tmp_path / "two", model, labels="scream:front", originals=True, seed=9).faces
    kept, made = two.iloc[: len(one)], two.iloc[len(one) :]
    assert one["synthetic"].sum() == 6
    for name in ("synthetic", "quality", "similarity", "attempt", "model", "model_version", "model_hash", "seed"):
        pd.testing.assert_series_equal(kept[name], one[name])
    assert kept["source_row"].tolist() == list(range(12))
    assert set(made["seed"]) == {9}
    assert made["synthetic"].all()


def test_training_takes_what_comes_out(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    run(skewed(tiny_data, tmp_path / "skewed"), tmp_path / "out", model, balance="expression")
    settings = LeganSettings.model_validate(
        {
            "data": tmp_path / "out", "steps": 1, "batch_size": 2, "workers": 0, "critic_steps": 1,
            "generator": {"width": 4, "blocks": 0}, "discriminator": {"width": 4, "layers": 3},
            "loss": {"lambda_3": 0, "lambda_4": 0},
        }
    )  # fmt: skip
    inputs = Inputs()
    assert check(settings, inputs).problems == []
    task = build_task(settings, Ranks(), inputs)
    terms = task.step(task.batch(0), 0)
    assert all(bool(torch.isfinite(torch.as_tensor(value)).all()) for value in terms.values())


def test_what_falls_short_is_tried_anew_a_bounded_number_of_times(
    tiny_data: Path, model: Path, matcher: Path, tmp_path: Path
) -> None:
    free = run(tiny_data, tmp_path / "free", model, random=1)
    limit = float(free.faces["quality"].median())
    options = {"random": 1, "min_quality": limit, "matcher": matcher, "min_similarity": -0.5}
    made = run(tiny_data, tmp_path / "out", model, attempts=3, **options)
    assert (made.faces["quality"] >= limit).all()
    assert (made.faces["similarity"] >= -0.5).all()
    assert set(made.faces["attempt"]) <= {1, 2, 3}
    assert len(set(made.faces["attempt"])) > 1
    first = made.faces[made.faces["attempt"] == 1]
    chosen = free.faces.set_index("source_row").loc[first["source_row"]]
    assert (chosen["expression"].to_numpy() == first["expression"].to_numpy()).all()  # the plan's first choice is the same
    asked = dict.fromkeys(("labels", "balance", "batch_size")) | {"all": False, "originals": False, "attempts": 3, "seed": 0}
    assert made.info["request"] == options | asked | {"matcher": str(matcher)}
    stored = load_engine(model, "cpu").quality_model, load_network(matcher).module
    assert [made.info[f"{name}_hash"] for name in ("quality", "matcher")] == [weights_hash(each) for each in stored]
    report = made.info["made"]
    assert report["made"] + report["low_quality"] + report["low_similarity"] == report["asked"] == 72
    assert 72 < report["translated"] <= 3 * 72
    once = run(tiny_data, tmp_path / "once", model, attempts=1, **options)
    assert len(once) < len(made)
    assert once.info["made"]["translated"] == 72
    images = open_dataset(tiny_data).images
    judge = load_network(matcher).module
    assert isinstance(judge, LightCNN)
    sources = images[made.faces["source_row"].to_numpy()]
    expected = Matcher(judge, torch.device("cpu")).similarity(sources, np.array(made.images))
    np.testing.assert_allclose(made.faces["similarity"], expected, atol=1e-5)
    with pytest.raises(DataError, match=r"none of 72 translations reached the minimum \(72 fell short in quality"):
        run(tiny_data, tmp_path / "none", model, random=1, min_quality=10)


class OneFace:
    """Stands for the detector: one face, two in wide photographs, none in dark ones."""

    def __init__(self, *_: object):
        pass

    def detect(self, image: NDArray[np.uint8], min_size: int) -> list[Face]:
        five = np.array([[60, 80], [100, 80], [80, 105], [65, 125], [95, 125]], np.float32)
        box = np.array([50, 50, 110, 140], np.float32)
        shift = np.array([100, 0], np.float32)
        faces = [Face(box, five, 0.999), Face(box + np.tile(shift, 2), five + shift, 0.95)]
        return [] if image.max() < 10 else faces[: 2 if image.shape[1] > 250 else 1]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One face, two faces, no face, no image."""
    monkeypatch.setattr(engine_module, "FaceDetector", OneFace)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, width in (("one", 200), ("two", 300)):
        Image.fromarray(rng.integers(0, 256, (200, width, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    Image.new("RGB", (200, 200)).save(folder / "dark.png")
    (folder / "broken.jpg").write_bytes(b"junk")
    return folder


def test_a_folder_of_photographs_gives_a_row_per_face_and_lists_the_bad_ones(
    photographs: Path, model: Path, tmp_path: Path
) -> None:
    made = run(photographs, tmp_path / "out", model, labels="smile:left")
    about = made.faces[["source_path", "photo_face", "subject", "split", "source_expression"]].to_numpy().tolist()
    assert about == [
        ["one.png", 0, "one.png", "train", "any"],
        ["two.png", 0, "two.png", "train", "any"],
        ["two.png", 1, "two.png#1", "train", "any"],
    ]
    engine = load_engine(model, "cpu")
    found = engine.find_faces(np.asarray(Image.open(photographs / "two.png")))
    for row, face in ((1, found[0]), (2, found[1])):
        np.testing.assert_array_equal(made.images[row], engine.translate_faces([face], "smile", "left")[0].image)
    assert dict(zip(made.skipped["path"], made.skipped["kind"], strict=True)) == {"dark.png": "no_face", "broken.jpg": "no_image"}
    reasons = dict(zip(made.skipped["path"], made.skipped["reason"], strict=True))
    assert "no face of at least 40 pixels was found (as it is, turned" in reasons["dark.png"]
    assert "is no image of a known format" in reasons["broken.jpg"]


def test_a_table_names_photographs_and_may_label_them(photographs: Path, model: Path, tmp_path: Path) -> None:
    rows = [("one.png", "x", "smile"), ("two.png", "y", "neutral"), ("gone.png", "z", "neutral"), ("", "w", "smile")]
    frame = pd.DataFrame(rows, columns=["path", "subject", "expression"])
    frame.to_parquet(photographs / "t.parquet")
    made = run(photographs / "t.parquet", tmp_path / "out", model, all=True)
    assert len(made) == 2 * 12  # the labels are of one person: the largest face
    assert made.faces[["subject", "source_expression", "source_lighting"]].drop_duplicates().to_numpy().tolist() == [
        ["x", "smile", "any"],
        ["y", "neutral", "any"],
    ]
    assert made.skipped.to_numpy().tolist() == [
        ["row 4", "unlabelled", "row 4 of the table has no path"],
        ["gone.png", "unreadable", "the file cannot be read: No such file or directory."],
    ]
    frame[["path"]].iloc[:2].to_parquet(photographs / "p.parquet")
    assert len(run(photographs / "p.parquet", tmp_path / "plain", model, labels="smile:left")) == 3


def test_a_folder_lists_all_that_it_does_not_take_and_follows_links(photographs: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (photographs / "one.png").rename(tmp_path / "elsewhere" / "one.jfif")
    (photographs / "linked").symlink_to(tmp_path / "elsewhere")
    (photographs / "._two.png").write_bytes((photographs / "two.png").read_bytes())
    (photographs / "notes.txt").write_text("two of them")
    made = run(photographs, tmp_path / "out", model, labels="smile:left")
    assert set(made.faces["source_path"]) == {"linked/one.jfif", "two.png"}
    assert dict(zip(made.skipped["path"], made.skipped["kind"], strict=True)) == {
        "._two.png": "hidden", "broken.jpg": "no_image", "dark.png": "no_face", "notes.txt": "other_file",
    }  # fmt: skip


def test_a_folder_without_photographs_is_told_what_is_in_it(model: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.txt").write_text("not one")
    with pytest.raises(
        ConfigError,
        match=r"nor a folder of photographs .*, but 1 other file, such as notes\.txt: it is no image; correct INPUT",
    ) as told:
        run(tmp_path / "none", tmp_path / "out", model, labels="smile:left")
    assert "--root" not in str(told.value)


def test_a_folder_of_parquet_files_is_one_table(photographs: Path, model: Path, tmp_path: Path) -> None:
    (photographs / "t").mkdir()
    for part, name in enumerate(("two.png", "one.png")):
        pd.DataFrame({"path": [name], "subject": [name[:3]]}).to_parquet(photographs / "t" / f"part-{part}.parquet")
    made = run(photographs / "t", tmp_path / "out", model, labels="smile:left")
    assert made.faces["subject"].tolist() == ["two", "one"]


def test_several_people_in_a_labelled_photograph_are_counted_and_named(photographs: Path, model: Path, tmp_path: Path) -> None:
    (photographs / "t.csv").write_text("path;subject\none.png;x\ntwo.png;y\n")
    lines: list[str] = []
    augment(AugmentRequest(photographs / "t.csv", tmp_path / "out", str(model), random=2, workers=0), lines.append)
    at = lines.index("1 photograph shows several people; the largest face was taken (faces.parquet, column faces_found):")
    assert lines[at + 1] == "  two.png: 2 faces"
    made = open_dataset(tmp_path / "out")
    assert made.info["several_people"] == {"photographs": 1, "first": {"two.png": 2}}
    assert made.faces["faces_found"].tolist() == [1, 1, 2, 2]
    unlabelled = run(photographs, tmp_path / "all", model, labels="smile:left")
    assert unlabelled.info["several_people"] == {"photographs": 0, "first": {}}


def test_what_was_skipped_and_left_out_is_said(photographs: Path, tiny_data: Path, model: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (photographs / "t.csv").write_text("path,age\none.png,30\ngone.png,31\ndark.png,32\n")
    augment(AugmentRequest(photographs / "t.csv", tmp_path / "out", str(model), labels="smile:left", workers=0), said.append)
    assert "2 files were skipped (skipped.parquet):" in said
    assert any(line.startswith("  1 × no face was found (dark.png: ") and "--min-face" not in line for line in said)
    assert "columns of the input that were left out: age" in said
    said.clear()
    augment(AugmentRequest(tiny_data, tmp_path / "more", str(model), labels="smile:left", workers=0), said.append)
    assert not [line for line in said if "skipped" in line]


def test_photographs_without_any_face_stop_nothing_that_comes_after_them(photographs: Path, model: Path, tmp_path: Path) -> None:
    for number in range(PHOTOS):
        Image.new("RGB", (8, 8)).save(photographs / f"a{number:02}.png")
    made = run(photographs, tmp_path / "out", model, labels="smile:left")
    assert made.faces["source_path"].tolist() == ["one.png", "two.png", "two.png"]
    assert len(made.skipped) == PHOTOS + 2
    table = tmp_path / "gone.csv"
    table.write_text("path\na.png\nb.png\n")
    with pytest.raises(
        DataError, match=r"none of 2 photographs of .* could be used: 2 × cannot be read \(a\.png: .*; restore the files"
    ):
        run(table, tmp_path / "none", model, labels="smile:left")
    assert not (tmp_path / "none.partial").exists()  # nothing in it is of use to another command


class StopError(Exception):
    pass


def test_stopped_anywhere_it_goes_on_to_the_same_bytes_without_repeating_a_part(
    tiny_data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("legan.serve.augment.job.JOBS", 8)
    monkeypatch.setattr("legan.serve.augment.worker.JOBS", 8)
    monkeypatch.setattr("legan.serve.augment.request.JOBS", 8)
    whole = run(tiny_data, tmp_path / "a" / "out", model, random=1)
    counts: list[int] = []
    original = AugmentWorker._translated

    def stopping(self: AugmentWorker, jobs: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
        if len(counts) in (3, 5):
            counts.append(-1)
            raise StopError
        counts.append(len(jobs))
        return original(self, jobs)

    monkeypatch.setattr(AugmentWorker, "_translated", stopping)
    for _ in range(2):
        with pytest.raises(StopError):
            run(tiny_data, tmp_path / "b" / "out", model, random=1)
        assert not (tmp_path / "b" / "out").exists()
    # What a kill in mid-write leaves behind.
    partial = tmp_path / "b" / "out.partial"
    (partial / ".part_0000008.npz.1.tmp").write_bytes(b"half a part")
    (partial / ".dataset.0123abcd.tmp").mkdir()
    with pytest.raises(DataError, match="holds unfinished work with other options"):
        run(tiny_data, tmp_path / "b" / "out", model, random=1, seed=1)
    made = run(tiny_data, tmp_path / "b" / "out", model, random=1)
    assert [count for count in counts if count > 0] == [8] * 9
    for name in ("images.npy", "hulls.npy", "faces.parquet", "skipped.parquet"):
        assert (made.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert not partial.exists()
    before = (made.path / "dataset.json").stat()
    lines: list[str] = []
    augment(AugmentRequest(tiny_data, made.path, str(model), random=1, workers=0), lines.append)
    assert "nothing was done" in lines[0]
    assert (made.path / "dataset.json").stat() == before
    with pytest.raises(DataError, match=r"already exists; choose another folder"):
        run(tiny_data, made.path, model, random=1, seed=1)
    assert run(tiny_data, made.path, model, random=1, seed=1, overwrite=True).content_hash != made.content_hash


def test_a_finished_result_takes_only_its_own_leftovers_away(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    few = some(tiny_data, tmp_path / "few", np.arange(3))
    made = run(few, tmp_path / "out", model, labels="smile:left")
    partial = tmp_path / "out.partial"
    partial.mkdir()
    for digest, kept in (("of other work", True), (made.info["augmented"], False)):
        (partial / "plan.json").write_text(json.dumps({"digest": digest}))
        run(few, tmp_path / "out", model, labels="smile:left")
        assert partial.exists() == kept


def test_a_finished_result_is_made_anew_with_overwrite_only(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    few = some(tiny_data, tmp_path / "few", np.arange(3))
    made = run(few, tmp_path / "out", model, labels="smile:left")
    (made.path / "hulls.npy").write_bytes(b"damaged since")
    lines: list[str] = []
    augment(AugmentRequest(few, made.path, str(model), labels="smile:left", workers=0), lines.append)
    assert "nothing was done" in lines[0]
    again = run(few, made.path, model, labels="smile:left", overwrite=True)
    assert again.content_hash == made.content_hash


def test_one_process_at_a_time_works_in_a_folder(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    with at_work(tmp_path / "out.partial"), pytest.raises(FolderTakenError, match=r"process is at work in .*out\.partial"):
        run(tiny_data, tmp_path / "out", model, labels="smile:left")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.fixture
def keeping(model: Path, tmp_path: Path) -> Path:
    """The model with a label predictor."""
    torch.manual_seed(3)
    read = {"network": "judge", "expression_accuracy": 0.83, "lighting_accuracy": 0.614, "faces": 240, "split": "val"}
    judge = AttributeClassifier(3, 4, image_size=SIZE, width=4).eval()
    write_model(tmp_path / "keeping", replace(read_model(model), predictor=judge, info={"predictor": read}))
    return tmp_path / "keeping"


def test_a_faces_own_class_is_kept_as_its_label_says_or_the_model_reads(
    tiny_data: Path, photographs: Path, model: Path, keeping: Path, tmp_path: Path
) -> None:
    made = run(tiny_data, tmp_path / "known", model, labels="keep:left, keep:right")  # its labels say all
    assert (made.faces["expression"] == made.faces["source_expression"]).all()
    assert made.faces["lighting"].tolist() == ["left", "right"] * 72

    (photographs / "t.csv").write_text("path,expression\none.png,smile\ntwo.png,happy\n")
    with pytest.raises(ConfigError, match="--labels: keep needs a label predictor for 1 face without a known expression"):
        run(photographs / "t.csv", tmp_path / "out", model, labels="keep:left")
    lines: list[str] = []
    request = AugmentRequest(photographs / "t.csv", tmp_path / "out", str(keeping), labels="keep:left,keep:front", workers=0)
    augment(replace(request, dry_run=True), lines.append)
    augment(request, lines.append)
    said = "expression of 1 face kept as the model reads it: right for 83 % of 240 validation faces"
    assert lines.count(said) == 2
    made, engine = open_dataset(tmp_path / "out"), load_engine(keeping, "cpu")
    (own,) = engine.own_classes(engine.find_faces(read_image(photographs / "two.png"))[0].aligned.image[None])
    assert made.faces["expression"].tolist() == ["smile", "smile", own.expression, own.expression]
    assert made.faces["source_expression"].tolist() == ["smile", "smile", "happy", "happy"]
    assert made.info["classes_read"] == {"expression": 1}
    assert made.info["predictor"]["expression_accuracy"] == 0.83


def test_a_balanced_face_keeps_what_the_model_reads(tiny_data: Path, keeping: Path, tmp_path: Path) -> None:
    source = skewed(tiny_data, tmp_path / "skewed")
    data = open_dataset(source)
    schema = AttributeSchema(data.schema.expressions, ("lamp",))
    write_dataset(
        tmp_path / "lamp", name="lamp", schema=schema, faces=data.faces.assign(lighting="lamp").drop(columns="duplicate_of"),
        images=np.asarray(data.images), hulls=data.hulls(np.arange(len(data))), source="tests",
    )  # fmt: skip
    made = run(tmp_path / "lamp", tmp_path / "out", keeping, balance="expression", originals=False)
    own = load_engine(keeping, "cpu").own_classes(np.asarray(data.images))
    assert made.faces["lighting"].tolist() == [own[row].lighting for row in made.faces["source_row"]]
    assert made.info["classes_read"] == {"lighting": len(data)}


@pytest.mark.parametrize(
    "labels", ["keep:left,smile:left", "keep:keep,smile:left", "smile:keep,smile:left", "keep:left,keep:left"]
)
def test_keep_that_may_be_another_combination_is_refused(tiny_data: Path, model: Path, tmp_path: Path, labels: str) -> None:
    with pytest.raises(ConfigError, match="--labels: a combination is named twice, or keep may be another one"):
        run(tiny_data, tmp_path / "out", model, labels=labels)


def test_a_dry_run_says_unknown_classes_as_the_work_does(photographs: Path, model: Path, tmp_path: Path) -> None:
    rows = "one.png,happy,front,3\ntwo.png,neutral,,4\none.png,smile,front,5\n,smile,front,6\n"
    (photographs / "t.csv").write_text(f"path,expression,lighting,age\n{rows}")
    said: dict[bool, list[str]] = {}
    for dry_run in (True, False):
        request = AugmentRequest(
            photographs / "t.csv", tmp_path / "out", str(model), labels="smile:left", originals=True, workers=0, dry_run=dry_run
        )
        said[dry_run] = []
        augment(request, said[dry_run].append)
    for line in (
        "0 source faces kept beside them; 2 have classes that the model does not know",
        "faces whose classes the model does not know: expression happy (1), no lighting is said (1)",
    ):
        assert line in said[True]
        assert line in said[False]
    assert "columns of the input that are left out: age" in said[True]
    at = said[True].index("2 files left out:")
    assert [line.partition(" (")[0] for line in said[True][at + 1 : at + 3]] == [
        "  1 × not labelled",
        "  1 × named more than once",
    ]
    unknown = open_dataset(tmp_path / "out").info["unknown_classes"]
    assert unknown == {"expression": {"happy": 1}, "lighting": {"any": 1}}
    folder: list[str] = []
    augment(AugmentRequest(photographs, tmp_path / "new", str(model), labels="smile:left", dry_run=True), folder.append)
    assert not [line for line in folder if "does not know" in line], "nothing is said of photographs alone"


def test_a_dry_run_says_the_plan_and_writes_nothing(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    request = AugmentRequest(tiny_data, tmp_path / "out", str(model), random=2, min_quality=1.0, dry_run=True)
    augment(request, lines.append)
    assert lines[0] == "tiny: 72 faces"
    assert "144 translations, 3 attempts each at most" in lines
    assert "expression scream                  24" in lines
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_every_problem_is_said_at_once_and_before_computing(
    tiny_data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr(Engine, "__init__", never)
    with pytest.raises(ConfigError) as caught:
        run(
            tmp_path / "nothing", tmp_path / "out", model, labels="grin:left,smile", all=True, min_quality=11.0,
            min_similarity=2.0, attempts=99, batch_size=0,
        )  # fmt: skip
    for word in (
        "give one of --labels, --all, --balance, --random, not --labels and --all",
        "--min-similarity: it needs a --matcher",
        "--min-quality 11: it has to be from 0 to 10",
        "--min-similarity 2: it has to be from -1 to 1",
        "--attempts 99: it has to be from 1 to 10",
        "--batch-size 0: it has to be 1 or more",
        "nothing does not exist",
        "--labels: expression 'grin' is unknown; this model knows neutral, smile, scream",
        "--labels smile: write EXPRESSION:LIGHTING",
    ):
        assert word in str(caught.value), word
    assert len(caught.value.problems) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "not none of them"),
        ({"random": 12}, "--random 12: the model has 11 combinations beside a face's own"),
        ({"labels": "smile:left,smile:left"}, "a combination is named twice"),
        ({"labels": "smile:left", "model": "nowhere"}, "--model: there is no run 'nowhere'; runs under"),
        ({"labels": "smile:left", "matcher": Path("nowhere")}, "--matcher: there is no run 'nowhere'; runs under"),
        ({"labels": "smile:left", "source": "text.txt"}, "neither a data set folder, nor a folder of photographs"),
        ({"labels": "smile:left", "source": "empty"}, "nor a folder of photographs"),
        ({"labels": "smile:left", "source": "t.csv"}, "has no column path; its columns are: image"),
        ({"balance": "both", "source": "u.csv"}, "--balance: expression needs faces whose expression the model knows"),
        ({"labels": "smile:left", "source": "broken"}, "is damaged"),
        ({"labels": "smile:left", "model": "large"}, "INPUT: its images are 32×32, the model takes 64×64"),
        ({"random": 1, "min_quality": 5, "model": "large"}, "--min-quality: it needs a model with a quality model"),
    ],
)
def test_one_problem_is_one_sentence(
    tiny_data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("text")
    Path("empty").mkdir()
    Path("t.csv").write_text("image\na.png\n")
    Path("u.csv").write_text("path\na.png\n")
    shutil.copytree(tiny_data, "broken")
    Path("broken/images.npy").unlink()
    loaded = load_engine(model, "cpu").model
    write_model(Path("large"), replace(loaded, quality=None, image_size=64))
    given = {"source": tiny_data, "model": model, **options}
    with pytest.raises(ConfigError) as caught:
        run(Path(given.pop("source")), Path("out"), given.pop("model"), **given)
    assert message in str(caught.value)
    assert not any("\n" in problem.message for problem in caught.value.problems)
    assert not os.path.lexists("out")


def test_the_output_is_neither_the_input_nor_something_else(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="OUT: it is INPUT itself"):
        run(tiny_data, tiny_data, model, all=True, overwrite=True)
    for out in ("/", ".", "..", "x/.."):
        with pytest.raises(ConfigError, match=f"OUT {re.escape(out)}: it has no name of its own"):
            run(tiny_data, Path(out), model, all=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.tex").touch()
    with pytest.raises(DataError, match=r"has no dataset\.json, so --overwrite leaves it alone"):
        run(tiny_data, tmp_path / "thesis", model, all=True, overwrite=True)
    assert json.loads((tiny_data / "dataset.json").read_text())["name"] == "tiny"


def test_training_faces_alone_are_translated(tiny_data: Path, model: Path, tmp_path: Path) -> None:
    made = run(tiny_data, tmp_path / "out", model, random=1, train_only=True)
    assert made.faces["source_row"].tolist() == open_dataset(tiny_data).rows("train").tolist()
    assert set(made.faces["split"]) == {"train"}
    faces = open_dataset(tiny_data).faces
    nobody = some(tiny_data, tmp_path / "nobody", np.flatnonzero((faces["split"] != "train").to_numpy()))
    with pytest.raises(DataError, match="no face is in the training split; leave --train-only out"):
        run(nobody, tmp_path / "none", model, random=1, train_only=True)
