import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from ray.exceptions import ActorDiedError, GetTimeoutError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, RayServeException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send
from tests.processes import MARK, free_port, outliving, without_rays

from legan.platform.errors import ClusterError, ConfigError, LeganError
from legan.serve.api.schema import ModelInfo
from legan.serve.chosen import Chosen
from legan.serve.deploy import rollout, server
from legan.serve.deploy.rollout import Running
from legan.serve.deploy.served_model import Serving
from legan.serve.deploy.server import ServeRequest, check, settings_of
from legan.serve.deploy.settings import DeploymentSettings, ServeSettings
from legan.serve.deploy.workers import ModelCache
from legan.serve.study.app import bind

HERE = {
    "host": "127.0.0.1",
    "replicas": 1,
    "gpus": 0.0,
    "threads": 1,
    "tokens_from_env": None,
    "address": None,
    "config_out": None,
}


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEGAN_SERVE_TOKENS", raising=False)


def test_everything_is_checked_before_it_starts(home: Path, model_folder: Path, plain_folder: Path) -> None:
    listener = bind("127.0.0.1", 0)
    request = ServeRequest(
        str(model_folder), plain_folder, **HERE | {"port": listener.getsockname()[1], "tokens_from_env": "NIX"}
    )
    with pytest.raises(ConfigError) as caught:
        check(settings_of(request), request)
    listener.close()
    for part in (
        "--matcher: .* is a LEGAN model; give a run of `legan train identity`",
        "NIX holds no tokens",
        "cannot be listened at",
    ):
        assert re.search(part, str(caught.value))
    home.mkdir()
    wrong = ServeRequest(str(home), None, **HERE | {"port": free_port()})
    with pytest.raises(LeganError, match="is no model folder"):
        check(settings_of(wrong), wrong)


