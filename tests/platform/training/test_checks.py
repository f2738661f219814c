import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.tiny import keep_faces

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.quality import QualityModel
from legan.platform import model as model_module
from legan.platform.config import resolve
from legan.platform.data.dataset import LeftOut, open_dataset
from legan.platform.data.labels.classes import unshown
from legan.platform.data.ratings.simulated import make_simulated_ratings
from legan.platform.data.write import write_dataset
from legan.platform.errors import ConfigError
from legan.platform.model import read_model, save_network, weights_hash
from legan.platform.settings import ExpressionSettings
from legan.platform.training import checks
from legan.platform.training.checks import Facts, Inputs, check, hashes, trainable
from legan.platform.training.lifecycle import build_task, tags_of
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import Run

SMALL = [
    "steps=4", "batch_size=4", "critic_steps=2", "log_every=2", "checkpoint_every=2", "validate_every=2", "sample_every=4",
    "generator.width=8", "generator.blocks=1", "discriminator.width=8", "discriminator.layers=3",
    "loss.lambda_3=0", "loss.lambda_4=0", "workers=0",
]  # fmt: skip


def facts_of(kind, preset, overrides, given) -> Facts:
    return trainable(resolve(kind, preset, overrides, given), Inputs())


def test_problems_of_settings_files_and_data_come_together(home, tiny_data, tmp_path):
    save_network(tmp_path / "Q", "quality", {"image_size": 64, "width": 8, "layers": 3, "hidden": 8}, QualityModel(64, 8, 3, 8))
    given = {"data": tiny_data, "identity": tmp_path / "nothing", "quality": tmp_path / "Q"}
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", ["discriminator.layers=6", "sedd=1"], given)
    text = str(caught.value)
    assert "sedd: there is no such setting" in text
    assert f"identity: there is nothing at {tmp_path / 'nothing'}" in text
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", ["discriminator.layers=6"], given)
    text = str(caught.value)
    assert "identity: " in text
    assert "is for 64×64 images, the data set has 32×32" in text
    assert "discriminator.layers: 6 layers halve 32 pixels too often; take 5 or fewer" in text


def test_data_and_critics_are_opened_whatever_else_is_wrong(home, tiny_data, tmp_path):
    given = {"data": tiny_data, "identity": tmp_path}
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", ["discriminator.layers=6", "foo=1", "loss.lambda_4=0"], given)
    assert [problem.place for problem in caught.value.problems] == ["foo", "discriminator.layers", "identity"]
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", ["discriminator.layers=99"], {"data": tmp_path})
    assert [problem.place for problem in caught.value.problems] == [
        "discriminator.layers", "identity", "quality", "data",
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", ["discriminator.layers=99", "loss.lambda_3=0", "loss.lambda_4=0"], {"data": tiny_data})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("kind", "overrides", "problem"),
    [
        ("legan", ["discriminator.layers=9"], "discriminator.layers: 9 layers halve 32 pixels too often; take 5 or fewer"),
        ("stargan", ["discriminator.layers=6"], "discriminator.layers: 6 layers halve 32 pixels too often; take 5 or fewer"),
        ("quality", ["image_size=48", "layers=5"], "layers: 5 layers halve 48 pixels too often; take 4 or fewer"),
        ("quality", ["image_size=50", "layers=5"], "image_size: 50 pixels cannot be halved twice; take a multiple of 4"),
    ],
)
def test_too_many_layers_are_the_settings_fault(home, tiny_data, kind, overrides, problem):
    given = {} if kind == "quality" else {"data": tiny_data}
    with pytest.raises(ConfigError) as caught:
        facts_of(kind, "quick", overrides, given)
    assert problem in [str(each) for each in caught.value.problems]


def test_one_person_is_not_enough_to_tell_people_apart(home, tiny_data, tmp_path):
    data = open_dataset(tiny_data)
    rows = np.flatnonzero(data.faces.subject == "a")
    write_dataset(
        tmp_path / "one", name="one", schema=data.schema, faces=data.faces.iloc[rows], images=data.images[rows],
        hulls=data.hulls(rows), source="drawn for tests",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"data: the training split of .*/one shows one subject; T learns to tell two or more"):
        facts_of("identity", "quick", [], {"data": tmp_path / "one"})


