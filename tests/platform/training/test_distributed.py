"""Real Ray Train runs, with real processes killed in them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray
import torch
import yaml
from mlflow import MlflowClient
from ray.train.torch import TorchTrainer
from ray.util import placement_group_table
from safetensors.torch import load_file

from legan.models.quality import QualityModel
from legan.platform.data.dataset import open_dataset
from legan.platform.data.write import write_dataset
from legan.platform.errors import ClusterError, LeganError
from legan.platform.model import save_network
from legan.platform.settings import IdentitySettings, LeganSettings
from legan.platform.training.checkpoint import list_checkpoints
from legan.platform.training.distributed import _Trainer, train_on_ray
from legan.platform.training.loop import Interrupted
from legan.platform.training.run_folder import Run, create_run

STEPS, EVERY = 48, 4


def settings(data: Path, **values) -> LeganSettings:
    return LeganSettings.model_validate(
        {
            "data": data, "steps": STEPS, "batch_size": 4, "workers": 2, "log_every": EVERY, "checkpoint_every": EVERY,
            "validate_every": STEPS // 2, "sample_every": STEPS, "critic_steps": 2,
            "generator": {"width": 8, "blocks": 1}, "discriminator": {"width": 8, "layers": 3},
            "loss": {"lambda_3": 0, "lambda_4": 0},
        } | values
    )  # fmt: skip


@pytest.fixture
def store(ready: Path) -> str:
    return f"sqlite:///{ready}/mlflow.db"


def weights(run: Run) -> dict[str, bytes]:
    last = list_checkpoints(run.checkpoints)[-1]
    assert last.step == STEPS
    return {
        f"{file.stem}.{name}": tensor.numpy().tobytes()
        for file in last.path.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


@pytest.fixture(scope="module")
def uninterrupted(ray_cluster: None, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("whole")
    run = create_run(home, "legan", settings(tiny_data), "whole")
    train_on_ray(run, f"sqlite:///{home}/mlflow.db", str)
    return run


def test_two_workers_train_and_leave_a_model(uninterrupted):
    assert (uninterrupted.model / "model.json").is_file()
    assert not list(uninterrupted.model.glob("*.pkl"))
    lines = (uninterrupted.folder / "progress.log").read_text().splitlines()
    assert lines[0].startswith(f"step {EVERY}/{STEPS}  ")
    assert lines[-1].startswith("finished: the model is ")


@pytest.mark.long
def test_two_workers_end_on_the_same_plateau_also_when_resumed_and_keep_the_same_weights(ray_cluster, tiny_data, store, tmp_path):
    data = open_dataset(tiny_data)
    faces = data.faces.drop(columns="duplicate_of")
    faces["split"] = faces["split"].mask(faces["subject"] == "d", "val")
    write_dataset(
        tmp_path / "two", name="two", schema=data.schema, faces=faces, images=data.images, hulls=data.packed_hulls,
        source="drawn for tests",
    )  # fmt: skip
    values = {"network": "lightcnn9", "width": 0.125, "features": 16, "steps": 2000, "batch_size": 4, "patience": 2}
    # Long enough that Ctrl-C after the second step comes before the plateau, however slow the machine is.
    asked = IdentitySettings(**values, data=tmp_path / "two", validate_every=20, checkpoint_every=16, log_every=2, workers=2)

    def train(name: str, stop: bool) -> tuple[int, Run]:
        run = create_run(tmp_path, "identity", asked, name)

        def say(line: str) -> None:
            if stop and line.startswith("step 2/"):
                os.kill(os.getpid(), signal.SIGINT)

        if stop:
            with pytest.raises(Interrupted):
                train_on_ray(run, store, say)
        train_on_ray(run, store, str)
        (ended,) = [line for line in (run.folder / "progress.log").read_text().splitlines() if "ends here" in line]
        return int(ended.removeprefix("step ").partition("/")[0]), run

    (whole_step, whole), (parts_step, parts) = train("whole", stop=False), train("parts", stop=True)
    assert parts_step == whole_step < 2000
    files = [run.model / "weights.safetensors" for run in (whole, parts)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_worker_trains_on_a_gpu(ray_cluster, tiny_data, store, tmp_path, gpu):
    """Over NCCL, as more of them would."""
    run = create_run(tmp_path, "legan", settings(tiny_data, workers=1, gpu=True, precision="bf16"), "gpu")
    train_on_ray(run, store, str)
    assert (run.folder / "progress.log").read_text().splitlines()[-1].startswith("finished: the model is ")
    assert all(torch.isfinite(values).all() for values in load_file(run.model / "generator.safetensors").values())


@pytest.mark.long
def test_ctrl_c_ends_both_workers_after_the_same_step_and_the_weights_are_the_same(uninterrupted, tiny_data, store, tmp_path):
    run = create_run(tmp_path, "legan", settings(tiny_data), "stopped")
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if line.startswith(f"step {EVERY}/"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="step ") as stopped:
        train_on_ray(run, store, say)
    reached = list_checkpoints(run.checkpoints)[-1].step
    assert str(stopped.value) == f"step {reached}"
    assert EVERY <= reached < STEPS
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train_on_ray(run, store, lines.append)
    assert f"resumed from step {reached} of {STEPS}" in lines
    assert weights(run) == weights(uninterrupted)


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_worker_is_replaced_and_the_weights_are_the_same(uninterrupted, tiny_data, store, tmp_path):
    run = create_run(tmp_path, "legan", settings(tiny_data), "killed")
    killed: list[int] = []

    def kill_one_worker() -> None:
        while len(list_checkpoints(run.checkpoints)) < 2:
            time.sleep(0.02)
        ours = psutil.Process().children(recursive=True)  # not those of another cluster on this machine
        workers = [process for process in ours if "RayTrainWorker" in process.name()]
        killed.append(workers[-1].pid)
        os.kill(workers[-1].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one_worker)
    killer.start()
    lines: list[str] = []
    train_on_ray(run, store, lines.append)
    killer.join()
    assert killed
    assert any(line.startswith("resumed from step ") for line in lines)
    assert weights(run) == weights(uninterrupted)


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_driver_is_resumed_and_the_weights_are_the_same(uninterrupted, tiny_data, ready, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"legan": settings(tiny_data).model_dump(mode="json")}))
    environment = os.environ | {"LEGAN_HOME": str(ready), "RAY_ADDRESS": ""}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "legan.cli", "train", "legan"]
    driver = subprocess.Popen([*command, "--preset", str(file), "--name", "killed"], env=environment, stdout=subprocess.DEVNULL)
    run = Run(ready / "killed", "legan", settings(tiny_data))
    while len(list_checkpoints(run.checkpoints)) < 2:
        assert driver.poll() is None
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert list_checkpoints(run.checkpoints)[-1].step < STEPS
    elsewhere = ["--address", ray.get_runtime_context().gcs_address]  # its own cluster died with it
    resumed = subprocess.run(
        [*command, "--resume", "killed", *elsewhere], env=environment, capture_output=True, text=True, timeout=200
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed from step " in resumed.stdout
    assert weights(run) == weights(uninterrupted)

    client = MlflowClient(f"sqlite:///{ready}/mlflow.db")
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert found.info.status == "FINISHED"
    logged = [metric.step for metric in client.get_metric_history(found.info.run_id, "loss/g_total")]
    assert logged == list(range(EVERY, STEPS + 1, EVERY))
    assert [version.version for version in client.search_model_versions("name = 'legan'")] == [1]


@pytest.mark.long
def test_a_loss_that_is_not_a_number_stops_the_run_with_its_name_and_no_retries(ray_cluster, tiny_data, store, tmp_path):
    broken = QualityModel(32, width=8, layers=3, hidden=8)
    with torch.no_grad():
        broken.fc1.bias.fill_(float("nan"))
    save_network(tmp_path / "Q", "quality", {"image_size": 32, "width": 8, "layers": 3, "hidden": 8}, broken)
    run = create_run(tmp_path, "legan", settings(tiny_data, workers=1, quality=tmp_path / "Q", loss={"lambda_3": 0}), "wild")
    with pytest.raises(LeganError, match=r"step 1: the loss term loss/qual became nan; no checkpoint had been written yet"):
        train_on_ray(run, store, str)
    assert len(list((run.folder / "ray").glob("wild-attempt-*"))) == 1


@pytest.mark.long
@pytest.mark.kills
def test_a_killed_controller_leaves_no_process_and_no_processors_behind(ray_cluster, tiny_data, store, tmp_path):
    run = create_run(tmp_path, "legan", settings(tiny_data, workers=1, steps=4000), "orphaned")

    def processes(kind: str) -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                found += [process] if kind in process.name() else []
        return found

    cleaners: list[psutil.Process] = []

    def kill_the_controller() -> None:
        while not list_checkpoints(run.checkpoints):
            time.sleep(0.02)
        cleaners.extend(processes("Cleaner"))
        (controller,) = processes("TrainContr")  # the system shortens names
        controller.kill()

    killer = threading.Thread(target=kill_the_controller)
    killer.start()
    with pytest.raises(ClusterError, match=r"the checkpoints are kept, continue with --resume orphaned"):
        train_on_ray(run, store, str)
    killer.join()
    assert cleaners
    deadline = time.monotonic() + 60
    while processes("Cleaner") or any(group["state"] != "REMOVED" for group in placement_group_table().values()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_no_process_is_started_for_ray_data(ray_cluster):
    def names(kind):
        return {type(each).__name__ for each in kind(print)._create_default_callbacks()}

    assert names(TorchTrainer) - names(_Trainer) == {"DatasetsCallback", "PlacementGroupCleanerCallback"}
