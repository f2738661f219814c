"""A request's body: read up to a limit, and taken apart into images and parameters."""

from collections import defaultdict
from dataclasses import dataclass, field

from starlette.requests import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from legan.platform.errors import counted
from legan.serve.api.errors import ProblemError

FIELDS = 600
"""Form fields besides the images; augment takes up to 256 labels."""
FIELD_BYTES = 10_000
IMAGE = "image"


@dataclass(frozen=True)
class Upload:
    """What came: images as they were encoded, and each parameter's values in their order."""

    images: list[bytes] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; ProblemError 413 where it is longer than ``limit`` bytes, at once where its length is announced."""
    announced = request.headers.get("content-length", "")
    if (announced.isdecimal() and len(announced) > 18) or (announced.isdecimal() and int(announced) > limit):
        raise _too_large(limit)
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ProblemError(415, "Compressed bodies are not taken; send the image as it is, without Content-Encoding.")
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
    return bytes(body)


def take_apart(content_type: str, query: list[tuple[str, str]], body: bytes, images: int) -> Upload:
    """Images and parameters of a body, multipart/form-data or one raw image, and of the query.

    Raises ProblemError: 415 for another kind of body, 422 for one that is no multipart or has no image, 413 for more than
    ``images`` images.
    """
    kind, options = parse_options_header(content_type)
    kind = kind.lower()
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in query:
        values[name].append(value)
    if kind == "multipart/form-data":
        found = _multipart(body, options.get("boundary", ""), images, values)
    elif kind.startswith("image/"):
        found = [body]
    else:
        raise ProblemError(
            415, f"The body is {kind or 'of no kind'}; send multipart/form-data with parts named image, or an image as image/….",
            headers={"accept": "multipart/form-data, image/*"},
        )  # fmt: skip
    if not found:
        raise ProblemError(422, "There is no image in the request; send it as a part named image, with a file name.")
    return Upload(found, dict(values))


def _multipart(body: bytes, boundary: str, images: int, values: dict[str, list[str]]) -> list[bytes]:
    found: list[bytes] = []
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), max_parts=FIELDS + images + 1)
    try:
        if not boundary:
            raise ValueError("its Content-Type names no boundary")
        decoder.receive_data(body)
        decoder.receive_data(None)

        part: Field | File | None = None
        while not isinstance(event := decoder.next_event(), Epilogue | NeedData):
            if isinstance(event, Field | File):
                part = event
            elif isinstance(event, Data) and part is not None:
                _keep(part, event.data, found, values)
            if len(found) > images:
                raise ProblemError(
                    413, f"There are more than {counted(images, 'image')} in the request; send them in several requests."
                )

    except RequestEntityTooLarge as error:
        raise ProblemError(413, f"The form has more than {FIELDS} fields; send fewer.") from error
    except ValueError as error:
        raise ProblemError(422, f"The body is no multipart/form-data: {str(error).rstrip('.')}.") from error
    return found


def _keep(part: Field | File, data: bytes, found: list[bytes], values: dict[str, list[str]]) -> None:
    if not part.name:
        raise ValueError("a part has no name")
    if isinstance(part, File) or part.name == IMAGE:
        if part.name != IMAGE:
            raise ValueError(f"the file part {part.name[:40]!r} is not named {IMAGE}")
        found.append(data)
        return
    if len(data) > FIELD_BYTES:
        raise ProblemError(413, f"The field {part.name[:40]!r} is longer than {FIELD_BYTES:,} bytes.")
    values[part.name].append(data.decode())


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, f"The body is larger than {limit:,} bytes; send fewer or smaller images.")