def test_a_plateau_needs_people_to_validate_by(home, tiny_data):
    with pytest.raises(
        ConfigError, match=r"patience: val of .* does not show two people, .* put more into val, or set patience="
    ):
        facts_of("identity", "quick", ["patience=3"], {"data": tiny_data})
    assert facts_of("identity", "quick", [], {"data": tiny_data}).settings.patience is None


def test_images_are_not_shifted_out_of_sight(home, tiny_data):
    assert facts_of("stargan_v2", "quick", ["shift=15"], {"data": tiny_data}).settings.shift == 15
    with pytest.raises(ConfigError, match=r"shift: 16 pixels move half of an image of 32×32 out of sight; take fewer"):
        facts_of("stargan_v2", "quick", ["shift=16"], {"data": tiny_data})


def test_a_judge_of_the_wrong_kind_is_named(home, tiny_data, tmp_path):
    save_network(tmp_path / "Q", "quality", {"image_size": 32, "width": 8, "layers": 3, "hidden": 8}, QualityModel(32, 8, 3, 8))
    with pytest.raises(ConfigError, match=r"identity: .*Q is a quality model \(Q\); give a run of `legan train identity`"):
        facts_of("legan", "quick", ["discriminator.layers=3", "loss.lambda_4=0"], {"data": tiny_data, "identity": tmp_path / "Q"})


def test_what_the_model_is_to_carry_is_held_against_the_data(home, tiny_data, tmp_path):
    def save_judge(name, size, **info):
        numbers = {"expressions": 3, "lightings": 4, "image_size": size, "width": 4}
        save_network(tmp_path / name, "attribute_classifier", numbers, AttributeClassifier(**numbers), **info)
        return tmp_path / name

    def refused(**given):
        with pytest.raises(ConfigError) as caught:
            facts_of("stargan_v2", "quick", [], {"data": tiny_data, **given})
        return [str(problem) for problem in caught.value.problems]

    schema = open_dataset(tiny_data).schema
    small = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
    save_network(tmp_path / "Q", "quality", small, QualityModel(**small))
    kinds = refused(judge=tmp_path / "Q", matcher=tmp_path / "Q")
    assert [kind.partition(":")[0] for kind in kinds] == ["judge", "matcher"]
    assert all("Q is a quality model (Q); give a run of `legan train " in kind for kind in kinds)
    large = save_judge("large", 64, schema=schema.to_dict())
    assert refused(judge=large) == [f"judge: {large} is for 64×64 images, the data set has 32×32"]
    other = save_judge("other", 32, schema=schema.to_dict() | {"lightings": ["left", "right", "front", "back"]})
    assert refused(judge=other) == [
        f"judge: the lightings of {other} are left, right, front, back, and those trained are left, right, front, ambient; "
        "give one that was trained on this data set"
    ]
    silent = save_judge("silent", 32)
    assert refused(judge=silent)[0].startswith(f"judge: {silent} does not say which classes it knows")
    right = save_judge("right", 32, schema=schema.to_dict())
    settings = facts_of("stargan_v2", "quick", [], {"data": tiny_data, "judge": right}).settings
    assert settings.judge == right
    assert set(hashes(settings, Inputs())) == {"data", "judge"}


def test_facenets_weights_are_not_passed_on_with_a_model(home, tiny_data, tmp_path, monkeypatch):
    class Stub(QualityModel):
        """Stands for FaceNet, whose weights are no part of the tests."""

    numbers = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
    monkeypatch.setitem(model_module.KINDS, "facenet", Stub)
    save_network(tmp_path / "facenet", "facenet", numbers, Stub(**numbers))
    with pytest.raises(ConfigError, match="matcher: FaceNet's weights are not ours to pass on with a model; give a run of"):
        facts_of("stargan_v2", "quick", [], {"data": tiny_data, "matcher": tmp_path / "facenet"})


@pytest.mark.parametrize("name", ["identity", "matcher"])
def test_dlib_is_no_part_of_a_training(home, tiny_data, name):
    pytest.importorskip("dlib", reason="the extra dlib is not installed: pip install 'legan[dlib]'")
    given = {"data": tiny_data, name: Path("dlib")}
    overrides = ["loss.lambda_4=0", *(["loss.lambda_3=0"] if name == "matcher" else [])]
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", overrides, given)
    (problem,) = caught.value.problems
    assert problem.place == name
    assert problem.message.endswith("is a judge of people and nothing else (dlib); give a run of `legan train identity`")


