"""What a rating by Q is to be read beside: who had rated what Q learnt from, and how it rates real images."""

from collections.abc import Mapping
from typing import Any, NamedTuple

WORDS = {"simulated": "simulated raters", "people": "human raters"}


class Scale(NamedTuple):
    """Q's ratings of real held-out images, and of a model's own outputs; None where nobody measured or nobody knows.

    ``raters`` are ``simulated`` or ``people``. ``mean`` and ``sd`` are of ``images`` real images, ``fake_mean`` of outputs.

    >>> Scale("simulated", 240, 6.21, 0.88, 6.9).words
    'simulated raters; real images: 6.2 ± 0.9'
    """

    raters: str | None
    images: int | None = None
    mean: float | None = None
    sd: float | None = None
    fake_mean: float | None = None

    @property
    def words(self) -> str:
        """Who had rated, and how real images are rated, in brackets behind a rating."""
        raters = WORDS.get(self.raters or "", "raters unknown")
        if self.mean is None or self.sd is None:
            return f"{raters}; no real images were rated"
        return f"{raters}; real images: {self.mean:.1f} ± {self.sd:.1f}"

    @property
    def warning(self) -> str | None:
        """Where Q rates the model's outputs above real images, to the tenth that is shown: that a rating means little."""
        if self.mean is None or self.fake_mean is None or round(self.fake_mean, 1) <= round(self.mean, 1):
            return None
        return (
            f"Q rates this model's outputs above real images ({self.fake_mean:.1f} against {self.mean:.1f} on average), "
            "so a high rating does not say that a face looks natural"
        )


def scale_of(info: Mapping[str, Any]) -> Scale:
    """The scale that a model's ``info`` tells of; of an older model it tells the raters at most."""
    told = info.get("quality")
    if isinstance(told, Mapping):
        return Scale(**{name: told.get(name) for name in Scale._fields})
    return Scale({True: "simulated", False: "people"}.get(info.get("simulated_ratings")))  # type: ignore[arg-type]
