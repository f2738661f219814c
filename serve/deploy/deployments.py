"""The HTTP API on Ray Serve: Ingress (FastAPI) → Aligner → Generator → Quality, Matcher; each with its own replicas.

Generator and Quality collect what many requests want into one batch. Images travel as uint8 arrays.

Models change without a restart: every call says which model it wants, workers hold the present model and the previous one
(``user_config``), and an ingress goes over to a new model once the workers have answered that they hold it; until
then the one before goes on, and the next is tried again and again. A request stays with the model it began with.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import cv2
import numpy as np
import torch
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve import Application
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from legan.platform.cluster import reason
from legan.platform.device import ONE_ARENA, keep_freed_memory
from legan.platform.errors import ClusterError, LeganError
from legan.platform.model import read_model
from legan.serve.api.metrics import BATCH_IMAGES, BATCH_SECONDS, HELD, QUALITY
from legan.serve.api.middleware import Log, json_lines
from legan.serve.api.model_info import Chosen, Serving, choose_model, load_chosen, model_info
from legan.serve.api.routes import make_api
from legan.serve.api.session import Busy, ModelInfo
from legan.serve.deploy.model_cache import Shelf
from legan.serve.deploy.ray_metrics import RayMeter
from legan.serve.deploy.settings import Replicas, ServeSettings
from legan.serve.engine import Engine, FoundFace, MaskedTranslation, Masks, Picture, Pictures
from legan.serve.matcher import Matcher as FaceMatcher
from legan.serve.matcher import load_matcher

Done = TypeVar("Done")
Wanted = dict[str, Any]
TRIES = 3
"""How often a call is made whose replica dies under it: the work has no effects, so it may be done again."""
RETRY_S = 2.0
"""After this an ingress tries again to go over to a model that the workers could not load."""
TOO_BUSY = "the workers are too busy to answer, or have died"
INGRESS_ONGOING = 10_000
"""More than ever come at a time: it is the application that refuses, with a problem document, and not Ray's proxy."""


class Measured:
    """What all deployments with networks tell of themselves."""

    network: ClassVar[str]
    """What it is called in the measures."""

    def __init__(self, threads: int):
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        self._meter, self._held = RayMeter(), 0

    @contextmanager
    def _holding(self) -> Iterator[None]:
        self._hold(+1)
        try:
            yield
        finally:
            self._hold(-1)

    def _hold(self, by: int) -> None:
        self._held += by
        self._meter.record(HELD, self._held, network=self.network)

    @contextmanager
    def _measured(self, images: int) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._meter.record(BATCH_IMAGES, images, network=self.network)
        self._meter.record(BATCH_SECONDS, time.perf_counter() - begun, network=self.network)


class Worker(Measured):
    """What all deployments with the model's networks share."""

    def __init__(self, threads: int):
        super().__init__(threads)
        self._shelf: Shelf[Chosen, Engine] = Shelf(load_chosen)
        self._preparing: asyncio.Task[None] | None = None

    async def reconfigure(self, config: Wanted) -> None:
        """Hold these models; a replica that serves already goes on while it loads them."""
        loading = asyncio.ensure_future(self._shelf.keep([Chosen(*each) for each in config["models"]]))
        if self._preparing is None:
            await loading
        self._preparing = loading

    async def hold(self, chosen: Chosen) -> None:
        """Answer when a model is loaded."""
        await self._shelf.get(chosen)


class Aligner(Worker):
    """Finds the faces of a photograph."""

    network = "detector"

    async def align(self, chosen: Chosen, photo: Picture) -> list[FoundFace]:
        """All faces, the largest first."""
        with self._holding():
            engine = await self._shelf.get(chosen)
            with self._measured(1):
                return await asyncio.to_thread(engine.find_faces, photo)


