"""Python clients of the HTTP API, for programs with threads (Client) and with asyncio (AsyncClient).

    with Client("http://127.0.0.1:8000") as client:
        translation = client.translate("photo.jpg", "smile", "left")
        translation.image      # uint8 H×W×3
        translation.quality    # about 0 to 10

A call that is answered 503 or whose connection fails is tried again (retry.py); what fails for good raises a
ServiceError (errors.py). Photographs are given as a path, as an encoded image's bytes, or as uint8 H×W×3. Left and right
are the viewer's. Importing this loads neither torch nor ray nor mlflow.
"""

from legan.serve.client.calls import AugmentOptions, FaceOptions, Photo, TranslateOptions
from legan.serve.client.clients import AsyncClient, Client
from legan.serve.client.errors import (
    AnswerError,
    BusyError,
    InvalidError,
    NotAnImageError,
    NotFoundError,
    ServerProblem,
    ServiceError,
    TimeLimitError,
    TokenError,
    TooLargeError,
    UnreachableError,
)
from legan.serve.client.results import (
    Augmentation,
    DetectedFace,
    Picture,
    Rating,
    ServedModel,
    ServerLimits,
    TranslationResult,
    Variant,
)
from legan.serve.client.retry import Retries

__all__ = [
    "AnswerError",
    "AsyncClient",
    "AugmentOptions",
    "Augmentation",
    "BusyError",
    "Client",
    "DetectedFace",
    "FaceOptions",
    "InvalidError",
    "NotAnImageError",
    "NotFoundError",
    "Photo",
    "Picture",
    "Rating",
    "Retries",
    "ServedModel",
    "ServerLimits",
    "ServerProblem",
    "ServiceError",
    "TimeLimitError",
    "TokenError",
    "TooLargeError",
    "TranslateOptions",
    "TranslationResult",
    "UnreachableError",
    "Variant",
]

# The names of before, for programs that have them.
FoundFace = DetectedFace
Problem = ServerProblem
Translation = TranslationResult