def test_the_port_of_the_measures_is_checked_too(home: Path, model_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    same = ServeRequest(str(model_folder), None, **HERE | {"port": port, "metrics_port": port})
    with pytest.raises(LeganError, match=f"--metrics-port {port}: it is the port of the API"):
        check(settings_of(same), same)
    taken = bind("127.0.0.1", 0)
    busy = ServeRequest(str(model_folder), None, **HERE | {"port": port, "metrics_port": taken.getsockname()[1]})
    with pytest.raises(LeganError, match="cannot be listened at"):
        check(settings_of(busy), busy)
    taken.close()
    for elsewhere in ({"address": "127.0.0.1:1"}, {"config_out": tmp_path / "serve.yaml"}):
        with pytest.raises(ConfigError, match="a cluster has its own"):
            server.run(ServeRequest(str(model_folder), None, **HERE | {"port": port, "metrics_port": 8080} | elsewhere))
    assert not (tmp_path / "serve.yaml").exists()


def test_what_can_be_served_passes(home: Path, model_folder: Path, matcher_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGAN_SERVE_TOKENS", "one")
    request = ServeRequest(str(model_folder), matcher_folder, **HERE | {"port": free_port(), "replicas": 2, "gpus": 0.5})
    settings = settings_of(request)
    assert check(settings, request).folder == str(model_folder)
    assert settings.tokens_env == "LEGAN_SERVE_TOKENS"
    assert settings.generator == settings.quality == DeploymentSettings(min_replicas=2, num_gpus=0.5)
    assert settings.ingress == DeploymentSettings()
    assert Path(settings.matcher or "").is_absolute()


def test_the_config_file_builds_the_same_application(home: Path, model_folder: Path, tmp_path: Path) -> None:
    from legan.serve.app import build

    out = tmp_path / "new" / "serve.yaml"
    command = [
        sys.executable,
        "-m",
        "legan.cli",
        "serve",
        "--model",
        str(model_folder),
        "--replicas",
        "3",
        "--config-out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert f"serve deploy {out}" in done.stdout
    document = yaml.safe_load(out.read_text())
    (application,) = document["applications"]
    assert application["import_path"] == "legan.serve.app:build"
    assert document["http_options"]["host"] == "127.0.0.1"
    settings = ServeSettings.model_validate(application["args"])
    request = ServeRequest(str(model_folder), None, **HERE | {"port": 8000, "replicas": 3})
    assert settings == settings_of(request)
    bound = build(settings)._bound_deployment
    assert bound.name == "Ingress"
    assert bound._deployment_config.graceful_shutdown_timeout_s == settings.limits.seconds + 5
    generator = bound.init_args[1]["Generator"]._bound_deployment
    assert generator.num_replicas == 3
    assert generator.user_config == {"models": [[str(model_folder), str(model_folder), "tiny", None, None]]}


def test_a_time_limit_and_folders_of_elsewhere_go_into_the_file(home: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "serve.yaml"
    given = {"port": 8000, "config_out": out, "seconds": 90.0, "cors_origins": ("https://App.example.org",)}
    server.run(ServeRequest("nope", None, **HERE | given))
    document = yaml.safe_load(out.read_text())
    assert document["applications"][0]["args"]["limits"] == {"seconds": 90.0}
    assert document["applications"][0]["args"]["cors_origins"] == ["https://app.example.org"]
    assert document["http_options"]["request_timeout_s"] == 100
    assert f"{Path('nope').absolute()} is not on this machine; it has to be there on every node" in capsys.readouterr().out


@pytest.mark.parametrize("out", [".", "folder"])
def test_a_folder_is_no_place_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"--config-out {out}: .* is a folder; name a file in it"):
        server.write_config(Path(out), {})


def test_settings_are_checked(home: Path) -> None:
    given = {"port": 1, "gpus": 20.0, "threads": 999, "replicas": 1001, "seconds": 0.0, "cors_origins": ("here",)}
    wrong = ServeRequest("m", None, **HERE | given)
    with pytest.raises(ConfigError) as caught:
        settings_of(wrong)
    assert [problem.place for problem in caught.value.problems] == [
        "--replicas", "--gpus", "--seconds", "--cors-origin", "--threads",
    ]  # fmt: skip


def test_the_next_model_is_the_one_that_is_named(model_folder: Path, plain_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = server.choose_model(str(model_folder)), server.choose_model(str(plain_folder))
    now = Running(first, second, ServeSettings(model=str(model_folder)))
    assert server._wanted(now, None, None, rollback=True) == second
    assert server._wanted(now, str(plain_folder), None, rollback=False) == second
    asked: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(server, "choose_model", lambda source: asked.append(source))
        server._wanted(now, None, 3, rollback=False)
        server._wanted(now, None, None, rollback=False)
    assert asked == ["models:/legan/3", "models:/legan@champion"]  # a folder has no versions
    with pytest.raises(LeganError, match="none to go back to"):
        server._wanted(Running(first, None, now.settings), None, None, rollback=True)
    with pytest.raises(ConfigError, match="exclude each other"):
        server.change("x", 3, None, rollback=False)


def test_what_is_served_already_is_no_update_however_it_is_named(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    served = Chosen("models:/m@champion", "/b", "m", "2")
    monkeypatch.setattr(server, "connect", lambda _: None)
    monkeypatch.setattr(server.rollout, "running", lambda: Running(served, None, ServeSettings()))
    monkeypatch.setattr(server, "choose_model", lambda source: Chosen(source, "/b", "m", source[-1]))
    updates: list[Chosen] = []
    monkeypatch.setattr(server.rollout, "update", lambda _, wanted: updates.append(wanted))
    server.change(None, 2, "x:1", rollback=False)
    assert capsys.readouterr().out == "m version 2 is served already.\n"
    server.change(None, 3, "x:1", rollback=False)
    assert [each.version for each in updates] == ["3"]
    capsys.readouterr()
    monkeypatch.setattr(server.rollout, "running", lambda: Running(served, served, ServeSettings(), settled=False))
    server.change(None, None, "x:1", rollback=True)  # of an update that no worker could load
    assert updates[-1] == served
    assert capsys.readouterr().out == "m version 2 is served now.\n"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RayServeException("the controller is gone"), "the controller is gone"),
        (ActorDiedError(), "The actor died"),
        (GetTimeoutError("no answer in time"), "no answer in time"),
        (RayTaskError("f", "Traceback, many lines", ValueError("prefix / is taken")), "prefix / is taken"),
    ],
)
def test_what_goes_wrong_in_serve_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path, error: Exception, says: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(rollout, "_get_global_client", fail)
    chosen = server.choose_model(str(model_folder))
    for ask in (rollout.running, lambda: rollout.update(Running(chosen, None, ServeSettings()), chosen)):
        with pytest.raises(ClusterError, match=says) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "Traceback" not in str(caught.value)


def test_the_last_model_that_was_wanted_is_served_whichever_is_loaded_first() -> None:
    from legan.serve.deploy.ingress import Ingress

    first, second = (Chosen("models:/m@champion", f"/{version}", "m", version) for version in ("1", "2"))
    about = dict.fromkeys(ModelInfo.model_fields) | {"alignment": {}, "expressions": [], "lightings": [], "image_size": 32}
    info = ModelInfo.model_construct(**about)

    async def go_back_while_the_next_is_loaded() -> Chosen | None:
        loaded = asyncio.Event()

        async def ask(chosen: Chosen, **_: object) -> ModelInfo:
            if chosen == second:
                await loaded.wait()
            return info

        worker = SimpleNamespace(describe=SimpleNamespace(remote=ask), hold=SimpleNamespace(remote=ask))
        ingress = Ingress(ServeSettings().model_dump(), dict.fromkeys(("Aligner", "Generator", "Quality"), worker))
        await ingress.reconfigure({"model": list(first), "previous": None})
        await ingress.reconfigure({"model": list(second), "previous": list(first)})
        await asyncio.sleep(0)
        late = ingress._switching
        await ingress.reconfigure({"model": list(first), "previous": list(second)})
        await ingress._switching
        loaded.set()
        await late
        return (await ingress.serving()).model

    assert asyncio.run(go_back_while_the_next_is_loaded()) == first


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (LeganError("/2 is no model folder."), "/2 is no model folder"),
        (BackPressureError(1, 1), "the workers are too busy to answer, or have died"),
        (RuntimeError("out of memory"), "out of memory"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_tried_again_while_the_other_answers(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    from legan.serve.deploy import ingress as app

    monkeypatch.setattr(app, "RETRY_S", 0.01)
    first, second = (Chosen(f"models:/m/{version}", f"/{version}", "m", version) for version in ("1", "2"))
    troubled = [second]

    async def ask(chosen: Chosen, **_: object) -> ModelInfo:
        if chosen in troubled:
            raise error
        return ModelInfo.model_construct()

    async def switch(*, starts_amid: bool) -> list[Serving]:
        worker = SimpleNamespace(describe=SimpleNamespace(remote=ask), hold=SimpleNamespace(remote=ask))
        ingress = app.Ingress(ServeSettings().model_dump(), dict.fromkeys(("Aligner", "Generator", "Quality"), worker))
        if not starts_amid:
            await ingress.reconfigure({"model": list(first), "previous": None})
        await ingress.reconfigure({"model": list(second), "previous": list(first)})
        await asyncio.sleep(0.05)
        told = [await ingress.serving()]
        troubled.clear()
        await ingress._switching
        return [*told, await ingress.serving()]

    for starts_amid in (False, True):
        troubled[:] = [second]
        told = asyncio.run(switch(starts_amid=starts_amid))
        assert told == [Serving(first, second, says), Serving(second, second, None)]


@pytest.mark.parametrize("error", [TaskCancelledError(), ActorDiedError()])
def test_a_proxy_that_tells_no_more_of_a_body_means_that_the_client_left(error: Exception) -> None:
    from legan.serve.deploy.ingress import told_who_left

    async def receive() -> Message:
        raise error

    async def read(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ClientDisconnect):
            await Request(scope, receive).body()

    asyncio.run(told_who_left(read)({"type": "http"}, receive, None))


def test_a_worker_that_starts_amid_a_change_holds_what_can_be_loaded() -> None:
    def load(key: str) -> str:
        if key == "gone":
            raise LeganError("no such model")
        return key.upper()

    async def keep(*keys: str) -> dict[str, str]:
        models = ModelCache(load)
        await models.get("old")
        await models.keep(keys)
        return models._held

    assert asyncio.run(keep("gone", "now")) == {"now": "NOW"}
    with pytest.raises(LeganError, match="no such model"):
        asyncio.run(keep("gone"))


def test_an_update_needs_a_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match="no server of `legan serve` runs here"):
        server.change(None, None, None, rollback=False)
    record = home / "serve" / "running.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"address": f"127.0.0.1:{free_port()}"}))
    with pytest.raises(ClusterError, match="is gone; start it again"):
        server.change(None, None, None, rollback=False)


def test_one_server_for_each_home(home: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    record = home / "serve" / "running.json"
    record.parent.mkdir(parents=True)
    cluster, api = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{api.getsockname()[1]}/"
    record.write_text(json.dumps({"address": f"127.0.0.1:{cluster.getsockname()[1]}", "url": url}))
    cluster.listen()
    api.listen()
    request = ServeRequest(str(model_folder), None, **HERE | {"port": free_port()})
    with pytest.raises(ClusterError, match=f"runs at {url} already, with this LEGAN_HOME"):
        server.run(request)
    api.close()  # the one that is recorded was killed, and its cluster's port is another program's
    with pytest.raises(LeganError, match=r"--model: there is nothing at .*nothing; runs under"):
        server.run(ServeRequest(str(home / "nothing"), None, **HERE | {"port": free_port()}))
    cluster.close()


@pytest.mark.parametrize(("recorded", "stays"), [("127.0.0.1:1", False), ("127.0.0.1:2", True)])
def test_a_server_that_fails_removes_no_record_but_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch, recorded: str, stays: bool
) -> None:
    record = home / "serve" / "running.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"address": recorded, "url": "http://127.0.0.1:1/"}))
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(server, "connect", lambda: SimpleNamespace(address="127.0.0.1:1"))
    monkeypatch.setattr(server.rollout, "stop", lambda _: None)

    def fail(*_: object, **__: object) -> None:
        raise ClusterError("no room")

    monkeypatch.setattr(server.rollout, "deploy", fail)
    with pytest.raises(ClusterError, match="no room"):
        server._until_stopped(ServeSettings(), ServeRequest("m", None, **HERE | {"port": 1}), "http://127.0.0.1:1/")
    assert record.exists() == stays


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ctrl_c_ends_it_with_its_own_line_and_leaves_nothing(home: Path, model_folder: Path) -> None:
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "legan.cli", "serve", "--model", str(model_folder), "--port", str(free_port())]
    process = subprocess.Popen(
        command, env=without_rays() | {MARK: mark, "RAY_USAGE_STATS_ENABLED": "0"}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        before: list[str] = []
        while not "".join(before[-1:]).startswith("serving at"):
            before.append(process.stdout.readline())
            assert before[-1], before  # it has ended
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said, _ = process.communicate(timeout=120)
        left = outliving(mark)
    assert (said, process.returncode, left) == ("stopping: requests that have begun are finished …\n", 0, [])


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    environment = os.environ | {"LEGAN_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "legan.cli", "serve", "--model", str(tmp_path / "nothing")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("legan: ")
    assert "Traceback" not in done.stderr