def test_a_check_opens_each_thing_once_and_the_task_is_built_of_them(home, tiny_data, tmp_path, monkeypatch):
    opened = []

    def counted(load):
        def once(*of):
            opened.append(of[0])
            return load(*of)

        return once

    for name in ("open_dataset", "load_network"):
        monkeypatch.setattr(checks, name, counted(getattr(checks, name)))
    numbers = {"image_size": 32, "width": 8, "layers": 3, "hidden": 8}
    save_network(home / "Q" / "model", "quality", numbers, QualityModel(**numbers))
    (home / "Q" / "config.yaml").touch()
    asked = resolve("legan", "quick", [*SMALL, "loss.lambda_4=1"], {"data": tiny_data, "quality": "Q"})
    assert asked.settings.quality == Path("Q")
    assert opened == []
    inputs = Inputs()
    facts = trainable(asked, inputs)
    assert facts.settings.quality == home / "Q" / "model"
    assert trainable(asked, inputs) == facts
    task = build_task(facts.settings, Ranks(), inputs)
    assert opened == [tiny_data, home / "Q" / "model"]
    hashed = hashes(facts.settings, inputs)
    assert hashed == {"data": task.info["data_hash"], "quality": task.info["quality_weights"]}
    assert hashed == {"data": open_dataset(tiny_data).content_hash, "quality": weights_hash(task.critics.quality)}


def test_missing_data_and_ratings_are_said(home, tmp_path):
    with pytest.raises(ConfigError, match="data: training needs a data set folder"):
        facts_of("identity", "quick", [], {})
    with pytest.raises(ConfigError, match="ratings: there is nothing at"):
        facts_of("quality", "quick", [], {"ratings": tmp_path / "none"})
    with pytest.raises(ConfigError, match=r"is no data set \(it has no dataset\.json\)"):
        facts_of("classifier", "quick", [], {"data": tmp_path})
    with pytest.raises(ConfigError, match=r"none is no data set \(it does not exist\)"):
        facts_of("classifier", "quick", [], {"data": tmp_path / "none"})


def rated_images(folder, shade, split="train"):
    """A table of four squares, grey in the middle and ``shade`` in the corners, and its path."""
    folder.mkdir()
    for i in range(4):
        pixels = np.full((32, 32, 3), shade, np.uint8)
        pixels[8:24, 8:24] = 100 + i
        Image.fromarray(pixels).save(folder / f"{i}.png")
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], "mean": 5.0, "std": 1.0, "source": "x", "split": split})
    table.to_csv(folder / "ratings.csv", index=False)
    return folder / "ratings.csv"


def test_ratings_that_q_cannot_be_trained_with_are_refused_before_there_is_a_run(home, tiny_data, tmp_path):
    small = ["image_size=32", "layers=3"]
    with pytest.raises(ConfigError) as caught:
        facts_of("quality", "quick", small, {"ratings": rated_images(tmp_path / "whole", shade=200, split="test")})
    text = str(caught.value)
    assert "is in the split train" in text
    assert "ratings: 4 of 4 images of" in text
    assert "are not masked, the first is 0.png" in text
    folder = make_simulated_ratings(open_dataset(tiny_data), tmp_path / "simulated", count=6).path
    about = json.loads((folder / "ratings.json").read_text())
    (folder / "ratings.json").write_text(json.dumps(about | {"masked": False}))
    with pytest.raises(ConfigError, match=r"6 of 6 images of .* are not masked"):
        facts_of("quality", "quick", small, {"ratings": folder})
    with pytest.raises(ConfigError, match=r"ratings: .* holds no ratings"):
        facts_of("quality", "quick", small, {"ratings": tmp_path})
    (folder / "ratings.json").write_text(json.dumps(about))
    for masked in (folder, rated_images(tmp_path / "masked", shade=9)):
        assert facts_of("quality", "quick", small, {"ratings": masked}).problems == []


