"""What the HTTP application asks of the machinery behind it: a model's steps, all of one request with the same model.

deploy/local.py answers in this process, deploy/ingress.py with Ray Serve deployments. Images are uint8 RGB: photographs
H×W×3, aligned faces B×S×S×3.
"""

from collections.abc import Sequence
from typing import Protocol

from pydantic import Field

from legan.platform.settings import Settings
from legan.serve.api.schema import ModelInfo
from legan.serve.classes import OwnClasses
from legan.serve.engine import FoundFaces, MaskedTranslation, Masks, Picture, Pictures


class Limits(Settings):
    """What one request and all of them together may ask for."""

    body_bytes: int = Field(20_000_000, ge=1_000, le=2_000_000_000)
    """Bytes of a request's body."""
    pixels: int = Field(50_000_000, ge=1_000, le=500_000_000)
    """Pixels of one image, width times height, as its header says before it is decoded."""
    images: int = Field(16, ge=1, le=1_000)
    """Images in one request."""
    variants: int = Field(256, ge=1, le=256)
    """Pictures that one call of augment makes; its form has room for 256 labels."""
    seconds: float = Field(30.0, gt=0, le=3600)
    """Time for one request, from the end of its headers to the end of its answer."""
    requests: int = Field(64, ge=1, le=10_000)
    """Requests that one process works on at a time, and fewer where it is too slow for them; the next one is answered 503."""
    photographs: int = Field(4, ge=1, le=100)
    """Decoded photographs of the largest size that one process holds at a time; further ones wait."""


class Session(Protocol):
    """One model, for the length of a request. Every method raises Busy where a queue is full."""

    @property
    def info(self) -> ModelInfo:
        """Which model this is."""

    async def align(self, photo: Picture) -> FoundFaces:
        """All faces of a photograph, the largest first."""

    async def translate(
        self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str], *, masks: bool = False
    ) -> MaskedTranslation:
        """Aligned faces under the wanted attributes; without ``masks`` there are none in the answer."""

    async def own_classes(self, images: Pictures) -> list[OwnClasses]:
        """The classes that aligned faces show already; only for a model with a label predictor."""

    async def quality(self, images: Pictures, hulls: Masks) -> list[float] | None:
        """Q's ratings, None for a model without Q."""

    async def similarity(self, a: Pictures, b: Pictures) -> list[float] | None:
        """How alike the matcher finds the persons, -1 to 1; None without a matcher."""


class Backend(Protocol):
    """The machinery."""

    def session(self) -> Session:
        """The model of the moment; raises Busy while there is none yet."""
