"""The deployments with networks, each with its own replicas: Aligner → Generator → Quality, Matcher.

Generator and Quality collect what many requests want into one batch. Images travel as uint8 arrays. Every call says which model
it wants; a worker holds the present model and the previous one (``user_config``).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar

import cv2
import numpy as np
import torch
from ray import serve

from legan.platform.device import keep_freed_memory
from legan.serve.api.metrics import BATCH_IMAGES, BATCH_SECONDS, HELD
from legan.serve.api.schema import ModelInfo
from legan.serve.chosen import Chosen
from legan.serve.classes import OwnClasses
from legan.serve.deploy.ray_metrics import RayMeter
from legan.serve.deploy.served_model import load_chosen, model_info
from legan.serve.engine import Engine, FoundFaces, MaskedTranslation, Masks, Picture, Pictures
from legan.serve.matcher import Matcher, load_matcher

Key = TypeVar("Key", bound=Hashable)
Held = TypeVar("Held")


class ModelCache(Generic[Key, Held]):
    """What ``load`` makes of a key, kept for the keys that are wanted; others are loaded again when somebody asks."""

    def __init__(self, load: Callable[[Key], Held]):
        self._load = load
        self._held: dict[Key, Held] = {}
        self._loading = asyncio.Lock()

    async def get(self, key: Key) -> Held:
        """The thing, loaded in a thread if it is not here."""
        if key in self._held:
            return self._held[key]
        async with self._loading:
            if key not in self._held:
                self._held[key] = await asyncio.to_thread(self._load, key)
            return self._held[key]

    async def keep(self, keys: Sequence[Key]) -> None:
        """Load these, and then let go of all others; raises only where none can be loaded."""
        loaded = await asyncio.gather(*(self.get(key) for key in keys), return_exceptions=True)
        failed = [each for each in loaded if isinstance(each, BaseException)]
        if failed and len(failed) == len(keys):
            raise failed[0]
        self._held = {key: held for key, held in self._held.items() if key in keys}


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


class ModelWorker(Measured):
    """What all deployments with the model's networks share."""

    def __init__(self, threads: int):
        super().__init__(threads)
        self._models: ModelCache[Chosen, Engine] = ModelCache(load_chosen)
        self._preparing: asyncio.Task[None] | None = None

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Hold these models; a replica that serves already goes on while it loads them."""
        loading = asyncio.ensure_future(self._models.keep([Chosen(*each) for each in config["models"]]))
        if self._preparing is None:
            await loading
        self._preparing = loading

    async def hold(self, chosen: Chosen) -> None:
        """Answer when a model is loaded."""
        await self._models.get(chosen)


class AlignerWorker(ModelWorker):
    """Finds the faces of a photograph."""

    network = "detector"

    async def align(self, chosen: Chosen, photo: Picture) -> FoundFaces:
        """All faces, the largest first."""
        with self._holding():
            engine = await self._models.get(chosen)
            with self._measured(1):
                return await asyncio.to_thread(engine.look_for_faces, photo)


class GeneratorWorker(ModelWorker):
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

    async def own_classes(self, chosen: Chosen, images: Pictures) -> list[OwnClasses]:
        """The classes that aligned faces show already; the faces of one photograph at most, so that nothing is collected."""
        engine = await self._models.get(chosen)
        return await asyncio.to_thread(engine.own_classes, images)

    async def describe(self, chosen: Chosen, *, matcher: bool) -> ModelInfo:
        """What is known about a model."""
        return model_info(await self._models.get(chosen), chosen, matcher=matcher)

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
            engine = await self._models.get(chosen)
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


class QualityWorker(ModelWorker):
    """Rates aligned faces, those of many calls at once; and compares them, where the model carries a matcher."""

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

    async def similarity(self, chosen: Chosen, a: Pictures, b: Pictures) -> list[float] | None:
        """The match score of each pair by the matcher that the model carries; None where it has none."""
        with self._holding():
            matcher = (await self._models.get(chosen)).matcher
            return None if matcher is None else [float(each) for each in await asyncio.to_thread(matcher.similarity, a, b)]

    @serve.batch(batch_size_fn=lambda calls: sum(len(call[1]) for call in calls))  # type: ignore[untyped-decorator]
    async def _batch(self, calls: list[tuple[Chosen, Pictures, Masks]]) -> list[list[float]]:
        rated: dict[int, list[float]] = {}
        for chosen, places in _grouped(calls, lambda call: call[0]).items():
            engine = await self._models.get(chosen)
            images, hulls = (np.concatenate([calls[place][kind] for place in places]) for kind in (1, 2))
            with self._measured(len(images)):
                found = (await asyncio.to_thread(engine.quality, images, hulls)).tolist()
            ratings = iter(found)
            for place in places:
                rated[place] = [next(ratings) for _ in calls[place][1]]
        return [rated[place] for place in range(len(calls))]


class MatcherWorker(Measured):
    """Says whether two faces are the same person's."""

    network = "matcher"

    def __init__(self, threads: int, source: str, image_size: int):
        super().__init__(threads)
        keep_freed_memory()
        self._matcher: Matcher = load_matcher(source, image_size)

    async def similarity(self, a: Pictures, b: Pictures) -> list[float]:
        """The match score of each pair."""
        with self._holding(), self._measured(len(a)):
            return [float(each) for each in await asyncio.to_thread(self._matcher.similarity, a, b)]


def _grouped(calls: Sequence[Any], key: Callable[[Any], Any]) -> dict[Any, list[int]]:
    groups: dict[Any, list[int]] = {}
    for place, call in enumerate(calls):
        groups.setdefault(key(call), []).append(place)
    return groups