def test_simulated_ratings_are_named_by_q_and_by_what_is_trained_with_it(home, tiny_data, tmp_path):
    ratings = make_simulated_ratings(open_dataset(tiny_data), tmp_path / "simulated", count=6)
    small = ["image_size=32", "layers=3", "width=4", "hidden=8", "workers=0"]
    settings = facts_of("quality", "quick", small, {"ratings": ratings.path}).settings
    Q = build_task(settings, Ranks(), Inputs())
    expected = {"simulated_ratings": "true", "ratings_hash": ratings.content_hash, "ratings_panel": "training"}
    tags = tags_of(Run(home / "Q", "quality", settings), Q)
    assert tags | expected | {"data_hash": ratings.content_hash, "data": str(ratings.path)} == tags
    Q.export(tmp_path / "Q", {})
    settings = facts_of("legan", "quick", [*SMALL, "loss.lambda_4=0.5"], {"data": tiny_data, "quality": tmp_path / "Q"}).settings
    task = build_task(settings, Ranks(), Inputs())
    assert tags_of(Run(home / "legan", "legan", settings), task).items() >= expected.items()
    task.export(tmp_path / "model", {})
    info = read_model(tmp_path / "model").info
    assert info | {"simulated_ratings": True, "ratings_hash": ratings.content_hash} == info


def test_a_gpu_that_is_not_there_is_said_before_the_run_begins(home, tiny_data, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"gpu: PyTorch finds no GPU on this machine; leave --gpu out"):
        facts_of("classifier", "quick", ["workers=0"], {"data": tiny_data, "gpu": True})
    assert facts_of(
        "classifier", "quick", [], {"data": tiny_data, "gpu": True, "workers": 1}
    ).settings.gpu  # the cluster may have one


def test_problems_of_a_rival_come_together(home, tiny_data, tmp_path):
    with pytest.raises(ConfigError) as caught:
        facts_of("stargan", "quick", ["loss.lambda_4=0.5"], {"data": tiny_data})
    assert "Lqual needs a trained Q" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        facts_of("stargan", "quick", ["loss.lambda_4=0.5", "discriminator.layers=6"], {"data": tiny_data, "quality": tmp_path})
    assert f"quality: {tmp_path} is no network folder" in str(caught.value)
    assert "discriminator.layers: 6 layers halve 32 pixels too often; take 5 or fewer" in str(caught.value)


def test_a_run_without_a_model_cannot_be_a_judge(home, tiny_data):
    (home / "unfinished").mkdir(parents=True)
    (home / "unfinished" / "config.yaml").write_text("kind: identity\n")
    with pytest.raises(ConfigError) as caught:
        facts_of("legan", "quick", ["discriminator.layers=6", "loss.lambda_4=0"], {"data": tiny_data, "identity": "unfinished"})
    text = str(caught.value)
    assert text.count("identity: ") == 1
    assert "identity: the run unfinished has no model yet" in text
    assert "discriminator.layers: 6 layers halve 32 pixels too often; take 5 or fewer" in text


def test_auto_precision_is_what_the_machine_multiplies_natively(tiny_data):
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    settings = facts_of("classifier", "quick", ["precision=auto"], {"data": tiny_data}).settings
    assert settings.precision == ("bf16" if native else "fp32")


@pytest.mark.parametrize(("kind", "left_out"), [
    ("legan", LeftOut(("scream",))), ("stargan", LeftOut(("scream",))), ("stargan_v2", LeftOut(("scream",))),
    ("classifier", LeftOut(("scream",), ("right",))), ("identity", LeftOut()),
])  # fmt: skip
def test_a_class_that_no_training_image_shows_is_left_out_and_named(home, rare_data, kind, left_out):
    overrides = SMALL if kind == "legan" else SMALL[-3:] if kind == "stargan" else []
    facts = facts_of(kind, "quick", overrides + (["discriminator.layers=3"] if kind == "stargan" else []), {"data": rare_data})
    assert facts.left_out == left_out
    assert facts.settings.flip is (kind != "classifier"), "mirrored images show what is lit from the right"
    task = build_task(facts.settings, Ranks(), Inputs(), facts.left_out)
    if kind == "identity":
        assert facts.notes == ("note: T is not validated: that takes two people in the split val of rare, which has 1.",)
        return

    schema = facts.data.schema
    assert schema.expressions == ("neutral", "smile")
    assert task.info["schema"] == schema.to_dict() if kind == "classifier" else task.schema == schema
    scream = "note: no training image shows expression scream (0 in train, 0 in val, 4 in test), so this is left out; "
    assert facts.notes[0].startswith(scream)
    assert "note: nobody in the split val of rare shows lighting front." in facts.notes
    task.validate()
    for step in range(2):
        task.step(task.batch(step), step)


