"""The two clients: what waits and sends. What calls are, give back and raise is in the modules beside this one."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, Unpack

import httpx

from legan.platform.errors import without_passwords
from legan.serve.client.calls import (
    HEALTH,
    MODEL,
    AugmentOptions,
    Call,
    FaceOptions,
    Numbered,
    Photo,
    Received,
    TranslateOptions,
    augment_call,
    base_url,
    encoded,
    faces_call,
    failed_rating,
    failed_translation,
    headers,
    in_order,
    named_errors,
    of_the_image,
    pieces,
    quality_call,
    readable,
    translate_call,
)
from legan.serve.client.errors import (
    BusyError,
    ServiceError,
    TimeLimitError,
    UnreachableError,
)
from legan.serve.client.results import (
    Answer,
    Augmentation,
    DetectedFace,
    Rating,
    ServedModel,
    TranslationResult,
)
from legan.serve.client.retry import Retries, Tries

TOKEN = "LEGAN_TOKEN"  # noqa: S105  (the variable's name)
"""Environment variable with the bearer token."""
CONNECT_S = 10.0


class Client:
    """Calls that wait for their answers; one client may be used by many threads.

    >>> with Client(url) as client:  # the server's: "http://127.0.0.1:8000"
    ...     model = client.model()
    ...     translation = client.translate("photo.jpg", "smile", "left")
    >>> model.expressions
    ('neutral', 'smile')
    >>> translation.image.shape, translation.quality is not None
    ((32, 32, 3), True)

    ``token`` defaults to the environment's LEGAN_TOKEN; ``timeout_s`` limits each try. Raises ConfigError for an address or a
    token that cannot be used; every call raises ServiceError, and that of a single photograph ImageError where it cannot be
    read here.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 60.0, retries: Retries | None = None):
        self.url, self.timeout_s, self.retries = base_url(url), timeout_s, retries or Retries()
        self._named = without_passwords(self.url)
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S))
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        given = headers(os.environ.get(TOKEN) if token is None else token)
        self._http = httpx.Client(timeout=timeout, limits=unlimited, headers=given)  # type: ignore[arg-type]

    def translate(
        self, image: Photo, expression: str | None = None, lighting: str | None = None, **options: Unpack[TranslateOptions]
    ) -> TranslationResult:
        """A face of a photograph under another expression and lighting.

        ``keep`` is the class that the face shows already; the only class of a kind need not be named.
        """
        return self._call(translate_call([encoded(image)], expression, lighting, options))[0]

    def translate_batch(
        self,
        images: Iterable[Photo],
        expression: str | None = None,
        lighting: str | None = None,
        **options: Unpack[TranslateOptions],
    ) -> list[TranslationResult]:
        """Any number of photographs, in as many requests as the server's limits want; one result for each, in their order.

        What is wrong with one photograph is the ``error`` of its result; what no photograph can help, such as an unknown
        expression, is raised.
        """
        return self._batch(
            images,
            lambda piece: translate_call(piece, expression, lighting, options),
            lambda error: failed_translation(error, expression, lighting, options),
        )

    def augment(self, image: Photo, **options: Unpack[AugmentOptions]) -> Augmentation:
        """Many variants of one face; by default 8 random ones."""
        return self._call(augment_call(encoded(image), options))

    def quality(self, image: Photo, **options: Unpack[FaceOptions]) -> Rating:
        """Q's rating of a face; InvalidError for a model without Q."""
        return self._call(quality_call([encoded(image)], options))[0]

    def quality_batch(self, images: Iterable[Photo], **options: Unpack[FaceOptions]) -> list[Rating]:
        """As ``translate_batch``."""
        return self._batch(images, lambda piece: quality_call(piece, options), lambda error: failed_rating(error, options))

    def faces(self, image: Photo) -> list[DetectedFace]:
        """The faces of a photograph, the largest first; of an image without any, an empty list.

        Each comes aligned: sent on with ``aligned=True``, the photograph travels once and is searched once.
        """
        return self._call(faces_call(encoded(image)))

    def model(self) -> ServedModel:
        """Which model answers, what it knows, and the limits of a request."""
        return self._call(MODEL)

    def healthz(self) -> bool:
        """Whether the server answers requests; asked once, False for a server that is not ready or not there."""
        try:
            return HEALTH.answer(self._send(HEALTH), self._named)
        except (UnreachableError, BusyError, TimeLimitError):
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _batch(
        self, images: Iterable[Photo], call: Callable[[Sequence[bytes]], Call[list[Numbered]]],
        failed: Callable[[ServiceError], Numbered],
    ) -> list[Numbered]:  # fmt: skip
        given = readable(images)
        sent = [each for each in given if isinstance(each, bytes)]
        made: list[Numbered] = []
        for piece in pieces([len(image) for image in sent], self.model().limits) if sent else []:
            try:
                part: list[Numbered] = self._call(call(sent[piece]))
            except ServiceError as error:
                if piece.stop - piece.start > 1 or not of_the_image(error):
                    raise
                part = [failed(error)]
            made += part
        return in_order(given, made, failed)

    def _call(self, call: Call[Answer]) -> Answer:
        tries = Tries(self.retries)
        while True:
            try:
                return call.answer(self._send(call), self._named)
            except ServiceError as error:
                time.sleep(tries.wait_s(error))

    def _send(self, call: Call[Answer]) -> Received:
        until = time.monotonic() + self.timeout_s
        body = bytearray()
        with (
            named_errors(self._named, self.timeout_s),
            self._http.stream(call.method, self.url + call.path, **call.arguments) as response,
        ):
            for part in response.iter_bytes():
                body += part
                if time.monotonic() > until:  # httpx limits each read, not their sum
                    raise TimeoutError
            return Received(response.status_code, response.headers, bytes(body))


