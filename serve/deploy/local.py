"""The HTTP application in this process, without Ray: for tests, and for a look on a small machine.

    python -m legan.serve.deploy.local MODEL [--port 8000] [--matcher MATCHER]

One batch at a time, and a queue of bounded length.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from legan.platform.errors import LeganError
from legan.serve.api.cors import checked_origin
from legan.serve.api.errors import Busy
from legan.serve.api.metrics import BATCH_IMAGES, BATCH_SECONDS, HELD, QUALITY, Meter, PrometheusMeter, Unmetered
from legan.serve.api.routes import make_api
from legan.serve.api.schema import ModelInfo
from legan.serve.api.session import Limits
from legan.serve.chosen import choose_model
from legan.serve.classes import OwnClasses
from legan.serve.deploy.served_model import load_chosen, model_info
from legan.serve.engine import Engine, FoundFaces, MaskedTranslation, Masks, Picture, Pictures
from legan.serve.matcher import Matcher, load_matcher
from legan.serve.study.app import bind

Done = TypeVar("Done")
HEAD_BYTES = 65_536
"""A query of 256 labels fits. What is read at a time is added, a quarter of a megabyte at most."""
HEAD_S = 10.0


class LocalSession:
    """An engine and a matcher behind one working thread; more than ``queue`` waiting calls are refused."""

    def __init__(
        self, engine: Engine, info: ModelInfo, matcher: Matcher | None = None, meter: Meter | None = None, *, queue: int = 64
    ):
        self.engine, self.matcher, self.queue = engine, matcher, queue
        self.meter = meter or Unmetered()
        self._info = info
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._held: Counter[str] = Counter()

    @property
    def info(self) -> ModelInfo:
        """Which model this is."""
        return self._info

    def session(self) -> "LocalSession":
        """This is the only model there ever is."""
        return self

    async def align(self, photo: Picture) -> FoundFaces:
        """All faces of a photograph."""
        return await self._run("detector", 1, lambda: self.engine.look_for_faces(photo))

    async def translate(
        self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str], *, masks: bool = False
    ) -> MaskedTranslation:
        """Aligned faces under the wanted attributes."""
        if masks:
            return await self._run(
                "generator", len(images), lambda: self.engine.translate_with_masks(images, expressions, lightings)
            )
        made = await self._run("generator", len(images), lambda: self.engine.translate(images, expressions, lightings))
        return MaskedTranslation(made, None, None)

    async def own_classes(self, images: Pictures) -> list[OwnClasses]:
        """The classes that aligned faces show already."""
        return await self._run("predictor", len(images), lambda: self.engine.own_classes(images))

    async def quality(self, images: Pictures, hulls: Masks) -> list[float] | None:
        """Q's ratings."""
        if not self._info.has_quality:
            return None
        ratings: list[float] = await self._run("quality", len(images), lambda: self.engine.quality(images, hulls).tolist())
        for rating in ratings:
            self.meter.record(QUALITY, rating, model=self._info.label)
        return ratings

    async def similarity(self, a: Pictures, b: Pictures) -> list[float] | None:
        """How alike the matcher finds the persons."""
        matcher = self.matcher or self.engine.matcher
        if matcher is None:
            return None
        return await self._run("matcher", len(a), lambda: [float(each) for each in matcher.similarity(a, b)])

    async def _run(self, network: str, images: int, work: Callable[[], Done]) -> Done:
        if sum(self._held.values()) >= self.queue:
            raise Busy
        self._hold(network, +1)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: self._timed(network, images, work))
        finally:
            self._hold(network, -1)

    def _hold(self, network: str, by: int) -> None:
        self._held[network] += by
        self.meter.record(HELD, self._held[network], network=network)

    def _timed(self, network: str, images: int, work: Callable[[], Done]) -> Done:
        begun = time.perf_counter()
        done = work()
        self.meter.record(BATCH_IMAGES, images, network=network)
        self.meter.record(BATCH_SECONDS, time.perf_counter() - begun, network=network)
        return done


class BoundedHead(HttpToolsProtocol):
    """HTTP/1.1 whose requests begin with a head of HEAD_BYTES, within HEAD_S from their first byte or the connection's begin."""

    _bytes: int | None = None
    """Of a head that has not ended; None elsewhere."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Expect a first request."""
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Refuse a head that is too long."""
        super().data_received(data)
        if self._bytes is not None and not self.transport.is_closing():
            self._bytes += len(data)
            if self._bytes > HEAD_BYTES:
                self.send_400_response(f"The head of the request is longer than {HEAD_BYTES:,} bytes.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """A head ends."""
        self._end()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._end()
        self._bytes = 0
        self._late = self.loop.call_later(HEAD_S, self.transport.close)

    def _end(self) -> None:
        self._bytes = None
        if self._late is not None:
            self._late.cancel()


def local_backend(source: str, matcher: str | None = None, device: str | None = None, meter: Meter | None = None) -> LocalSession:
    """A model and perhaps a matcher, loaded into this process; LeganError says what is wrong with either."""
    chosen = choose_model(source)
    engine = load_chosen(chosen, device)
    loaded = None if matcher is None else load_matcher(matcher, engine.image_size, device)
    return LocalSession(engine, model_info(engine, chosen, matcher=loaded is not None), loaded, meter)


def http_settings(application: ASGIApp, log_level: str = "warning") -> uvicorn.Config:
    """The application on uvicorn."""
    return uvicorn.Config(
        application, http=BoundedHead, log_level=log_level, access_log=False, server_header=False, lifespan="off"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m legan.serve.deploy.local", description="The HTTP API in one process, without Ray."
    )
    parser.add_argument("model", help="a model folder, a run, or an MLflow URI")
    parser.add_argument("--matcher", help="a run or network folder of legan train identity")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument(
        "--cors-origin", action="append", default=[], metavar="ORIGIN", help="its pages may call the API; repeatable"
    )
    given = parser.parse_args(arguments)
    try:
        origins = [checked_origin(origin) for origin in given.cors_origin]
    except ValueError as error:
        parser.error(f"--cors-origin: {error}")
    try:
        meter = PrometheusMeter()
        backend = local_backend(given.model, given.matcher, meter=meter)
        listener = bind(given.host, given.port)
    except LeganError as error:
        print(f"legan: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{backend.info.label}: http://{given.host}:{listener.getsockname()[1]}/", flush=True)
    application = make_api(backend, Limits(), meter=meter, cors_origins=origins)
    uvicorn.Server(http_settings(application)).run(sockets=[listener])


if __name__ == "__main__":
    main()
