import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file
from tests.platform.training.test_checks import SMALL
from tests.tiny import save_networks

from legan.models.discriminator import Discriminator
from legan.models.expression import AttributeClassifier
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.platform.config import resolve
from legan.platform.data.dataset import LeftOut, open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.errors import CheckpointError, ClusterError, ConfigError, RecordTakenError
from legan.platform.evaluation.paired import Judges, evaluate_pairs
from legan.platform.evaluation.pairs import choose_pairs
from legan.platform.evaluation.recolorer import load_recolorer
from legan.platform.evaluation.reference import split_features
from legan.platform.model import find_model, load_network, read_model, save_network, weights_hash
from legan.platform.training import checks, start
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.checks import Inputs, trainable
from legan.platform.training.lifecycle import train_run
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import create_run, open_run
from legan.platform.training.start import plan, resume_training, start_training
from legan.platform.training.tasks.legan_stargan import LeganTask


@pytest.mark.parametrize("name", ["../esc", "a b/ü*?", "", ".", ".hidden"])
def test_a_run_is_one_folder_under_home(home, tiny_data, name):
    asked = resolve("classifier", "quick", ["workers=0"], {"data": tiny_data})
    with pytest.raises(ConfigError, match=r"--name .*: use letters, digits"):
        start_training("classifier", asked, name, None, dry_run=True)


def test_a_name_that_is_taken_is_said_by_the_dry_run_too(home, tiny_data):
    (home / "taken").mkdir(parents=True)
    (home / "taken" / "note").touch()
    asked = resolve("classifier", "quick", ["workers=0"], {"data": tiny_data})
    with pytest.raises(ConfigError, match="there is a run taken already"):
        start_training("classifier", asked, "taken", None, dry_run=True)


def test_a_cluster_that_cannot_train_leaves_no_run_behind(home, tiny_data, monkeypatch):
    def too_small(cpus, gpus):
        raise ClusterError("the cluster has 1 CPU")

    monkeypatch.setattr(start, "connect", lambda address, cpus: None)
    monkeypatch.setattr(start, "require", too_small)
    asked = resolve("classifier", "quick", ["workers=1"], {"data": tiny_data})
    with pytest.raises(ClusterError):
        start_training("classifier", asked, "first", None, dry_run=False)
    assert not home.exists()


def test_the_plan_names_the_store_and_no_password(home, tiny_data, monkeypatch, capsys):
    settings = resolve("classifier", "quick", ["workers=0"], {"data": tiny_data}).settings
    run = create_run(home, "classifier", settings, "first")
    (run.folder / "tracking.sent").write_text(json.dumps({"offset": 0, "uri": "http://me:secret@before", "run_id": "1"}))
    resume_training("classifier", "first", [], {}, None, None, dry_run=True)
    assert "tracking: http://before\n" in capsys.readouterr().out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@now")
    resume_training("classifier", "first", [], {}, None, None, dry_run=True)
    assert "tracking: http://now\n" in capsys.readouterr().out


def test_a_damaged_run_is_no_run(home):
    (home / "torn").mkdir(parents=True)
    (home / "torn" / "config.yaml").write_bytes(b"\xb9\x00\xff")
    with pytest.raises(CheckpointError, match="there is no run 'torn'"):
        resume_training("legan", "torn", [], {}, None, None, dry_run=False)
    for junk in ("null", "[1]"):
        (home / "torn" / "config.yaml").write_text(f"{{kind: legan, settings: {junk}}}")
        with pytest.raises(ConfigError, match=r"config\.yaml: there are no settings in it"):
            resume_training("legan", "torn", [], {}, None, None, dry_run=False)


def test_compiling_in_a_layout_without_such_kernels_is_told_to_do_nothing(home, tiny_data, capsys):
    asked = resolve("legan", "quick", [*SMALL, "compile=true", "channels_last=false"], {"data": tiny_data})
    start_training("legan", asked, None, None, dry_run=True)
    assert capsys.readouterr().out.startswith(
        "note: compile has no part in this training, since on a CPU it needs channels_last; "
    )


