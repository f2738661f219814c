"""What ``legan serve`` and ``legan serve update`` do: check everything, start or change the application, say where it is."""

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from legan.platform.cluster import answers, connect, metrics_addresses, require
from legan.platform.config import check_settings
from legan.platform.errors import ClusterError, ConfigError, LeganError, Problem, Problems
from legan.platform.files import unwritable, write_whole
from legan.platform.model import READY_MADE, identity_folder, load_identity, network_folder, read_model
from legan.platform.pretrained.box import in_box
from legan.platform.tracking.places import default_home
from legan.serve.api.session import Limits
from legan.serve.chosen import Chosen, choose_model
from legan.serve.deploy import rollout
from legan.serve.deploy.ingress import read_tokens
from legan.serve.deploy.settings import DeploymentSettings, ServeSettings
from legan.serve.matcher import check_matcher
from legan.serve.study.app import bind

TOKENS = "LEGAN_SERVE_TOKENS"
CHAMPION = "champion"
LOCAL = ("127.0.0.1", "localhost", "::1")
STOP_S = 30.0
"""For ending Ray Serve's processes, beyond the requests that have begun; with HAProxy it waits half a minute by itself."""
OPTIONS = {"min_replicas": "replicas", "num_gpus": "gpus", "tokens_env": "tokens-from-env", "cors_origins": "cors-origin"}
"""Options that are called otherwise than what they set."""


@dataclass(frozen=True)
class ServeRequest:
    """The command's arguments as they were typed."""

    model: str
    matcher: Path | None
    host: str
    port: int
    replicas: int
    gpus: float
    threads: int
    tokens_from_env: str | None
    address: str | None
    config_out: Path | None
    metrics_port: int | None = None
    seconds: float = 30.0
    cors_origins: tuple[str, ...] = ()


def run(request: ServeRequest) -> None:
    """Serve until Ctrl-C, or write a config file; LeganError, before anything starts, for what cannot be used."""
    settings = settings_of(request)
    elsewhere = request.address or os.environ.get("RAY_ADDRESS")
    if request.metrics_port is not None and (elsewhere or request.config_out):
        raise ConfigError([Problem("--metrics-port", "a cluster has its own (ray start --metrics-export-port); leave it out")])

    if request.config_out is not None:
        write_config(request.config_out, rollout.config_document(settings, request.host, request.port))
        for path in _not_here(settings):
            print(f"{path} is not on this machine; it has to be there on every node of the cluster.")
        return

    if not elsewhere:
        _expect_no_other()
    chosen = check(settings, request)
    needed = sum(each.min_replicas * each.num_cpus for each in settings.deployments().values())
    # Ray's CPUs on a machine of one's own are a count of processes: more of them than processors only makes each slower.
    cpus = None if elsewhere else max(os.cpu_count() or 1, round(needed + 1))
    connect(request.address, cpus=cpus, metrics_port=request.metrics_port)
    require(needed, sum(each.min_replicas * each.num_gpus for each in settings.deployments().values()))

    url = f"http://{f'[{request.host}]' if ':' in request.host else request.host}:{request.port}/"
    print(f"{chosen.name} {chosen.version or ''}({chosen.folder}) is starting …", flush=True)
    if elsewhere:
        rollout.deploy(rollout.config_document(settings, request.host, request.port))
        print(f"{url} on every node with a replica; it stays. Change its model: legan serve update", flush=True)
        return
    _until_stopped(settings, request, url)


def settings_of(request: ServeRequest) -> ServeSettings:
    """The application's settings from the command's arguments; paths become absolute, because Ray's processes work elsewhere.

    ConfigError with every option that is out of range, and for a model or a matcher that is not there.
    """
    absent, matcher, elsewhere = Problems(), request.matcher, request.config_out is not None
    model = absent.from_(lambda: _whole(request.model, elsewhere), "--model")
    compared = None if matcher is None else absent.from_(lambda: _absolute(matcher, identity_folder, elsewhere), "--matcher")
    many, problems = check_settings(DeploymentSettings, {"min_replicas": request.replicas, "num_gpus": request.gpus})
    limits, more = check_settings(Limits, {"seconds": request.seconds})
    values = {
        "model": model or request.model,
        "matcher": compared,
        "tokens_env": request.tokens_from_env or (TOKENS if os.environ.get(TOKENS) else None),
        "cors_origins": request.cors_origins,
        "access_log": str(default_home() / "serve" / "access.jsonl"),
        "threads": request.threads,
        "limits": limits or Limits(),
        "generator": many or DeploymentSettings(),
        "quality": many or DeploymentSettings(),
    }
    settings, others = check_settings(ServeSettings, values)
    outside = [each._replace(place=f"--{OPTIONS.get(each.place, each.place)}") for each in (*problems, *more, *others)]
    if settings is None or absent or outside:
        raise ConfigError([*absent, *outside])
    return settings


def check(settings: ServeSettings, request: ServeRequest) -> Chosen:
    """The model, where it, the matcher, the tokens and the port can be used; LeganError with every problem."""
    problems = Problems()
    chosen = problems.from_(lambda: choose_model(settings.model), "--model")
    model = None if chosen is None else problems.from_(partial(read_model, Path(chosen.folder)), "--model")
    path = settings.matcher
    matcher = None if path is None else problems.from_(lambda: load_identity(Path(path)), "--matcher")
    if model is not None and matcher is not None:
        problems.from_(partial(check_matcher, matcher, model.image_size))

    problems.from_(lambda: read_tokens(settings.tokens_env))
    problems.from_(lambda: _expect_free(request.host, request.port))
    if request.metrics_port == request.port:
        problems.add(f"--metrics-port {request.port}", "it is the port of the API; take another")
    elif request.metrics_port is not None:
        every_address = "0.0.0.0"  # noqa: S104  (where Ray will listen; closed at once)
        problems.from_(partial(_expect_free, every_address, request.metrics_port))

    if chosen is None or problems:
        raise LeganError(str(problems[0])) if len(problems) == 1 else ConfigError(problems)
    return chosen