class Generator(Worker):
    """Translates aligned faces, those of many calls at once."""

    network = "generator"

    def __init__(self, threads: int, batch_size: int, batch_wait_s: float):
        super().__init__(threads)
        keep_freed_memory()
        self._sizes: deque[int] = deque(maxlen=256)
        self._batch.set_max_batch_size(batch_size)
        self._batch.set_batch_wait_timeout_s(batch_wait_s)

    async def recent_batches(self) -> list[int]:
        """How many images each of the last batches held."""
        return list(self._sizes)

    async def describe(self, chosen: Chosen, *, matcher: bool) -> ModelInfo:
        """What is known about a model."""
        return model_info(await self._shelf.get(chosen), chosen, matcher=matcher)

    async def translate(
        self, chosen: Chosen, images: Pictures, expressions: Sequence[str], lightings: Sequence[str], *, masks: bool
    ) -> MaskedTranslation:
        """Aligned faces under the wanted attributes."""
        with self._holding():
            made: MaskedTranslation = await self._batch((chosen, images, expressions, lightings, masks))
            return made

    @serve.batch(batch_size_fn=lambda calls: sum(len(call[1]) for call in calls))  # type: ignore[untyped-decorator]
    async def _batch(self, calls: list[tuple[Chosen, Pictures, Sequence[str], Sequence[str], bool]]) -> list[MaskedTranslation]:
        made: dict[int, MaskedTranslation] = {}
        self._sizes.append(sum(len(call[1]) for call in calls))
        for (chosen, masks), places in _grouped(calls, lambda call: (call[0], call[4])).items():
            engine = await self._shelf.get(chosen)
            images = np.concatenate([calls[place][1] for place in places])
            expressions = [name for place in places for name in calls[place][2]]
            lightings = [name for place in places for name in calls[place][3]]
            with self._measured(len(images)):
                if masks:
                    together = await asyncio.to_thread(engine.translate_with_masks, images, expressions, lightings)
                else:
                    together = MaskedTranslation(
                        await asyncio.to_thread(engine.translate, images, expressions, lightings), None, None
                    )
            ends = np.cumsum([len(calls[place][1]) for place in places])
            for place, end in zip(places, ends, strict=True):
                part = slice(end - len(calls[place][1]), end)
                made[place] = MaskedTranslation(*(None if each is None else each[part] for each in together))  # type: ignore[arg-type]
        return [made[place] for place in range(len(calls))]


class Quality(Worker):
    """Rates aligned faces, those of many calls at once."""

    network = "quality"

    def __init__(self, threads: int, batch_size: int, batch_wait_s: float):
        super().__init__(threads)
        keep_freed_memory()
        self._batch.set_max_batch_size(batch_size)
        self._batch.set_batch_wait_timeout_s(batch_wait_s)

    async def rate(self, chosen: Chosen, images: Pictures, hulls: Masks) -> list[float]:
        """Q's ratings."""
        with self._holding():
            ratings: list[float] = await self._batch((chosen, images, hulls))
            return ratings

    @serve.batch(batch_size_fn=lambda calls: sum(len(call[1]) for call in calls))  # type: ignore[untyped-decorator]
    async def _batch(self, calls: list[tuple[Chosen, Pictures, Masks]]) -> list[list[float]]:
        rated: dict[int, list[float]] = {}
        for chosen, places in _grouped(calls, lambda call: call[0]).items():
            engine = await self._shelf.get(chosen)
            images, hulls = (np.concatenate([calls[place][kind] for place in places]) for kind in (1, 2))
            with self._measured(len(images)):
                found = (await asyncio.to_thread(engine.quality, images, hulls)).tolist()
            ratings = iter(found)
            for place in places:
                rated[place] = [next(ratings) for _ in calls[place][1]]
        return [rated[place] for place in range(len(calls))]


class Matcher(Measured):
    """Says whether two faces are the same person's."""

    network = "matcher"

    def __init__(self, threads: int, source: str, image_size: int):
        super().__init__(threads)
        keep_freed_memory()
        self._matcher: FaceMatcher = load_matcher(source, image_size)

    async def similarity(self, a: Pictures, b: Pictures) -> list[float]:
        """The match score of each pair."""
        with self._holding(), self._measured(len(a)):
            return [float(each) for each in await asyncio.to_thread(self._matcher.similarity, a, b)]


