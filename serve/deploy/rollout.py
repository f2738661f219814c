"""Bringing the application onto Ray Serve and changing its model there; what `serve deploy` does with a config file, from Python.

An update changes nothing but ``user_config`` of the running deployments, so their replicas stay: ingress.py says how they change
models.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException
from ray.serve.schema import ServeDeploySchema

from legan.platform.cluster import reason
from legan.platform.errors import ClusterError, ConfigError, one_line
from legan.platform.model import load_identity, read_model
from legan.serve.chosen import Chosen
from legan.serve.deploy.served_model import Serving
from legan.serve.deploy.settings import ServeSettings
from legan.serve.matcher import check_matcher

logging.getLogger("ray.serve").setLevel(logging.WARNING)  # the commands say by themselves how far they are
APPLICATION, IMPORT_PATH = "legan", "legan.serve.app:build"
WORKERS = ("Aligner", "Generator", "Quality")
POLL_S = 0.2
TROUBLE_S = 15.0
"""How long an update waits from the first time that a model could not be loaded: that may pass, as a full queue does."""


@dataclass(frozen=True)
class Running:
    """The model that an application serves, the one before the last update, and what the application was started with."""

    model: Chosen
    previous: Chosen | None
    settings: ServeSettings
    settled: bool = True
    """Whether all ingresses answer that they serve the model of the last update."""


def config_document(settings: ServeSettings, host: str, port: int) -> dict[str, Any]:
    """The application as a config file for `serve deploy`."""
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port, "request_timeout_s": settings.limits.seconds + 10},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": settings.model_dump(exclude_defaults=True) | {"model": settings.model},
            }
        ],
    }


def deploy(document: dict[str, Any], *, wait_s: float = 300.0, abandoned: Callable[[], bool] = lambda: False) -> None:
    """Start the application on the connected cluster and wait until it answers, or ``abandoned`` says not to.

    Other applications there stay. ClusterError says why it does not answer.
    """
    with _told("Ray Serve did not take the application"):
        there = _get_global_client(raise_if_no_controller_running=False)
        if there is not None:
            _expect_same_address(there, document["http_options"])
        serve.start(proxy_location=document["proxy_location"], http_options=document["http_options"])
        client = _get_global_client()
        others = [each for each in _app_configs(client) if each["name"] != APPLICATION]
        client.deploy_apps(ServeDeploySchema.model_validate(document | {"applications": [*document["applications"], *others]}))
    with _told("Ray Serve does not tell how the application is"):
        _wait(lambda: abandoned() or _is_running(), wait_s)


def running() -> Running:
    """What is served on the connected cluster; ClusterError where nothing is."""
    with _told("Ray Serve of this cluster does not tell what it serves"):
        details = _get_global_client(raise_if_no_controller_running=False)
        found = {} if details is None else details.get_serve_details()["applications"]
    application = found.get(APPLICATION)
    if application is None or "Ingress" not in application["deployments"]:
        raise ClusterError("this Ray cluster serves no LEGAN; start it with `legan serve`, or name another with --address.")
    config = application["deployments"]["Ingress"]["deployment_config"]["user_config"]
    settings = ServeSettings.model_validate((application["deployed_app_config"] or {}).get("args", {}))
    previous = None if config["previous"] is None else Chosen(*config["previous"])
    wanted = Chosen(*config["model"])
    with _told("the application does not tell which model it serves"):
        served = [each.model for each in _serving()]
    others = [each for each in served if each is not None and each != wanted]
    return Running(others[0] if others else wanted, previous, settings, bool(served) and set(served) == {wanted})


def update(now: Running, wanted: Chosen, *, wait_s: float = 300.0) -> None:
    """Serve another model, without a request lost: those that have begun end with the model they began with.

    Raises LeganError, before anything changes, for a model that cannot be used with this application, and ClusterError
    where it cannot go over to it: what was served before then goes on, and the change is tried again until another update.
    """
    _check(now, wanted)
    before = (now.previous or now.model) if wanted.same(now.model) else now.model
    models = {"models": [list(wanted), list(before)]}
    overrides = dict.fromkeys(WORKERS, models) | {"Ingress": {"model": list(wanted), "previous": list(before)}}
    with _told("Ray Serve did not take the model"):
        client = _get_global_client()
        applications = _app_configs(client)
        for application in applications:
            if application["name"] == APPLICATION:
                known = {each["name"]: each for each in application.get("deployments", [])}
                for name, config in overrides.items():
                    known[name] = {**known.get(name, {"name": name}), "user_config": config}
                application["deployments"] = list(known.values())
        client.deploy_apps(ServeDeploySchema.model_validate({"applications": applications}))
    # Not until every replica runs: one that died before may still be on its way, and comes up with the new model.
    with _told("Ray Serve does not tell whether the new model is served"):
        _wait_for(wanted, wait_s)


def stop(seconds: float) -> None:
    """End Serve and leave the cluster; requests that have begun may take ``seconds`` more."""
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is not None:
        # The controller ends amid this call, whose default, to be tried again for ever, Ray would tell people at the console.
        ended = client._controller.graceful_shutdown.options(max_task_retries=0).remote()
        with suppress(RayActorError, GetTimeoutError):
            ray.get(ended, timeout=seconds)
    serve.shutdown()
    ray.shutdown()


def _check(now: Running, wanted: Chosen) -> None:
    model = read_model(Path(wanted.folder))
    if now.settings.matcher is not None:
        try:
            check_matcher(load_identity(Path(now.settings.matcher)), model.image_size)
        except ConfigError as error:
            remedy = "start `legan serve` anew with a matcher of that size"
            raise ConfigError([each._replace(message=f"{each.message}; {remedy}") for each in error.problems]) from error


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Ray's errors as ClusterError: ``what``, and why."""
    try:
        yield
    except (RayError, RayServeException, RuntimeError, ValueError, TimeoutError) as error:
        raise ClusterError(f"{what}: {reason(error)}; `serve status` tells more.") from error