def _not_here(settings: ServeSettings) -> list[str]:
    """The folders that are named and are not here; elsewhere they may be."""
    named = [each for each in (settings.model, settings.matcher) if each and not each.startswith(("models:/", "runs:/"))]
    return [each for each in named if not Path(each).is_dir()]


def _expect_free(host: str, port: int) -> None:
    bind(host, port).close()


def write_config(path: Path, document: dict[str, object]) -> None:
    """Write the application as YAML for `serve deploy`."""
    problem = f"{path} is a folder; name a file in it" if path.is_dir() else unwritable(path.parent)
    if problem:
        raise ConfigError([Problem(f"--config-out {path}", problem)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, yaml.safe_dump(document, sort_keys=False))
    print(f"written: {path}; start it on a cluster: serve deploy {path}")


def change(model: str | None, version: int | None, address: str | None, *, rollback: bool) -> None:
    """Roll out another model; LeganError, before anything changes, where there is no server or no such model."""
    if sum((model is not None, version is not None, rollback)) > 1:
        raise ConfigError([Problem("", "--model, --version and --rollback exclude each other; give one of them")])
    connect(address or os.environ.get("RAY_ADDRESS") or _local_address())
    now = rollout.running()
    wanted = _wanted(now, model, version, rollback=rollback)
    same = wanted.same(now.model)
    if same and now.settled:
        print(f"{_named(now.model)} is served already.")
        return
    rollout.update(now, wanted)
    if same:
        print(f"{_named(wanted)} is served now.")
        return
    print(f"{_named(wanted)} is served now, before it was {_named(now.model)}. Back: legan serve update --rollback")


def _wanted(now: rollout.Running, model: str | None, version: int | None, *, rollback: bool) -> Chosen:
    if rollback:
        if now.previous is None:
            raise LeganError(f"{_named(now.model)} is the first model of this server, so there is none to go back to.")
        return now.previous
    registered = now.model.name if now.model.version else "legan"  # a folder is no version of a registered model
    if version is not None:
        return choose_model(f"models:/{registered}/{version}")
    return choose_model(_whole(model or f"models:/{registered}@{CHAMPION}"))


def _until_stopped(settings: ServeSettings, request: ServeRequest, url: str) -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    record, address = _record(), connect().address
    try:
        rollout.deploy(rollout.config_document(settings, request.host, request.port), abandoned=stopped.is_set)
        if not stopped.is_set():
            record.parent.mkdir(parents=True, exist_ok=True)
            write_whole(record, json.dumps({"address": address, "url": url}))
            _say_ready(settings, request, url)
        stopped.wait()
        print("stopping: requests that have begun are finished …", flush=True)
    finally:
        if _recorded().get("address") == address:
            record.unlink(missing_ok=True)
        rollout.stop(settings.limits.seconds + STOP_S)


def _say_ready(settings: ServeSettings, request: ServeRequest, url: str) -> None:
    print(f"serving at {url} (API: {url}docs), measures for Prometheus at {metrics_addresses()[0]}. Ctrl-C ends it.", flush=True)
    if request.host not in LOCAL:
        guarded = "a token is asked for" if settings.tokens_env else "no token is asked for (--tokens-from-env)"
        print(f"Others can reach this: {guarded}, and nothing is encrypted unless a proxy in front adds HTTPS.", flush=True)


def _record() -> Path:
    return default_home() / "serve" / "running.json"


def _recorded() -> dict[str, str]:
    """Cluster and URL of the server of this LEGAN_HOME; empty where none is recorded."""
    with suppress(OSError, ValueError):
        found = json.loads(_record().read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
    return {}


def _expect_no_other() -> None:
    there = _recorded()
    # Both, because another program may have the port of one that was killed.
    if answers(there.get("address", "")) and answers(there.get("url", "")):
        raise ClusterError(
            f"a server of `legan serve` runs at {there['url']} already, with this LEGAN_HOME, {default_home()}; end it, "
            "change its model with `legan serve update`, or start this one with another LEGAN_HOME."
        )


def _local_address() -> str:
    address = _recorded().get("address")
    if address is None:
        raise ClusterError("no server of `legan serve` runs here; start one, or name its cluster with --address.")
    if not answers(address):
        raise ClusterError("the server of `legan serve` that ran here is gone; start it again.")
    return address


def _whole(model: str, elsewhere: bool = False) -> str:
    """An MLflow URI and a model of the box by its name, which holds on every machine; of others the whole path."""
    if model.startswith(("models:/", "runs:/")):
        return model
    return in_box(model) or _absolute(Path(model), network_folder, elsewhere)


def _absolute(path: Path, find: Callable[[Path], Path], elsewhere: bool) -> str:
    """The whole path of what is named, or the name where it is not there; what goes ``elsewhere`` may be there alone."""
    here = path.expanduser().exists() or (default_home() / path).exists() or path in READY_MADE
    if not here:
        return str(path.expanduser().absolute() if elsewhere else path)
    return str(find(path).absolute())


def _named(chosen: Chosen) -> str:
    return f"{chosen.name} version {chosen.version}" if chosen.version else chosen.folder
