"""The calls as requests, the same for the sync and the async client: nothing here waits or sends."""

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from legan.platform.errors import ConfigError, ImageError, Problem, without_passwords
from legan.serve.client.errors import (
    AnswerError,
    InvalidError,
    NotAnImageError,
    ServiceError,
    TimeLimitError,
    TooLargeError,
    UnreachableError,
    error_of,
    read_problem,
)
from legan.serve.client.results import (
    Answer,
    Augmentation,
    DetectedFace,
    Pixels,
    Rating,
    ServerLimits,
    TranslationResult,
    read_augmentation,
    read_faces,
    read_health,
    read_model,
    read_ratings,
    read_translations,
)
from legan.serve.client.retry import retry_after_s

Photo = Path | str | bytes | Pixels
"""A file, an encoded image, or uint8 H×W×3."""
Format = Literal["png", "jpeg", "webp"]
Numbered = TypeVar("Numbered", TranslationResult, Rating)
FORM_BYTES = 2_000
"""Room for a request's fields and the heads of its parts, beside its images: so much per image."""


class FaceOptions(TypedDict, total=False):
    """``face``: which one of the photograph, 0 the largest. ``aligned``: the image is an aligned face of the model's size."""

    face: int
    aligned: bool


class TranslateOptions(FaceOptions, total=False):
    """``paste``: the whole photograph with the face put back. ``masks``: the model's masks too. ``format``: of the pictures."""

    paste: bool
    masks: bool
    format: Format


class AugmentOptions(FaceOptions, total=False):
    """``variants``: ``n`` random ones, all, or those listed as ``labels`` (expression, lighting).

    ``expressions`` and ``lightings`` restrict random and all. A random variant below a minimum is replaced by another,
    ``attempts`` draws at most; the same ``seed`` draws the same.
    """

    variants: Literal["random", "all", "listed"]
    n: int
    labels: Sequence[tuple[str, str]]
    expressions: Sequence[str]
    lightings: Sequence[str]
    min_quality: float
    min_similarity: float
    attempts: int
    seed: int
    format: Format


class Received(NamedTuple):
    """An answer, wholly read."""

    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request and how its answer is read."""

    method: str
    path: str
    read: Callable[[bytes], Answer]
    images: Sequence[bytes] = ()
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    accept: str = "application/json"

    @property
    def arguments(self) -> dict[str, Any]:
        """For httpx; names of files are nobody's business."""
        files = [("image", ("image", image, "application/octet-stream")) for image in self.images]
        return {"headers": {"accept": self.accept}, **({"files": files, "data": self.fields} if files else {})}

    def answer(self, received: Received, url: str) -> Answer:
        """The typed answer; raises the ServiceError of any status but 200."""
        if received.status != 200:
            problem = read_problem(received.status, received.body, url)
            raise error_of(problem, retry_after_s(received.headers.get("retry-after")))
        return self.read(received.body)


def translate_call(
    images: Sequence[bytes], expression: str | None, lighting: str | None, options: TranslateOptions
) -> Call[list[TranslationResult]]:
    """POST /v1/translate; a zip, as it holds pictures as they are."""
    fields = form_fields({"expression": expression, "lighting": lighting, **options})
    return Call("POST", "/v1/translate", read_translations, images, fields, "application/zip")


def augment_call(image: bytes, options: AugmentOptions) -> Call[Augmentation]:
    """POST /v1/augment."""
    lists = {
        "label": [":".join(label) for label in options.get("labels", ())],
        "expression": list(options.get("expressions", ())),
        "lighting": list(options.get("lightings", ())),
    }
    plain = {name: value for name, value in options.items() if name not in ("labels", "expressions", "lightings")}
    fields = form_fields({**plain, **lists})
    return Call("POST", "/v1/augment", read_augmentation, [image], fields, "application/zip")


def quality_call(images: Sequence[bytes], options: FaceOptions) -> Call[list[Rating]]:
    """POST /v1/quality."""
    return Call("POST", "/v1/quality", read_ratings, images, form_fields(dict(options)))


def faces_call(image: bytes) -> Call[list[DetectedFace]]:
    """POST /v1/faces."""
    return Call("POST", "/v1/faces", read_faces, [image])


MODEL = Call("GET", "/v1/model", read_model)
HEALTH = Call("GET", "/healthz", read_health)