class RaySession:
    """One model on the deployments, for the length of a request."""

    def __init__(self, info: ModelInfo, chosen: Chosen, workers: dict[str, DeploymentHandle], meter: RayMeter):
        self._info, self._workers, self.chosen, self._meter = info, workers, chosen, meter

    @property
    def info(self) -> ModelInfo:
        """Which model this is."""
        return self._info

    async def align(self, photo: Picture) -> list[FoundFace]:
        """All faces of a photograph."""
        return await _call(lambda: self._workers["Aligner"].align.remote(self.chosen, photo))

    async def translate(
        self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str], *, masks: bool = False
    ) -> MaskedTranslation:
        """Aligned faces under the wanted attributes."""
        method = self._workers["Generator"].translate
        return await _call(lambda: method.remote(self.chosen, images, list(expressions), list(lightings), masks=masks))

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
        return await _call(lambda: self._workers["Matcher"].similarity.remote(a, b))


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
        return make_api(self, settings.limits, read_tokens(settings.tokens_env), _access_log(settings.access_log), self._meter)

    def session(self) -> RaySession:
        """The model of the moment."""
        if self._session is None:
            raise Busy
        return self._session

    async def reconfigure(self, config: Wanted) -> None:
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


def build(args: ServeSettings) -> Application:
    """The application as `legan serve` runs it and as a config file names it: ``import_path: legan.serve.app:build``.

    Raises LeganError for a model or matcher that cannot be used.
    """
    chosen = choose_model(args.model)
    models, waiting = {"models": [list(chosen)]}, args.batch_wait_ms / 1000
    parts = args.deployments()
    options = partial(_options, args.limits.seconds)
    workers = {
        "Aligner": serve.deployment(Aligner).options(**options(parts["Aligner"]), user_config=models).bind(args.threads),
        "Generator": serve.deployment(Generator)
        .options(**options(parts["Generator"], ONE_ARENA), user_config=models)
        .bind(args.threads, args.batch_size, waiting),
        "Quality": serve.deployment(Quality)
        .options(**options(parts["Quality"], ONE_ARENA), user_config=models)
        .bind(args.threads, args.batch_size, waiting),
    }
    if args.matcher is not None:
        size = read_model(Path(chosen.folder)).image_size
        workers["Matcher"] = (
            serve.deployment(Matcher).options(**options(parts["Matcher"], ONE_ARENA)).bind(args.threads, args.matcher, size)
        )
    shape = options(args.ingress) | {"max_ongoing_requests": INGRESS_ONGOING, "max_queued_requests": -1}
    return (
        serve.deployment(serve.ingress()(Ingress))
        .options(**shape, user_config={"model": list(chosen), "previous": None})
        .bind(args.model_dump(), workers)
    )


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


def _options(seconds: float, of: Replicas, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    runtime_env = {"runtime_env": {"env_vars": dict(environment)}} if environment else {}
    shared: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": of.cpus, "num_gpus": of.gpus, **runtime_env},
        "max_ongoing_requests": of.ongoing,
        "max_queued_requests": of.queued,
        "graceful_shutdown_timeout_s": seconds + 5,  # what has begun is finished
        "health_check_period_s": 5.0,
    }
    if of.most is None:
        return {**shared, "num_replicas": of.replicas}
    return {**shared, "autoscaling_config": {"min_replicas": of.replicas, "max_replicas": of.most, "target_ongoing_requests": 16}}


def _grouped(calls: Sequence[Any], key: Callable[[Any], Any]) -> dict[Any, list[int]]:
    groups: dict[Any, list[int]] = {}
    for place, call in enumerate(calls):
        groups.setdefault(key(call), []).append(place)
    return groups


def _access_log(path: str | None) -> Log | None:
    if path is None:
        return None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # A line is one write to a file opened for appending, so that those of several processes do not mix.
    file = Path(path).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115  (open as long as the process lives)
    return json_lines(file.write)
