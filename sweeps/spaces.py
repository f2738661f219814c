"""Search spaces: what Optuna may choose, in YAML, checked before anything starts."""

from typing import Literal

from pydantic import Field

from legan.platform.settings import Settings


class SearchSettings(Settings):
    """A search over settings."""

    objectives: dict[str, Literal["minimize", "maximize"]] = Field(min_length=1)
    """Metrics of the evaluation, with directions."""
    trials: int = Field(20, ge=1)
    """Suggestions in all, over every job that works on the study."""