def test_domains_without_training_images_are_named_for_stargan_v2(home, rare_data):
    facts = facts_of("stargan_v2", "quick", ["flip=false", "loss.lambda_ds=1"], {"data": rare_data})
    assert facts.left_out == LeftOut(("scream",), ("right",))
    data = open_dataset(rare_data)
    gone = (data.faces.expression == "smile") & (data.faces.lighting == "left")
    facts = facts_of("stargan_v2", "quick", [], {"data": keep_faces(data, home / "fewer", ~gone)})
    assert "note: no training image shows 2 of 8 domains, which are not learned: smile × left, smile × right." in facts.notes


@pytest.mark.parametrize("kind", ["legan", "stargan", "stargan_v2", "classifier"])
def test_data_that_show_one_class_in_training_are_refused(home, tiny_data, kind):
    data = open_dataset(tiny_data)
    kept = (data.faces.split == "test") | (data.faces.expression == "smile") & (data.faces.lighting == "front")
    one = keep_faces(data, home / "one", kept)
    with pytest.raises(ConfigError, match=r"data: all training images of .*/one show smile × front, and two expressions or two"):
        facts_of(kind, "quick", SMALL if kind == "legan" else [], {"data": one})


@pytest.fixture
def unmirrored(tiny_data, tmp_path):
    """The blobs under lightings of which nobody knows what mirroring makes of them."""
    data = open_dataset(tiny_data)
    names = {"left": "lamp1", "right": "lamp2"}
    schema = AttributeSchema(data.schema.expressions, tuple(names.get(name, name) for name in data.schema.lightings))
    faces = data.faces.drop(columns="duplicate_of").replace({"lighting": names})
    hulls = data.hulls(data.rows())
    return write_dataset(
        tmp_path / "lamps", name="lamps", schema=schema, faces=faces, images=data.images, hulls=hulls, source="drawn"
    ).path


@pytest.mark.parametrize(("kind", "preset"), [(k, p) for k in ("legan", "stargan", "stargan_v2") for p in ("quick", "yale")])
def test_presets_go_on_without_mirroring_and_say_so(home, tiny_data, unmirrored, kind, preset):
    overrides = [] if kind == "stargan_v2" else ["discriminator.layers=3", "loss.lambda_3=0", "loss.lambda_4=0"]
    facts = facts_of(kind, preset, overrides, {"data": unmirrored})
    assert facts.settings.flip is False
    assert facts.notes == (
        "note: no image is mirrored, since nobody says what it makes of lamp1, lamp2; say it to `legan data prepare`: "
        "--mirror lamp1=lamp2 where they swap, --mirror lamp1=lamp1 where it stays.",
    )
    with pytest.raises(
        ConfigError, match=r"flip: images of .*/lamps cannot be mirrored, since nobody says .*, or set flip=false"
    ):
        facts_of(kind, preset, [*overrides, "flip=true"], {"data": unmirrored})
    facts = facts_of(kind, preset, overrides, {"data": tiny_data})
    assert facts.settings.flip is True
    assert facts.notes == ()


def test_t_is_mirrored_whatever_the_lightings_are(home, unmirrored):
    assert facts_of("identity", "quick", ["flip=auto"], {"data": unmirrored}).settings.flip is True
    assert facts_of("classifier", "quick", ["flip=auto"], {"data": unmirrored}).settings.flip is False


def test_a_classifier_of_expressions_leaves_out_expressions_alone_and_needs_two(rare_data: Path) -> None:
    facts = check(ExpressionSettings(steps=1, data=rare_data, flip=True), Inputs())
    data = open_dataset(rare_data)
    assert facts.left_out.expressions == unshown(data, mirrored=True).expressions != ()
    assert facts.left_out.lightings == ()
    assert not facts.problems
