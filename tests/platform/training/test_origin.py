"""Trainings that begin from what was trained before."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file
from tests.platform.training.test_checks import SMALL
from tests.tiny import FACES, RATER

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator, matched_width
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.config import resolve
from legan.platform.data.dataset import open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.errors import ConfigError
from legan.platform.model import load_network, numbers_of, read_model, save_network
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.run_folder import open_run
from legan.platform.training.start import resume_training, start_training, train_further

OFTEN = ["steps=4", "batch_size=4", "log_every=1", "validate_every=2", "checkpoint_every=2", "sample_every=100", "workers=0"]
KINDS = {
    "legan": [*SMALL, "adam.decay_from=0.75", "flip=true"],
    "identity": [*OFTEN, "network=lightcnn9", "width=0.125", "features=16"],
    "stargan_v2": [*OFTEN, *(f"network.{name}=6" for name in ("width", "max_width", "style", "latent", "hidden"))],
    "recolor": [*OFTEN, "generator.width=4", "discriminator.width=4", "adam.decay_from=0.75"],
}


def start(kind: str, name: str, data: Path, *overrides: str) -> None:
    start_training(kind, resolve(kind, "quick", [*KINDS[kind], *overrides], {"data": data}), name, None, dry_run=False)


def further(
    kind: str, source: str, *overrides: str, given: Mapping[str, Any] | None = None, keep_rate: bool = False,
    name: str = "second", dry_run: bool = False,
) -> None:  # fmt: skip
    train_further(kind, source, overrides, given or {}, keep_rate, name, None, dry_run)


def refused(kind: str, source: str, *overrides: str, **options: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        further(kind, source, *overrides, **options)
    return {problem.place: problem.message for problem in caught.value.problems}


def weights(run: Path, step: int) -> dict[str, bytes]:
    (checkpoint,) = [each for each in list_checkpoints(run / "checkpoints") if each.step == step]
    return {
        f"{file.stem}.{name}": tensor.numpy().tobytes()
        for file in checkpoint.path.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_steps_trained_further_are_those_of_one_training_of_all(ready: Path, tiny_data: Path, kind: str) -> None:
    """The learning rate of LEGAN's first four steps is the same in four and in eight; that of the last one falls.

    StarGAN-v2's diversity falls over the whole training, so it has no weight here.
    """
    constant = ["loss.lambda_ds=0"] if kind == "stargan_v2" else []
    start(kind, "whole", tiny_data, "steps=8", *constant)
    start(kind, "first", tiny_data, *constant)
    further(kind, "first", keep_rate=True)
    assert weights(ready / "second", 8) == weights(ready / "whole", 8)
    assert (ready / "second" / "model").is_dir()
    done = json.loads(next((ready / "second" / "model").glob("*.json")).read_text())["info"]["step"]
    assert done == json.loads(next((ready / "whole" / "model").glob("*.json")).read_text())["info"]["step"]


def test_an_average_is_carried_on_or_begins_as_g(ready: Path, tiny_data: Path) -> None:
    average = "average_decay=0.9"
    start("legan", "whole", tiny_data, "steps=8", average)
    start("legan", "first", tiny_data, average)
    further("legan", "first", average, keep_rate=True)
    assert weights(ready / "second", 8) == weights(ready / "whole", 8)

    start("legan", "without", tiny_data, "average_decay=0")
    further("legan", "without", average, name="with")
    first = weights(ready / "with", 4)
    for name in [name for name in first if name.startswith("average.")]:
        assert first[name] == first[name.replace("average.", "generator.", 1)]
    assert (
        weights(ready / "with", 8)["average.target.conv5.weight"] != weights(ready / "with", 8)["generator.target.conv5.weight"]
    )


def test_the_schedule_starts_again_where_it_is_not_kept(ready: Path, tiny_data: Path) -> None:
    start("legan", "first", tiny_data)
    further("legan", "first", name="kept", keep_rate=True)
    further("legan", "first", name="again")
    assert weights(ready / "kept", 6) == weights(ready / "again", 6)
    assert weights(ready / "kept", 8) != weights(ready / "again", 8)


def test_it_says_what_it_takes_over_and_mlflow_names_the_run(ready: Path, tiny_data: Path, capsys: Any) -> None:
    start("legan", "first", tiny_data, "average_decay=0")
    capsys.readouterr()
    further("legan", "first", "steps=2", "adam.learning_rate=0.01", dry_run=True)
    said = capsys.readouterr().out
    for line in (
        "from first, step 4: discriminator, generator, with optimisers and step numbers\n",
        "its settings too, but steps 2 (was 4), adam.learning_rate 0.01 (was 0.0008)\n",
        "the learning rate starts its schedule again\n",
        "2 steps (5 to 6) of 8 images, on this process\n",
    ):
        assert line in said
    assert not (ready / "second").exists()

    further("legan", "first", "steps=2")
    client = MlflowClient(f"sqlite:///{ready}/mlflow.db")
    second, first = client.search_runs([client.get_experiment_by_name("legan").experiment_id])
    assert second.data.tags["from_run"] == "first"
    assert "from_people" not in second.data.tags
    assert second.data.tags["from_run_id"] == first.info.run_id
    assert second.data.tags["from_step"] == second.data.params["start.step"] == "4"
    record = json.loads((ready / "second" / "run.json").read_text())
    assert record["from"] == {
        "run": "first", "step": 4, "run_id": first.info.run_id,
        "run_uid": json.loads((ready / "first" / "run.json").read_text())["run_uid"],
        "people": sorted(open_dataset(tiny_data).people("train")),
    }  # fmt: skip
    assert record["run_uid"] != record["from"]["run_uid"]
    assert [metric.step for metric in client.get_metric_history(second.info.run_id, "loss/g_total")] == [6]
    assert "from first, step 4" in "".join(capsys.readouterr().out)


def test_a_run_that_began_from_another_is_resumed_without_that_one(ready: Path, tiny_data: Path) -> None:
    start("legan", "first", tiny_data)
    further("legan", "first")
    whole = weights(ready / "second", 8)
    for folder in [*(ready / "second" / "checkpoints").glob("step-*8"), ready / "second" / "model", ready / "first"]:
        shutil.rmtree(folder)
    resume_training("legan", "second", [], {}, None, None, dry_run=False)
    assert weights(ready / "second", 8) == whole


def test_a_third_one_counts_on(ready: Path, tiny_data: Path) -> None:
    start("identity", "first", tiny_data)
    further("identity", "first", "steps=2")
    further("identity", "second", "steps=2", name="third")
    assert list_checkpoints(ready / "third" / "checkpoints")[-1].step == 8
    settings = open_run(ready, "third").settings
    assert settings.start is not None
    assert (settings.start.source, settings.start.step, settings.steps) == ("second", 6, 2)


def test_what_cannot_change_is_refused_all_at_once(ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    start("legan", "first", tiny_data)
    data = open_dataset(tiny_data)
    schema = AttributeSchema(data.schema.expressions[::-1], data.schema.lightings, dict(data.schema.flip))
    write_dataset(
        tmp_path / "large", name="large", schema=schema, faces=data.faces, images=data.images.repeat(2, 1).repeat(2, 2),
        hulls=data.hulls(np.arange(len(data))).repeat(2, 1).repeat(2, 2), source="drawn for tests",
    )  # fmt: skip
    changes = ["generator.width=16", "discriminator.layers=2", "lr=1", "start.step=3"]
    problems = refused("legan", "first", *changes, given={"data": tmp_path / "large"}, name="a b")
    assert problems["generator.width"] == "the weights of first are of 8, and nothing else; leave it out"
    assert problems["discriminator.layers"] == "the weights of first are of 3, and nothing else; leave it out"
    assert "there is no such setting" in problems["lr"]
    assert "it is what --from sets" in problems["start"]
    assert "its expressions are scream, smile, neutral, and first has learnt neutral, smile, scream" in problems["data"]
    assert "use letters" in problems["--name 'a b'"]
    with pytest.raises(ConfigError, match="its images are 64×64, and first is for 32"):
        further("legan", "first", given={"data": tmp_path / "large"})
    assert not (ready / "second").exists()


def test_other_people_do_not_fit_t(ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    start("identity", "first", tiny_data)
    data = open_dataset(tiny_data)
    rows = np.flatnonzero(data.faces.subject != "a")
    write_dataset(
        tmp_path / "fewer", name="fewer", schema=data.schema, faces=data.faces.iloc[rows], images=data.images[rows],
        hulls=data.hulls(rows), source="drawn for tests",
    )  # fmt: skip
    problems = refused("identity", "first", given={"data": tmp_path / "fewer"})
    assert problems == {"data": "its training split shows 3 people, and first tells 4 apart"}


def test_what_cannot_be_begun_from_is_said(ready: Path, tiny_data: Path) -> None:
    start("legan", "first", tiny_data)
    problems = refused("stargan", "first", given={"preset": "paper"})
    assert problems["--from"] == "first is a training of legan; use `legan train legan --from first`"
    assert problems["--preset"] == "the settings are those of first; change single ones with --set"
    shutil.rmtree(ready / "first" / "checkpoints")
    problems = refused("legan", "first")
    assert problems["--from"] == f"first has no checkpoint; begin from the weights in {ready / 'first' / 'model'}"
    problems = refused("stargan", str(ready / "first" / "model"), keep_rate=True)
    assert "comes from a training of legan; use `legan train legan --from" in problems["--from"]
    assert "does not tell how its learning rate fell" in problems["--keep-rate"]


def test_other_data_is_not_measured_against_what_the_former_validated(ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    start("legan", "first", tiny_data)
    data = open_dataset(tiny_data)
    write_dataset(
        tmp_path / "other", name="other", schema=data.schema, faces=data.faces, images=255 - data.images,
        hulls=data.hulls(np.arange(len(data))), source="drawn for tests",
    )  # fmt: skip
    further("legan", "first", "keep_last=10", given={"data": tmp_path / "other"})
    metrics = {each.step: dict(each.metrics) for each in list_checkpoints(ready / "second" / "checkpoints")}
    assert metrics[4] == {}
    assert sorted(metrics) == [4, 6, 8]
    assert list_checkpoints(ready / "first" / "checkpoints")[-1].metrics  # which has lost nothing


def test_adam_has_the_numbers_that_were_set(ready: Path, tiny_data: Path) -> None:
    start("legan", "first", tiny_data)
    further("legan", "first", "adam.beta1=0.9")
    state = torch.load(list_checkpoints(ready / "second" / "checkpoints")[-1].path / "state.pt", weights_only=True)
    assert state["g_adam"]["param_groups"][0]["betas"] == (0.9, 0.999)


def test_a_model_gives_its_weights_alone(ready: Path, tiny_data: Path, capsys: Any) -> None:
    start("legan", "first", tiny_data)
    source = str(ready / "first" / "model")
    changes = [change for change in SMALL if not change.startswith("generator")]
    problems = refused("legan", source, *changes, "generator.width=16", given={"data": tiny_data})
    assert problems == {"generator.width": f"the weights of {source} are of 8, and nothing else; leave it out"}
    further("legan", source, *changes, given={"data": tiny_data})
    said = capsys.readouterr().out
    assert f"from {source}: its weights (generator.width 8, generator.blocks 1, " in said
    assert f"begins with the weights of {source}\n" in said

    (begun,) = [each for each in list_checkpoints(ready / "second" / "checkpoints") if each.step == 0]
    before, after = (
        load_file(ready / "first" / "model" / "generator.safetensors"),
        load_file(begun.path / "generator.safetensors"),
    )
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.load(begun.path / "state.pt", weights_only=True)["g_adam"]["state"]
    assert list_checkpoints(ready / "second" / "checkpoints")[-1].step == 4
    assert json.loads((ready / "second" / "run.json").read_text())["from"]["run"] == "first"
    assert read_model(ready / "second" / "model").info["step"] == "4"


def test_a_matched_hourglass_is_rebuilt_from_its_numbers(ready: Path, tiny_data: Path) -> None:
    start("legan", "first", tiny_data, "generator.disentangled=false", "generator.matched=true")
    G = read_model(ready / "first" / "model").generator
    assert isinstance(G, Generator)
    schema = open_dataset(tiny_data).schema
    assert not G.disentangled
    assert G.width == matched_width(len(schema.expressions), len(schema.lightings), 8, 1) > 8

    source, own = str(ready / "first" / "model"), [change for change in SMALL if not change.startswith("generator")]
    given = {"data": tiny_data}
    assert set(refused("legan", source, *own, "generator.matched=true", given=given)) == {"generator.matched"}
    further("legan", source, *own, given=given)
    assert numbers_of(read_model(ready / "second" / "model").generator) == numbers_of(G)


def test_champions_and_networks_are_models_too(ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    start("stargan_v2", "first", tiny_data)
    own = [change for change in KINDS["stargan_v2"] if not change.startswith("network")]
    further("stargan_v2", "models:/stargan_v2@champion", *own, "keep_last=10", given={"data": tiny_data})
    begun = list_checkpoints(ready / "second" / "checkpoints")[0].path
    G, average = load_file(begun / "generator.safetensors"), load_file(begun / "average.safetensors")
    assert all(torch.equal(G[name], average[f"generator.{name}"]) for name in G)

    numbers = FACES | {"classes": 4}
    save_network(tmp_path / "T", "lightcnn", numbers, LightCNN(**numbers))
    own = [change for change in KINDS["identity"] if change.startswith(("steps", "batch", "workers"))]
    further("identity", str(tmp_path / "T"), *own, given={"data": tiny_data}, name="T")
    assert open_run(ready, "T").settings.features == FACES["features"]  # type: ignore[attr-defined]
    save_network(tmp_path / "Q", "quality", RATER, QualityModel(**RATER))
    assert "comes from a training of quality" in refused("identity", str(tmp_path / "Q"))["--from"]


def test_a_recolourer_goes_on_with_other_classes_and_as_a_network(ready: Path, tiny_data: Path, tmp_path: Path) -> None:
    start("recolor", "first", tiny_data)
    data = open_dataset(tiny_data)
    write_dataset(
        tmp_path / "any", name="any", schema=AttributeSchema(("any",), ("any",)), images=data.images, hulls=data.packed_hulls,
        faces=data.faces.drop(columns="duplicate_of").assign(expression="any", lighting="any"), source="drawn for tests",
    )  # fmt: skip
    shutil.rmtree(ready / "first" / "model")  # of its data, which shows other classes, is known whatever it is
    further("recolor", "first", given={"data": tmp_path / "any"})
    own = [change for change in KINDS["recolor"] if not change.startswith("generator")]
    further("recolor", str(ready / "second" / "model"), *own, given={"data": tiny_data}, name="third")
    assert open_run(ready, "third").settings.generator.width == 4  # type: ignore[attr-defined]
    given = {"data": tiny_data}
    problems = refused("recolor", str(ready / "second" / "model"), *own, "generator.skips=none", given=given, name="fourth")
    assert set(problems) == {"generator.skips"}


def test_a_run_keeps_its_threads_where_there_are_as_many(ready: Path, tiny_data: Path) -> None:
    start("identity", "first", tiny_data)
    for stored, kept in ((1, 1), (256, 1)):  # OMP_NUM_THREADS says 1
        file = ready / "first" / "config.yaml"
        document = yaml.safe_load(file.read_text())
        document["settings"]["threads"] = stored
        file.write_text(yaml.safe_dump(document))
        further("identity", "first", "steps=1", name=f"of-{stored}")
        assert open_run(ready, f"of-{stored}").settings.threads == kept


def test_a_model_remembers_whom_it_and_its_t_learned_from_whatever_it_began_from(
    ready: Path, tiny_data: Path, tmp_path: Path
) -> None:
    data = open_dataset(tiny_data)
    other = replace(data, source="elsewhere")
    write_dataset(
        tmp_path / "other", name="other", schema=data.schema, faces=data.faces, images=data.images, hulls=data.packed_hulls,
        source="elsewhere",
    )  # fmt: skip
    start("identity", "T", tmp_path / "other")
    assert load_network(ready / "T/model").info["people"] == list(other.people("train"))
    start("legan", "G", tiny_data, "loss.lambda_3=1", f"identity={ready / 'T/model'}")
    everybody = {*data.people("train"), *other.people("train")}
    assert set(read_model(ready / "G/model").people) == everybody

    start("identity", "mine", tiny_data)
    further("identity", "mine", given={"data": tmp_path / "other"}, name="both")
    assert set(load_network(ready / "both/model").info["people"]) == everybody
    described = ready / "mine/model/network.json"
    values = json.loads(described.read_text())
    del values["info"]["people"]
    described.write_text(json.dumps(values))
    further("identity", "mine", given={"data": tmp_path / "other"}, name="unknown")
    assert "people" not in load_network(ready / "unknown/model").info