class AsyncClient:
    """The same calls for asyncio; at most ``connections`` are under way at a time, further ones wait for their turn."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
        connections: int = 16,
    ):
        self.url, self.timeout_s, self.retries = base_url(url), timeout_s, retries or Retries()
        self._named = without_passwords(self.url)
        unlimited = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        given = headers(os.environ.get(TOKEN) if token is None else token)
        timeout = httpx.Timeout(None, connect=min(timeout_s, CONNECT_S))
        self._http = httpx.AsyncClient(timeout=timeout, limits=unlimited, headers=given)  # type: ignore[arg-type]
        self._places = asyncio.Semaphore(connections)

    async def translate(
        self, image: Photo, expression: str | None = None, lighting: str | None = None, **options: Unpack[TranslateOptions]
    ) -> TranslationResult:
        """As Client.translate."""
        sent = await asyncio.to_thread(encoded, image)
        return (await self._call(translate_call([sent], expression, lighting, options)))[0]

    async def translate_batch(
        self,
        images: Iterable[Photo],
        expression: str | None = None,
        lighting: str | None = None,
        **options: Unpack[TranslateOptions],
    ) -> list[TranslationResult]:
        """As Client.translate_batch, its requests at the same time."""
        return await self._batch(
            images,
            lambda piece: translate_call(piece, expression, lighting, options),
            lambda error: failed_translation(error, expression, lighting, options),
        )

    async def augment(self, image: Photo, **options: Unpack[AugmentOptions]) -> Augmentation:
        """As Client.augment."""
        return await self._call(augment_call(await asyncio.to_thread(encoded, image), options))

    async def quality(self, image: Photo, **options: Unpack[FaceOptions]) -> Rating:
        """As Client.quality."""
        return (await self._call(quality_call([await asyncio.to_thread(encoded, image)], options)))[0]

    async def quality_batch(self, images: Iterable[Photo], **options: Unpack[FaceOptions]) -> list[Rating]:
        """As Client.quality_batch, its requests at the same time."""
        return await self._batch(images, lambda piece: quality_call(piece, options), lambda error: failed_rating(error, options))

    async def faces(self, image: Photo) -> list[DetectedFace]:
        """As Client.faces."""
        return await self._call(faces_call(await asyncio.to_thread(encoded, image)))

    async def model(self) -> ServedModel:
        """As Client.model."""
        return await self._call(MODEL)

    async def healthz(self) -> bool:
        """As Client.healthz."""
        try:
            return HEALTH.answer(await self._send(HEALTH), self._named)
        except (UnreachableError, BusyError, TimeLimitError):
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _batch(
        self, images: Iterable[Photo], call: Callable[[Sequence[bytes]], Call[list[Numbered]]],
        failed: Callable[[ServiceError], Numbered],
    ) -> list[Numbered]:  # fmt: skip
        given = await asyncio.to_thread(lambda: readable(images))
        sent = [each for each in given if isinstance(each, bytes)]

        async def part(piece: slice) -> list[Numbered]:
            try:
                return await self._call(call(sent[piece]))
            except ServiceError as error:
                if piece.stop - piece.start > 1 or not of_the_image(error):
                    raise
                return [failed(error)]

        cut = pieces([len(image) for image in sent], (await self.model()).limits) if sent else []
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(part(piece)) for piece in cut]
        except* ServiceError as several:
            raise several.exceptions[0] from None
        return in_order(given, (result for task in parts for result in task.result()), failed)

    async def _call(self, call: Call[Answer]) -> Answer:
        tries = Tries(self.retries)
        while True:
            try:
                return call.answer(await self._send(call), self._named)
            except ServiceError as error:
                await asyncio.sleep(tries.wait_s(error))

    async def _send(self, call: Call[Answer]) -> Received:
        async with self._places:
            with named_errors(self._named, self.timeout_s):
                async with asyncio.timeout(self.timeout_s):
                    response = await self._http.request(call.method, self.url + call.path, **call.arguments)
        return Received(response.status_code, response.headers, response.content)