def encoded(photo: Photo) -> bytes:
    """The bytes to send: a file's own, or an array as PNG.

    Raises ImageError for a file that cannot be read and an array that is no picture.
    """
    if isinstance(photo, bytes):
        return photo
    if isinstance(photo, np.ndarray):
        return _png(photo)
    try:
        return Path(photo).read_bytes()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(f"{photo} cannot be read: {cause}; correct the path.") from error


def form_fields(values: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Parameters as form fields; those that are None are left to the server's defaults."""
    return {
        name: [_text(each) for each in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in values.items()
        if value is not None
    }


def pieces(sizes: Sequence[int], limits: ServerLimits) -> list[slice]:
    """Images of these encoded sizes as requests within the limits, of about the same number of images.

    An image beyond the limits gets a request of its own, which the server refuses with its reason.
    """
    most = math.ceil(len(sizes) / max(1, math.ceil(len(sizes) / limits.images)))
    found, start, total = [], 0, 0
    for index, size in enumerate(sizes):
        total += size + FORM_BYTES
        if index > start and (index - start >= most or total > limits.body_bytes):
            found.append(slice(start, index))
            start, total = index, size + FORM_BYTES
    return [*found, slice(start, len(sizes))] if len(sizes) else []


def readable(photos: Iterable[Photo]) -> list[bytes | NotAnImageError]:
    """The bytes to send of each photograph, or why there are none."""
    return [_readable(photo) for photo in photos]


def in_order(
    sent: Sequence[bytes | NotAnImageError], made: Iterable[Numbered], failed: Callable[[ServiceError], Numbered]
) -> list[Numbered]:
    """One result for each photograph of a batch: what the server made of those that were sent, and ``failed`` for the others."""
    answers = iter(made)
    return [
        replace(failed(each) if isinstance(each, NotAnImageError) else next(answers), index=index)
        for index, each in enumerate(sent)
    ]


def of_the_image(error: ServiceError) -> bool:
    """Whether a call with one image failed for the image, and not for the call's parameters."""
    told = error.problem is not None and error.problem.image is not None
    return isinstance(error, TooLargeError | NotAnImageError) or (isinstance(error, InvalidError) and told)


def base_url(url: str) -> str:
    """The address without a slash at its end; ConfigError for one that cannot be called."""
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and (parts.port or 0) >= 0
            and not set(url) & set(" \t\r\n")
        )
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        message = "this is no address of a server; write it as http://127.0.0.1:8000"
        raise ConfigError([Problem(without_passwords(url), message)])
    return url.rstrip("/")


def headers(token: str | None) -> dict[str, bytes]:
    """With the bearer token; ConfigError for one that no header can hold."""
    if token is None or not token.strip():
        return {}
    if not token.strip().isprintable():
        raise ConfigError([Problem("token", "it holds line breaks or control characters; give the token alone")])
    return {"authorization": b"Bearer " + token.strip().encode(errors="surrogateescape")}


@contextmanager
def named_errors(url: str, timeout_s: float) -> Iterator[None]:
    """What httpx raises as ServiceErrors: UnreachableError for a connection, TimeLimitError for a limit."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise UnreachableError(f"{url} does not answer; is it the right address, and does the server run?") from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise TimeLimitError(f"{url} did not answer within {timeout_s:g} s; ask for less at once, or allow more time.") from error
    except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ProxyError) as error:
        cause = str(error).rstrip(".") or type(error).__name__
        raise UnreachableError(f"{url} cannot be reached: {cause}; is it the right address, and does the server run?") from error
    except httpx.HTTPError as error:
        raise AnswerError(f"{url} cannot be called: {str(error).rstrip('.')}; check the address and the token.") from error


def failed_translation(
    error: ServiceError, expression: str | None, lighting: str | None, options: TranslateOptions
) -> TranslationResult:
    """What stands in a batch for an image that was refused alone."""
    return TranslationResult(0, expression or "", lighting or "", options.get("face", 0), None, None, None, None, None, error, "")


def failed_rating(error: ServiceError, options: FaceOptions) -> Rating:
    """The same for ratings."""
    return Rating(0, options.get("face", 0), None, error, "")


def _readable(photo: Photo) -> bytes | NotAnImageError:
    try:
        return encoded(photo)
    except ImageError as error:
        return NotAnImageError(str(error))


def _text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode(errors="replace").decode()


def _png(pixels: NDArray[Any]) -> bytes:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageError(f"the array is {pixels.dtype} of shape {pixels.shape}; give uint8 of shape height × width × 3.")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
