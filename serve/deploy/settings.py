"""What the application on Ray Serve may be told: the ``args`` of its config file, in Ray Serve's own words where it has one.

Files written before these words are still read; each old word is named once in the log.
"""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import Field, field_validator, model_validator

from legan.platform.settings import Settings
from legan.serve.api.cors import checked_origin
from legan.serve.api.session import Limits
from legan.serve.api.use_cases import CHUNK

OLD_WORDS = {
    "replicas": "min_replicas",
    "most": "max_replicas",
    "cpus": "num_cpus",
    "gpus": "num_gpus",
    "ongoing": "max_ongoing_requests",
    "queued": "max_queued_requests",
    "batch_size": "max_batch_size",
    "batch_wait_ms": "batch_wait_timeout_s",
}

log = logging.getLogger("legan.serve")


def in_new_words(values: Any, *old_words: str) -> Any:
    """``values`` with these keys under their new names; what is no mapping, and no settings therefore, as it is."""
    if not isinstance(values, Mapping):
        return values

    renamed = dict(values)
    for old in old_words:
        if old not in renamed:
            continue
        new = OLD_WORDS[old]
        if new in renamed:
            raise ValueError(f"{old} is the old name of {new}; leave it out")
        renamed[new] = renamed.pop(old)
        _tell(old, new)
    return renamed


@cache
def _tell(old: str, new: str) -> None:
    unit = " and is in seconds" if old == "batch_wait_ms" else ""
    log.warning("the serve setting %s is called %s now%s; the old name is still read.", old, new, unit)


class DeploymentSettings(Settings):
    """How often a deployment runs, and what Ray reserves for each replica."""

    min_replicas: int = Field(1, ge=1, le=1000)
    """Processes; with ``max_replicas`` the smallest number of them."""
    max_replicas: int | None = Field(None, ge=1, le=1000)
    """Ray Serve adds replicas up to this many under load; None: always as many as ``min_replicas``."""
    num_cpus: float = Field(0.25, ge=0, le=1000)
    """CPUs that Ray counts for each; how many threads it uses is ``threads``."""
    num_gpus: float = Field(0.0, ge=0, le=8)
    """GPUs for each; a fraction shares one with others."""
    max_ongoing_requests: int = Field(256, ge=1, le=100_000)
    """Calls that one replica holds, those that wait for their batch included."""
    max_queued_requests: int = Field(256, ge=0, le=100_000)
    """Calls that wait where all replicas are full; the next one is answered 503."""

    @model_validator(mode="before")
    @classmethod
    def _old_words(cls, values: Any) -> Any:
        return in_new_words(values, "replicas", "most", "cpus", "gpus", "ongoing", "queued")

    @model_validator(mode="after")
    def _ordered(self) -> "DeploymentSettings":
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas must not be smaller than min_replicas")
        return self


class ServeSettings(Settings):
    """The whole application."""

    model: str = "models:/legan@champion"
    """A folder, a run, or an MLflow URI; looked up once, when the application is built."""
    matcher: str | None = None
    """A run or folder of `legan train identity`; None: no similarities."""
    tokens_env: str | None = None
    """Environment variable of the ingress with the bearer tokens, separated by commas; None: open to all who reach the port."""
    cors_origins: tuple[str, ...] = ()
    """Origins, such as https://app.example.org, whose pages may call the API from a browser; ``*``: all; none by default."""
    access_log: str | None = None
    """File that each ingress appends a JSON line to for every request."""
    limits: Limits = Limits()
    max_batch_size: int = Field(16, ge=CHUNK, le=4096)
    """Images that the generator and Q take at once; fewer than come at a time, so that others are read and answered meanwhile."""
    batch_wait_timeout_s: float = Field(0.002, ge=0, le=1)
    """How long a batch that is not full waits for more."""
    threads: int = Field(1, ge=1, le=256)
    """Threads of torch and OpenCV in each replica."""
    ingress: DeploymentSettings = DeploymentSettings()
    aligner: DeploymentSettings = DeploymentSettings()
    generator: DeploymentSettings = DeploymentSettings()
    quality: DeploymentSettings = DeploymentSettings()
    matching: DeploymentSettings = DeploymentSettings()

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_origin(value) for value in values)

    @model_validator(mode="before")
    @classmethod
    def _old_words(cls, values: Any) -> Any:
        waiting = values.get("batch_wait_ms") if isinstance(values, Mapping) else None
        if isinstance(waiting, int | float):
            values = {**values, "batch_wait_ms": waiting / 1000}
        return in_new_words(values, "batch_size", "batch_wait_ms")

    def deployments(self) -> dict[str, DeploymentSettings]:
        """Options of each deployment that there is, by its name."""
        found = {"Ingress": self.ingress, "Aligner": self.aligner, "Generator": self.generator, "Quality": self.quality}
        return found if self.matcher is None else {**found, "Matcher": self.matching}
