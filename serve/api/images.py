"""Images in and out of requests: measured by their header before they are decoded, decoded and encoded off the event loop."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from legan.platform.data.image import image_size, read_image
from legan.platform.errors import ImageError
from legan.platform.mark import Mark
from legan.serve.api.errors import ProblemError
from legan.serve.pictures import Format, Picture, encoded


class PixelBudget:
    """How many pixels of decoded photographs are held at a time; who comes when they are taken waits for his turn."""

    def __init__(self, pixels: int):
        self._free = pixels
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, pixels: int) -> AsyncIterator[None]:
        """Take ``pixels``, which must not be more than all, for the length of the block."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((pixels, turn))
        self._admit()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._free += pixels
            turn.cancel()
            self._admit()

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            pixels, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= pixels
                turn.set_result(None)


async def measure(data: bytes, limit: int) -> int:
    """Pixels of an encoded image by its header.

    Raises ProblemError: 415 for what is none of the known formats, 413 for more than ``limit`` pixels.
    """
    try:
        width, height = await asyncio.to_thread(image_size, data)
    except ImageError as error:
        raise ProblemError(413 if error.kind == "too_large" else 415, _capital(str(error))) from error
    if width * height > limit:
        raise ProblemError(413, f"The image has {width}×{height} pixels, more than the limit of {limit:,}; scale it down first.")
    return width * height


async def decode(data: bytes, limit: int) -> Picture:
    """Uint8 H×W×3 RGB; ProblemError 415 for an image that cannot be decoded."""
    try:
        return await asyncio.to_thread(read_image, data, max_pixels=limit)
    except ImageError as error:
        raise ProblemError(415, _capital(str(error))) from error


async def encode(image: Picture, form: Format, mark: Mark) -> bytes:
    """The picture as a file with its mark; ImageError where it is too large for the format."""
    return await asyncio.to_thread(encoded, image, form, mark, quickly=True)


def media_type(form: Format) -> str:
    """image/…."""
    return f"image/{form}"


def finite(value: float) -> float | None:
    """The value, None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
