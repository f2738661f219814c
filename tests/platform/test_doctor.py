import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from threading import Thread

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from legan.platform import doctor
from legan.platform.commands.tracking import mount
from legan.platform.data.landmarks import WEIGHTS_NAME
from legan.platform.doctor import Fact, examine, healthy
from legan.platform.weights import PRETRAINED


@pytest.fixture(autouse=True)
def surroundings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("LEGAN_WEIGHTS", str(tmp_path / "weights"))


def fact(name: str) -> Fact:
    return next(each for each in examine() if each.name == name)


def test_everything_asked_for_is_in_the_report() -> None:
    names = [each.name for each in examine()]
    for name in ("Python", "cores", "memory", "disk", "processor", "ray", "Ray cluster", "mlflow", "MLflow store", "optuna"):
        assert name in names
    for name in ("MTCNN weights", "facenet weights", "inception weights", "alexnet weights", "dlib", "face-alignment"):
        assert name in names
    assert any(name.startswith("GPU") for name in names)


def test_whatever_is_not_there_has_a_remedy() -> None:
    for each in examine():
        assert each.found
        assert bool(each.remedy) == (each.status != "ok"), each


def test_missing_weights_are_no_problem_and_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fact("inception weights")
    assert found.status == "missing"
    for part in ("for FID", PRETRAINED["inception"].url, str(tmp_path / "weights"), "without it, ", "fd_identity"):
        assert part in found.remedy
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / PRETRAINED["inception"].file).touch()
    assert fact("inception weights").status == "missing"
    assert "is another file than the published one" in fact("inception weights").found
    monkeypatch.setitem(PRETRAINED, "inception", replace(PRETRAINED["inception"], sha256=sha256(b"").hexdigest()))
    assert fact("inception weights").status == "ok"


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "optuna":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    facts = examine()
    assert [each.name for each in facts if each.status == "problem"] == ["optuna"]
    assert not healthy(facts)


def test_exact_landmarks_need_the_package_and_its_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: "1.0")
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    found = fact("face-alignment")
    assert found.status == "missing"
    assert found.found == f"1.0, but its network {WEIGHTS_NAME} is not in {tmp_path / 'checkpoints'}"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / WEIGHTS_NAME).touch()
    assert fact("face-alignment").status == "ok"


def test_too_little_memory_and_disk_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_MEMORY_GB", 1e6)
    monkeypatch.setattr(doctor, "MIN_DISK_GB", 1e6)
    assert "needed are 1e+06 GB" in fact("memory").found
    assert (fact("memory").status, fact("disk").status) == ("problem", "problem")


def test_what_a_training_may_take_of_the_processors_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "usable_processors", lambda: 4)
    monkeypatch.setattr(doctor, "free_processors", lambda: 1)
    assert "4 usable of " in fact("cores").found
    assert fact("cores").found.endswith(", 1 free: a training takes 1 thread now (--threads)")
    monkeypatch.setattr(doctor, "free_processors", lambda: 4)
    assert "free" not in fact("cores").found


def test_a_processor_without_bf16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "convolves_bf16", lambda: False)
    assert "its convolutions know no bf16, so precision=auto is fp32 and bf16 is refused" in fact("processor").found
    monkeypatch.setattr(doctor, "convolves_bf16", lambda: True)
    assert "convolutions" not in fact("processor").found


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    class About:
        name, major, total_memory = "Some GPU", 7, 16 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: About)
    assert fact("GPU 0").found == "Some GPU, 16 GiB, no bf16: keep precision=fp32"


def test_a_cluster_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert fact("Ray cluster") == Fact(
        "Ray cluster", "problem", "nothing answers at 127.0.0.1:9", "start it, or correct or unset RAY_ADDRESS"
    )


def test_a_temporary_folder_too_long_for_ray_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", f"/{'x' * 90}")
    told = fact("Ray cluster")
    assert (told.status, told.remedy) == ("problem", "name a shorter folder in RAY_TMPDIR, for example RAY_TMPDIR=/tmp")


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(b"3.17.2")

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()


def test_the_mlflow_server_is_asked_and_its_password_not_shown(web: HTTPServer) -> None:
    assert fact("MLflow store").found == f"http://127.0.0.1:{web.server_port}/, MLflow 3.17.2"


def test_a_store_that_cannot_be_used_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    found = fact("MLflow store")
    assert found.status == "problem"
    assert found.found == "http://127.0.0.1:9 does not answer (ConnectionError)"
    assert "legan sync" in found.remedy
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'file/mlflow.db'}")
    assert "cannot be written" in fact("MLflow store").found
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db/x")
    assert fact("MLflow store").found == "postgresql://db/x (not checked)"


def test_looking_makes_nothing(home: Path) -> None:
    assert "made when first needed" in fact("MLflow store").found
    assert not home.exists()


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("missing", 0), ("problem", 1)])
def test_the_command_prints_all_and_its_code_tells(status: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = "" if status == "ok" else "get https://example.org/" + "long/" * 40 + "file [it] and so on"
    monkeypatch.setattr(doctor, "examine", lambda: [Fact("thing", status, "found this", remedy)])
    app = Typer()
    mount(app)
    answer = CliRunner().invoke(app, ["doctor"])
    assert answer.exit_code == code
    assert "found this" in answer.stdout
    assert status in answer.stdout
    assert remedy in answer.stdout  # on one line, so that addresses can be copied


def test_the_commands_module_imports_nothing_heavy() -> None:
    code = "import sys, legan.platform.commands.tracking; print({'torch', 'ray', 'mlflow', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
