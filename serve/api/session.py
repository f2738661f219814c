"""What the HTTP application asks of the machinery behind it: a model's steps, all of one request with the same model.

deploy/local.py answers in this process, deploy/deployments.py with Ray Serve deployments. Images are uint8 RGB: photographs
H×W×3, aligned faces B×S×S×3.
"""

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from legan.platform.settings import Settings
from legan.serve.engine import FoundFace, MaskedTranslation, Masks, Picture, Pictures


class Busy(Exception):  # noqa: N818  (no mistake of anybody's)
    """More was asked than is being done at a time; ``retry_after_s`` says when to ask again."""

    def __init__(self, retry_after_s: float = 1.0):
        self.retry_after_s = retry_after_s
        super().__init__(retry_after_s)


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


class PublicLimits(BaseModel):
    """The limits that a caller can keep to."""

    body_bytes: int
    pixels: int
    images: int
    variants: int


class ModelInfo(BaseModel):
    """Which model answers, where it comes from, and what it knows."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    source: str
    """What was asked for: a folder or an MLflow URI."""
    run_id: str | None
    """MLflow run of the training."""
    run: str | None
    """Name of that run."""
    data_hash: str | None
    git_commit: str | None
    created_by: str | None
    image_size: int
    alignment: dict[str, float | int | list[float]]
    """Where the eyes of an aligned face lie, as fractions of the image."""
    expressions: list[str]
    lightings: list[str]
    disentangled: bool
    """Whether there are masks."""
    has_quality: bool
    has_matcher: bool

    @property
    def label(self) -> str:
        """Name and version as answers bear them."""
        return f"{self.name}/{self.version}"


class Session(Protocol):
    """One model, for the length of a request. Every method raises Busy where a queue is full."""

    @property
    def info(self) -> ModelInfo:
        """Which model this is."""

    async def align(self, photo: Picture) -> list[FoundFace]:
        """All faces of a photograph, the largest first."""

    async def translate(
        self, images: Pictures, expressions: Sequence[str], lightings: Sequence[str], *, masks: bool = False
    ) -> MaskedTranslation:
        """Aligned faces under the wanted attributes; without ``masks`` there are none in the answer."""

    async def quality(self, images: Pictures, hulls: Masks) -> list[float] | None:
        """Q's ratings, None for a model without Q."""

    async def similarity(self, a: Pictures, b: Pictures) -> list[float] | None:
        """How alike the matcher finds the persons, -1 to 1; None without a matcher."""


class Backend(Protocol):
    """The machinery."""

    def session(self) -> Session:
        """The model of the moment; raises Busy while there is none yet."""
