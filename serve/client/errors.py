"""What can go wrong with a call, one exception per kind of problem, all of them ServiceErrors and so LeganErrors.

    ServiceError
    ├── UnreachableError     no connection, or it broke off before the answer was there; 500, 502, 504 of a proxy
    ├── TimeLimitError       the client's time limit, or the server's (408)
    ├── TokenError           401: the bearer token is missing or wrong
    ├── NotFoundError        404, 405: no such call
    ├── TooLargeError        413: body, image or number of images
    ├── NotAnImageError      415: what was sent is no image that can be read; of a batch, also a file that cannot be read here
    ├── InvalidError         422: a parameter cannot be used, or the image shows no such face
    ├── BusyError            503: all places are taken
    └── AnswerError          any other status, or an answer that is none of this API

The message is the server's sentence.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from legan.platform.errors import LeganError


@dataclass(frozen=True)
class ServerProblem:
    """A problem document (RFC 9457)."""

    title: str
    status: int
    detail: str
    errors: tuple[str, ...] = ()
    """All sentences, where there are several."""
    image: int | None = None
    """Which of the images that were sent it is about, from 0; None where it is about the call."""


class ServiceError(LeganError):
    """A call that failed; ``problem`` is the server's document, None where no answer came."""

    def __init__(self, message: str, problem: ServerProblem | None = None):
        super().__init__(message)
        self.problem = problem


class UnreachableError(ServiceError):
    """No connection, or it broke off before the answer was there.

    A proxy says the latter with a status and without a problem document: Ray Serve's with 500, when the process that answers
    dies. A 500 of the application has a document, and is an AnswerError.
    """


class TimeLimitError(ServiceError):
    """The client's time limit, or the server's."""


class TokenError(ServiceError):
    """The bearer token is missing or wrong."""


class NotFoundError(ServiceError):
    """There is no such call or thing."""


class TooLargeError(ServiceError):
    """The body, an image or the number of images is too large."""


class NotAnImageError(ServiceError):
    """What was sent is no image that can be read; of a batch, also a file that cannot be read here."""


class InvalidError(ServiceError):
    """A parameter cannot be used, or the image shows no such face."""


class BusyError(ServiceError):
    """All places are taken; ``retry_after_s`` says when to ask again."""

    def __init__(self, message: str, problem: ServerProblem | None = None, retry_after_s: float = 0.0):
        super().__init__(message, problem)
        self.retry_after_s = retry_after_s


class AnswerError(ServiceError):
    """Another status, or an answer that is none of this API."""


KINDS: dict[int, type[ServiceError]] = {
    401: TokenError,
    404: NotFoundError,
    405: NotFoundError,
    408: TimeLimitError,
    413: TooLargeError,
    415: NotAnImageError,
    422: InvalidError,
    503: BusyError,
}
BROKEN_OFF = (500, 502, 504)
"""With these a proxy says that the server behind it did not answer."""


def error_of(problem: ServerProblem, retry_after_s: float = 0.0) -> ServiceError:
    """The exception for a problem document; its message holds every sentence."""
    message = "\n".join([problem.detail, *(f"  - {each}" for each in problem.errors)])
    kind = KINDS.get(problem.status, AnswerError)
    if problem.status in BROKEN_OFF and not problem.title:
        kind = UnreachableError
    return BusyError(message, problem, retry_after_s) if kind is BusyError else kind(message, problem)


def problem_from(told: Mapping[str, Any]) -> ServerProblem:
    """A problem document from its JSON; KeyError or TypeError where it is none."""
    errors = tuple(str(each) for each in told.get("errors") or ())
    return ServerProblem(str(told["title"]), told["status"], str(told["detail"]), errors, told.get("image"))


def read_problem(status: int, body: bytes, url: str) -> ServerProblem:
    """The problem document of an answer; one of our own for what a proxy or another server may have said."""
    try:
        told = json.loads(body)
        return problem_from(told | {"status": status})
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = f"{url} answered with status {status} and no reason; is this the address of legan serve?"
        return ServerProblem("", status, detail)