def test_white_balanced_images_are_made_by_the_training_and_not_by_its_dry_run(home, tiny_data, tmp_path, capsys):
    faces = shutil.copytree(tiny_data, tmp_path / "faces")
    without = ["loss.lambda_3=0", "loss.lambda_4=0", "loss.lambda_1=0"]
    asked = resolve("legan", "quick", [*SMALL, *without, "workers=0", "steps=2", "white_balance=[shade]"], {"data": faces})
    start_training("legan", asked, "balanced", None, dry_run=True)
    assert not (faces / "variants").exists()
    start_training("legan", asked, "balanced", None, dry_run=False)
    assert "white balance shade: made once of all 72 images" in capsys.readouterr().out
    assert [file.name for file in faces.glob("variants/*/*")] == ["white-balance-shade.npy"]

    shutil.rmtree(faces / "variants")
    shutil.rmtree(home / "balanced" / "checkpoints")
    resume_training("legan", "balanced", [], {}, None, None, dry_run=False)
    assert (faces / "variants").is_dir()


def test_a_white_balance_that_is_named_twice_or_not_known_is_refused(tiny_data):
    for given, said in (("[shade, shade]", "it names shade twice"), ("[moonlight]", "tungsten")):
        problems = resolve("legan", "quick", [*SMALL, f"white_balance={given}"], {"data": tiny_data}).problems
        assert any(problem.place.startswith("white_balance") and said in problem.message for problem in problems)


def test_dry_run_prints_the_plan_and_writes_nothing(home, tiny_data, capsys):
    asked = resolve("legan", "quick", SMALL, {"data": tiny_data, "quality": tiny_data})
    start_training("legan", asked, "planned", None, dry_run=True)
    printed = capsys.readouterr().out
    assert printed.startswith(
        "note: --quality has no part in this training, since loss.lambda_4 is 0; set it (--set loss.lambda_4="
    )
    assert printed.count("note: ") == 1
    assert "lambda_gp: 10.0" in printed
    assert "72 faces of 32×32 (train 48, val 12, test 12), 3 expressions × 4 lightings" in printed
    assert "generator: " in printed
    assert "4 steps of 8 images, on this process" in printed
    assert not home.exists()
    inputs = Inputs()
    facts = trainable(asked, inputs)
    assert plan("legan", facts._replace(settings=facts.settings.model_copy(update={"threads": 1})), inputs) in printed
    assert re.search(r"^time: about 0:\d\d for 4 steps of \S+ s \(\d+ made here\); validations, ", printed, re.MULTILINE)


def test_train_resume_and_what_is_refused(home, tiny_data, capsys):
    start_training("legan", resolve("legan", "quick", SMALL, {"data": tiny_data}), "first", None, dry_run=False)
    model = read_model(home / "first" / "model")
    assert model.schema.expressions == ("neutral", "smile", "scream")
    assert model.info["data_hash"] == open_dataset(tiny_data).content_hash
    assert yaml.safe_load((home / "first" / "config.yaml").read_text())["settings"]["steps"] == 4
    assert [checkpoint.step for checkpoint in list_checkpoints(home / "first" / "checkpoints")] == [2, 4]
    assert {path.name.split("-0")[0] for path in (home / "first" / "samples").iterdir()} == {
        "samples-translation", "samples-expression_mask", "samples-lighting_mask",
    }  # fmt: skip

    resume_training("legan", "first", [], {}, None, None, dry_run=False)
    assert "last checkpoint at step 4" in capsys.readouterr().out
    versions = MlflowClient(f"sqlite:///{home}/mlflow.db").search_model_versions("name = 'legan'")
    assert len(versions) == 1  # the resumed run had registered its model already
    with pytest.raises(ConfigError, match="there is a run first already"):
        start_training("legan", resolve("legan", "quick", SMALL, {"data": tiny_data}), "first", None, dry_run=False)
    with pytest.raises(CheckpointError, match=r"there is no run 'secnd'; runs under .*: first"):
        resume_training("legan", "secnd", [], {}, None, None, dry_run=False)
    with pytest.raises(ConfigError, match="is a training of legan"):
        resume_training("quality", "first", [], {}, None, None, dry_run=False)
    with pytest.raises(ConfigError, match="a run goes on with its own settings"):
        resume_training("legan", "first", ["seed=3"], {}, None, None, dry_run=False)
    for given in ({"workers": 2}, {"preset": "paper"}):
        with pytest.raises(ConfigError, match="a run goes on with its own settings"):
            resume_training("legan", "first", [], given, None, None, dry_run=False)


