"""The deployment that answers HTTP: the API, with the workers' deployments as its backend.

Models change without a restart: an ingress goes over to a new model once the workers have answered that they hold it; until
then the one before goes on, and the next is tried again and again. A request stays with the model it began with.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legan.platform.cluster import reason
from legan.platform.errors import ClusterError, LeganError
from legan.serve.api.errors import Busy
from legan.serve.api.metrics import QUALITY
from legan.serve.api.middleware import Log, json_lines
from legan.serve.api.routes import make_api
from legan.serve.api.schema import ModelInfo
from legan.serve.chosen import Chosen
from legan.serve.classes import OwnClasses
from legan.serve.deploy.ray_metrics import RayMeter
from legan.serve.deploy.served_model import Serving
from legan.serve.deploy.settings import ServeSettings
from legan.serve.engine import FoundFaces, MaskedTranslation, Masks, Picture, Pictures

Done = TypeVar("Done")
TRIES = 3
"""How often a call is made whose replica dies under it: the work has no effects, so it may be done again."""
RETRY_S = 2.0
"""After this an ingress tries again to go over to a model that the workers could not load."""
TOO_BUSY = "the workers are too busy to answer, or have died"


class RaySession:
    """One model on the deployments, for the length of a request."""

    def __init__(self, info: ModelInfo, chosen: Chosen, workers: dict[str, DeploymentHandle], meter: RayMeter):
        self._info, self._workers, self.chosen, self._meter = info, workers, chosen, meter

    @property
    def info(self) -> ModelInfo:
        """Which model this is."""
        return self._info

    async def align(self, photo: Picture) -> FoundFaces:
        """All faces of a photograph."""
        return await _call(lambda: self._workers["Aligner"].align.remote(self.chosen, photo))

    async def translate(
        self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str], *, masks: bool = False
    ) -> MaskedTranslation:
        """Aligned faces under the wanted attributes."""
        method = self._workers["Generator"].translate
        return await _call(lambda: method.remote(self.chosen, images, list(expressions), list(lightings), masks=masks))

    async def own_classes(self, images: Pictures) -> list[OwnClasses]:
        """The classes that aligned faces show already."""
        return await _call(lambda: self._workers["Generator"].own_classes.remote(self.chosen, images))

    async def quality(self, images: Pictures, hulls: Masks) -> list[float] | None:
        """Q's ratings."""
        if not self._info.has_quality:
            return None
        ratings: list[float] = await _call(lambda: self._workers["Quality"].rate.remote(self.chosen, images, hulls))
        for rating in ratings:
            self._meter.record(QUALITY, rating, model=self._info.label)
        return ratings

    async def similarity(self, a: Pictures, b: Pictures) -> list[float] | None:
        """How alike the matcher finds the persons."""
        if not self._info.has_matcher:
            return None
        if "Matcher" in self._workers:
            return await _call(lambda: self._workers["Matcher"].similarity.remote(a, b))
        return await _call(lambda: self._workers["Quality"].similarity.remote(self.chosen, a, b))  # by the model's own


class Ingress:
    """The HTTP API; the other deployments are its backend."""

    def __init__(self, settings: dict[str, Any], workers: dict[str, DeploymentHandle]):
        self._settings = ServeSettings.model_validate(settings)
        self._workers = workers
        self._session: RaySession | None = None
        self._wanted: Chosen | None = None
        self._problem: str | None = None
        self._switching: asyncio.Task[None] | None = None
        self._meter = RayMeter()
        cv2.setNumThreads(self._settings.threads)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """The application."""
        settings = self._settings
        tokens, log = read_tokens(settings.tokens_env), _access_log(settings.access_log)
        return told_who_left(make_api(self, settings.limits, tokens, log, self._meter, settings.cors_origins))

    def session(self) -> RaySession:
        """The model of the moment."""
        if self._session is None:
            raise Busy
        return self._session

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Go over to a model as soon as the workers hold it."""
        self._wanted, self._problem = Chosen(*config["model"]), None
        if self._session is None:
            self._session = await self._first(self._wanted, config["previous"])
        self._switching = asyncio.ensure_future(self._switch(self._wanted))

    async def serving(self) -> Serving:
        """The model that new requests get, the one that is wanted, and why that is not the same."""
        return Serving(None if self._session is None else self._session.chosen, self._wanted, self._problem)

    async def _first(self, wanted: Chosen, previous: Sequence[Any] | None) -> RaySession:
        """What a process that starts answers with: the model before where it comes up amid a change that does not succeed."""
        try:
            return await self._load(wanted)
        except Exception:
            if previous is None:  # Ray tells why the application does not start
                raise
        return await self._load(Chosen(*previous))

    async def _switch(self, chosen: Chosen) -> None:
        while chosen is self._wanted:
            try:
                session = await self._load(chosen)
            except Exception as error:  # noqa: BLE001  (whatever it is, the model before answers meanwhile)
                if chosen is self._wanted:
                    self._problem = TOO_BUSY if isinstance(error, Busy) else reason(error)
                await asyncio.sleep(RETRY_S)
                continue
            if chosen is self._wanted:  # and not another one since, which may have been loaded sooner
                self._session, self._problem = session, None
            return

    async def _load(self, chosen: Chosen) -> RaySession:
        matcher = "Matcher" in self._workers
        info: ModelInfo = await _call(lambda: self._workers["Generator"].describe.remote(chosen, matcher=matcher))
        for name in ("Aligner", "Quality"):
            await _call(lambda handle=self._workers[name]: handle.hold.remote(chosen))  # type: ignore[misc]
        return RaySession(info, chosen, self._workers, self._meter)


def told_who_left(app: ASGIApp) -> ASGIApp:
    """An application that hears of a client who leaves as ASGI has it, ``http.disconnect``, whatever Ray's proxy does then.

    The proxy cancels the call by which it is asked for the next piece of a body, or is gone itself.
    """

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            try:
                return await receive()
            except RayError:
                return {"type": "http.disconnect"}

        await app(scope, received, send)

    return told


def read_tokens(variable: str | None) -> list[str]:
    """The bearer tokens in an environment variable; ClusterError where it is named and empty."""
    if variable is None:
        return []
    tokens = [token.strip() for token in os.environ.get(variable, "").split(",") if token.strip()]
    if not tokens:
        raise ClusterError(f"the environment variable {variable} holds no tokens; set it, separated by commas, where Ray runs.")
    return tokens


async def _call(make: Callable[[], Awaitable[Done]]) -> Done:
    """The answer of a deployment; Busy where its queue is full, or it has no replica left."""
    for attempt in range(TRIES):
        try:
            return await make()
        except BackPressureError as error:
            raise Busy from error
        except RayTaskError as error:
            if isinstance(error.cause, LeganError):
                raise error.cause from None
            raise
        except (RayActorError, DeploymentUnavailableError):
            await asyncio.sleep(0.1 * 2**attempt)
    raise Busy(2.0)


def _access_log(path: str | None) -> Log | None:
    if path is None:
        return None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # A line is one write to a file opened for appending, so that those of several processes do not mix.
    file = Path(path).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115  (open as long as the process lives)
    return json_lines(file.write)