def _app_configs(client: Any) -> list[dict[str, Any]]:
    """The applications that were deployed by config file: Serve deletes those that the next one does not name."""
    return [each.model_dump(exclude_unset=True) for each in ray.get(client._controller.get_app_configs.remote()).values()]


def _expect_same_address(client: Any, wanted: dict[str, Any]) -> None:
    there = client.http_config
    if (there.host, there.port) != (wanted["host"], wanted["port"]):
        raise ClusterError(
            f"Ray Serve runs on this cluster already and listens at {there.host}, port {there.port}, for all its applications, "
            f"not at {wanted['host']}, port {wanted['port']}; give --host {there.host} --port {there.port}."
        )


def _is_running() -> bool:
    status = serve.status().applications.get(APPLICATION)
    if status is None:
        return False
    if status.status == "DEPLOY_FAILED":
        raise ClusterError(f"the application cannot run on this cluster: {one_line(RuntimeError(_reason(status)))}.")
    return bool(status.status == "RUNNING")


def _reason(status: Any) -> str:
    told = [each.message for each in status.deployments.values() if each.message]
    return told[0] if told else str(status.message)


def _serving() -> list[Serving]:
    """What the ingresses answer; empty where one does not. Which one answers is Ray's choice, so it is asked often."""
    handle = serve.get_app_handle(APPLICATION)
    ingresses = serve.status().applications[APPLICATION].deployments["Ingress"].replica_states.get("RUNNING", 1)
    rounds = 1 if ingresses == 1 else 4 * ingresses
    try:
        return [handle.serving.remote().result(timeout_s=30) for _ in range(rounds)]
    except (RayActorError, DeploymentUnavailableError, TimeoutError):  # an ingress is away, or starts anew
        return []


def _wait_for(wanted: Chosen, seconds: float) -> None:
    begun = time.monotonic()
    told_at: float | None = None
    while True:
        answers, now = _serving(), time.monotonic()
        if answers and all(each.model == wanted for each in answers):
            return
        late = now - begun > seconds
        problem = next((each.problem for each in answers if each.problem and each.wanted == wanted), None)
        if problem:
            told_at = told_at or now
            if late or now - told_at >= TROUBLE_S:
                raise ClusterError(
                    f"{wanted.source} is not served yet: {problem}; until it can be, the model before goes on, "
                    "and `legan serve update --rollback` stays with that."
                )
        if late:
            raise _not_ready(seconds)
        time.sleep(POLL_S)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise _not_ready(seconds)
        time.sleep(POLL_S)


def _not_ready(seconds: float) -> ClusterError:
    return ClusterError(
        f"the application is not ready after {seconds:g} s; `serve status` tells what it waits for: often CPUs or GPUs."
    )