@pytest.mark.kills
def test_a_run_that_another_process_trains_is_not_resumed(home, tiny_data, capsys, monkeypatch):
    monkeypatch.setattr(start, "ENDING_S", 0.0)
    run = create_run(home, "legan", resolve("legan", "quick", SMALL, {"data": tiny_data}).settings, "cc")
    code = "import time, pathlib, legan.platform.tracking.spool as m; s = m.Spool(pathlib.Path()); print(1); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-uc", code], cwd=run.folder, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(RecordTakenError, match=r"^cc is being trained by another process; wait until it has ended"):
            resume_training("legan", "cc", [], {}, None, None, dry_run=False)
        assert capsys.readouterr().out == ""
        resume_training("legan", "cc", [], {}, None, None, dry_run=True)
        holder.kill()


def test_a_run_goes_on_with_the_data_and_networks_that_it_began_with(home, tiny_data, tmp_path, monkeypatch):
    def save_critics(seed):
        torch.manual_seed(seed)
        numbers = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
        save_network(tmp_path / "Q", "quality", numbers, QualityModel(**numbers))
        faces = {"layers": 9, "classes": 3, "image_size": 32, "width": 0.125, "features": 16}
        save_network(tmp_path / "T", "lightcnn", faces, LightCNN(**faces))

    def refused():
        with pytest.raises(ConfigError) as caught:
            resume_training("legan", "first", [], {}, None, None, dry_run=True)
        return caught.value.problems

    shutil.copytree(tiny_data, tmp_path / "data")
    save_critics(1)
    given = {"data": tmp_path / "data", "identity": tmp_path / "T", "quality": tmp_path / "Q"}
    asked = resolve("legan", "quick", [*SMALL, "loss.lambda_3=1", "loss.lambda_4=1"], given)
    start_training("legan", asked, "first", None, dry_run=False)
    resume_training("legan", "first", [], {}, None, None, dry_run=True)

    save_critics(2)
    problems = refused()
    assert [problem.place for problem in problems] == ["identity", "quality"]
    assert problems[0].message.startswith(f"{tmp_path / 'T'} has changed since first began")
    run = open_run(home, "first")
    with pytest.raises(ConfigError, match=r"identity: .* has changed since first began"):
        train_run(run, Ranks(), f"sqlite:///{home}/mlflow.db", str)  # also by whoever trains
    inputs = (home / "first" / "inputs.json").read_text()
    (home / "first" / "inputs.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"inputs\.json cannot be read .*; remove it if nothing changed"):
        resume_training("legan", "first", [], {}, None, None, dry_run=True)
    (home / "first" / "inputs.json").write_text(inputs)
    save_critics(1)
    data = open_dataset(tiny_data)
    write_dataset(
        tmp_path / "data", name="other", schema=data.schema, faces=data.faces, images=data.images[::-1],
        hulls=data.hulls(np.arange(len(data))), source="drawn for tests", overwrite=True,
    )  # fmt: skip
    assert [problem.place for problem in refused()] == ["data"]


def test_a_model_carries_ds_head_and_t_or_what_it_was_told_to(ready, tiny_data, tmp_path):
    networks = save_networks(tmp_path, tiny_data)
    critics = {"data": tiny_data, "identity": networks["identity"], "quality": networks["quality"]}
    asked = resolve("legan", "quick", [*SMALL, "loss.lambda_3=1", "loss.lambda_4=1"], critics)
    start_training("legan", asked, "own", None, dry_run=False)
    own = read_model(ready / "own" / "model")
    D = load_file(list_checkpoints(ready / "own" / "checkpoints")[-1].path / "discriminator.safetensors")
    assert isinstance(own.predictor, Discriminator)
    assert all(torch.equal(values, D[name]) for name, values in own.predictor.state_dict().items())
    assert own.matcher is not None
    assert weights_hash(own.matcher) == own.info["identity_weights"] == own.info["matcher"]["weights"]
    assert (own.info["predictor"]["network"], own.info["matcher"]["network"]) == ("discriminator", "T")
    assert (own.info["quality"]["images"], own.info["quality"]["split"], own.info["predictor"]["faces"]) == (12, "val", 12)
    assert own.info["data"]["people"] == 4

    carried = {"data": tiny_data, "judge": networks["classifier"], "matcher": networks["matcher"]}
    asked = resolve("stargan_v2", "quick", [*OFTEN, *RIVALS["stargan_v2"]], carried)
    start_training("stargan_v2", asked, "told", None, dry_run=False)
    told = read_model(ready / "told" / "model")
    assert [told.info[name]["network"] for name in ("predictor", "matcher")] == ["judge", "matcher"]
    assert "quality" not in told.info
    for network, folder in ((told.predictor, carried["judge"]), (told.matcher, carried["matcher"])):
        assert weights_hash(network) == weights_hash(load_network(folder).module)

    asked = resolve("stargan", "quick", [*OFTEN, *RIVALS["stargan"], "loss.lambda_1=0"], {"data": tiny_data})
    start_training("stargan", asked, "blind", None, dry_run=False)
    blind = read_model(ready / "blind" / "model")
    assert (blind.predictor, blind.matcher) == (None, None)  # this D has learnt no classes


OFTEN = ["steps=2", "batch_size=4", "log_every=1", "checkpoint_every=1", "validate_every=2", "sample_every=2", "workers=0"]
RIVALS = {
    "stargan": ["critic_steps=2", "generator.width=8", "generator.blocks=1", "discriminator.width=8", "discriminator.layers=3"],
    "stargan_v2": [f"network.{name}=6" for name in ("width", "max_width", "style", "latent", "hidden")],
}


@pytest.mark.parametrize("kind", RIVALS)
def test_rivals_are_trained_resumed_registered_and_evaluated_as_legan_is(ready, tiny_data, capsys, kind):
    asked = resolve(kind, "quick", [*OFTEN, *RIVALS[kind]], {"data": tiny_data})
    inputs = Inputs()
    assert f"kind: {kind}" in plan(kind, trainable(asked, inputs), inputs)
    start_training(kind, asked, "rival", None, dry_run=False)
    resume_training(kind, "rival", [], {}, None, None, dry_run=False)
    assert "last checkpoint at step 2" in capsys.readouterr().out
    assert [path.name.split("-0")[0] for path in (ready / "rival" / "samples").iterdir()] == ["samples-translation"]
    model, data = read_model(find_model(f"models:/{kind}@champion")), open_dataset(tiny_data)
    judges = Judges(AttributeClassifier(3, 4, 32, width=4).eval(), LightCNN(9, 2, image_size=32, width=0.125, features=8).eval())
    device = torch.device("cpu")
    real = {each.name: split_features(data, "test", each, device, ready / "features") for each in judges.extractors()}
    table = evaluate_pairs(model, data, choose_pairs(data, 4, seed=0), judges, real, device).table
    assert 0 < table.loc["output", "l1_to_target"] < 2


def test_a_recolourer_is_trained_resumed_and_kept(ready, tiny_data, capsys):
    small = [*OFTEN, "generator.width=4", "discriminator.width=4"]
    asked = resolve("recolor", "quick", small, {"data": tiny_data})
    inputs = Inputs()
    planned = plan("recolor", trainable(asked, inputs), inputs)
    assert "kind: recolor\n" in planned
    assert "generator: 252,187 parameters\ndiscriminator: 27,797 parameters\n" in planned
    start_training("recolor", asked, "colours", None, dry_run=False)
    (picture,) = (ready / "colours" / "samples").iterdir()
    assert picture.name.startswith("samples-recoloured-")
    for checkpoint in list_checkpoints(ready / "colours" / "checkpoints")[1:]:
        shutil.rmtree(checkpoint.path)
    whole = load_recolorer(Path("colours"), 32)
    shutil.rmtree(ready / "colours" / "model")
    resume_training("recolor", "colours", [], {}, None, None, dry_run=False)
    assert "last checkpoint at step 1" in capsys.readouterr().out
    again = load_recolorer(Path("colours"), 32)
    assert again.digest == whole.digest
    client = MlflowClient(f"sqlite:///{ready}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("legan").experiment_id])
    assert (run.data.tags["kind"], run.data.params["generator.skips"]) == ("recolor", "concatenate")
    measured = {f"val/{name}" for name in ("l1_to_target", "ssim_to_target", "luma_error", "chroma_share")}
    assert {*measured, "loss/d_total"} <= set(run.data.metrics)
    assert client.search_registered_models() == []


def test_a_run_goes_on_with_what_it_began_with_wherever_that_is_now(ready, tiny_data, tmp_path, capsys):
    numbers = {"image_size": 32, "width": 4, "layers": 3, "hidden": 8}
    for seed, name in ((1, "Q"), (2, "other")):
        torch.manual_seed(seed)
        save_network(tmp_path / name, "quality", numbers, QualityModel(**numbers))
    data = open_dataset(tiny_data)
    write_dataset(
        tmp_path / "others", name="other", schema=data.schema, faces=data.faces, images=data.images[::-1],
        hulls=data.hulls(np.arange(len(data))), source="drawn for tests",
    )  # fmt: skip
    shutil.copytree(tiny_data, tmp_path / "data")
    asked = resolve("legan", "quick", [*SMALL, "loss.lambda_4=1"], {"data": tmp_path / "data", "quality": tmp_path / "Q"})
    start_training("legan", asked, "first", None, dry_run=False)

    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "Q").rename(tmp_path / "Q2")
    with pytest.raises(ConfigError) as caught:
        resume_training("legan", "first", [], {}, None, None, dry_run=True)
    assert {each.message.rpartition("; ")[2] for each in caught.value.problems} == {
        f"if it was moved, name its place with --{name}" for name in ("data", "quality")
    }
    given = {"data": tmp_path / "others", "quality": tmp_path / "other", "identity": tmp_path / "Q2"}
    with pytest.raises(ConfigError) as caught:
        resume_training("legan", "first", [], given, None, None, dry_run=False)
    problems = {each.place: each.message for each in caught.value.problems}
    assert problems["--identity"] == "first is trained without; leave it out"
    hashes = open_dataset(tmp_path / "others").content_hash[:12], data.content_hash[:12]
    assert f"{tmp_path / 'others'} has the hash {hashes[0]}, and first began with {hashes[1]}; give" in problems["--data"]
    assert f"{tmp_path / 'other'} has the hash " in problems["--quality"]

    given = {"data": tmp_path / "moved", "quality": tmp_path / "Q2"}
    resume_training("legan", "first", [], given, None, None, dry_run=True)
    assert open_run(ready, "first").settings.data == tmp_path / "data"  # a dry run changes nothing
    resume_training("legan", "first", [], given, None, None, dry_run=False)
    settings = open_run(ready, "first").settings
    assert (settings.data, settings.quality) == (tmp_path / "moved", tmp_path / "Q2")
    resume_training("legan", "first", [], {}, None, None, dry_run=False)


def test_the_number_of_threads_is_kept_for_whoever_goes_on(ready, tiny_data, capsys, monkeypatch):
    threads = torch.get_num_threads()
    start_training("legan", resolve("legan", "quick", SMALL, {"data": tiny_data, "threads": 3}), "three", None, dry_run=False)
    assert torch.get_num_threads() == open_run(ready, "three").settings.threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    start_training("legan", resolve("legan", "quick", SMALL, {"data": tiny_data}), "first", None, dry_run=False)
    assert torch.get_num_threads() == open_run(ready, "first").settings.threads == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    resume_training("legan", "first", [], {}, None, None, dry_run=False)
    assert torch.get_num_threads() == 2
    capsys.readouterr()
    resume_training("legan", "first", [], {"threads": 1}, None, None, dry_run=False)
    assert torch.get_num_threads() == open_run(ready, "first").settings.threads == 1
    assert "threads: 1, which is not certain to give the same bits as before" in capsys.readouterr().out
    client = MlflowClient(f"sqlite:///{ready}/mlflow.db")
    first, three = client.search_runs([client.get_experiment_by_name("legan").experiment_id])
    assert (first.data.params["threads"], three.data.params["threads"]) == ("2", "3")
    torch.set_num_threads(threads)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_command_that_is_told_to_end_writes_a_checkpoint_and_says_how_to_go_on(ready, tiny_data, number):
    rare = ["steps=100000", "log_every=1", "checkpoint_every=50000", "validate_every=50000"]
    kept = [each for each in SMALL if each.partition("=")[0] not in ("steps", "log_every", "checkpoint_every", "validate_every")]
    words = [f"--set={each}" for each in (*kept, *rare)]
    command = [sys.executable, "-m", "legan.cli", "train", "legan", "--data", str(tiny_data), "--name", "first", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("step 5/"):
            break
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    (checkpoint,) = list_checkpoints(ready / "first" / "checkpoints")
    assert (
        f"stopped after step {checkpoint.step}, which is a checkpoint; continue with `legan train legan --resume first`" in said
    )
    assert process.returncode == 130
    assert "Traceback" not in said
    client = MlflowClient(f"sqlite:///{ready}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("legan").experiment_id])
    assert run.info.status == "KILLED"


def test_bf16_is_refused_where_convolutions_have_none(home, tiny_data, monkeypatch):
    monkeypatch.setattr(checks, "convolves_bf16", lambda: False)
    asked = resolve("legan", "quick", [*SMALL, "precision=bf16"], {"data": tiny_data})
    with pytest.raises(
        ConfigError, match=r"precision: the convolutions of this processor know no bf16 .* set precision=fp32 or auto"
    ):
        start_training("legan", asked, "first", None, dry_run=True)
    run = create_run(home, "legan", asked.settings, "elsewhere")
    with pytest.raises(ConfigError, match="precision: the convolutions"):  # said by the worker whose processor it is
        train_run(run, Ranks(), f"sqlite:///{home}/mlflow.db", str)
    on_ray = resolve("legan", "quick", [*SMALL, "precision=bf16"], {"data": tiny_data, "workers": 2})
    with pytest.raises(ConfigError, match="precision: the convolutions"):
        trainable(on_ray, Inputs())
    assert trainable(on_ray, Inputs(), elsewhere=True).settings.precision == "bf16"


def test_a_run_stopped_by_ctrl_c_is_killed_in_mlflow_and_goes_on(ready, tiny_data, monkeypatch, capsys):
    asked = resolve("legan", "quick", SMALL, {"data": tiny_data})
    step = LeganTask.step

    def interrupted(task, batch, number):
        if number == 2:
            raise KeyboardInterrupt
        return step(task, batch, number)

    monkeypatch.setattr(LeganTask, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_training("legan", asked, "stopped", None, dry_run=False)
    assert "continue with `legan train legan --resume stopped`" in capsys.readouterr().err
    client = MlflowClient(f"sqlite:///{ready}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("legan").experiment_id])
    assert run.info.status == "KILLED"
    monkeypatch.setattr(LeganTask, "step", step)
    resume_training("legan", "stopped", [], {}, None, None, dry_run=False)
    assert client.get_run(run.info.run_id).info.status == "FINISHED"


def test_a_class_that_no_training_image_shows_is_in_the_plan_and_not_in_the_model(home, rare_data, capsys):
    asked = resolve("legan", "quick", SMALL, {"data": rare_data})
    start_training("legan", asked, "planned", None, dry_run=True)
    printed = capsys.readouterr().out
    assert printed.startswith("note: no training image shows expression scream (0 in train, 0 in val, 4 in test)")
    assert "2 expressions × 4 lightings" in printed
    rows = {" ".join(line.split()) for line in printed.splitlines()}
    assert {"expression smile 12 3 4 19", "lighting right 0 2 2 4", "subjects 4 1 1 6"} <= rows

    start_training("legan", asked, "first", None, dry_run=False)
    assert capsys.readouterr().out.startswith("note: no training image shows expression scream")
    assert read_model(home / "first" / "model").schema.expressions == ("neutral", "smile")
    assert open_run(home, "first").left_out == LeftOut(("scream",))
    resume_training("legan", "first", [], {}, None, None, dry_run=True)
    assert "2 expressions × 4 lightings" in capsys.readouterr().out


def test_a_run_that_began_with_all_classes_goes_on_with_them(home, rare_data, capsys):
    settings = trainable(resolve("legan", "quick", SMALL, {"data": rare_data}), Inputs()).settings
    run = create_run(home, "legan", settings, "old")
    assert "left_out" not in yaml.safe_load((run.folder / "config.yaml").read_text())
    resume_training("legan", "old", [], {}, None, None, dry_run=False)
    assert read_model(run.model).schema.expressions == ("neutral", "smile", "scream")
