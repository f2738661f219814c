"""Pictures of what a class looks like: a rendered face, where the class is one of the renderer's."""

from functools import lru_cache
from typing import Literal

from legan.serve.pictures import encoded

SIZE = 128
PERSON = 7
NEUTRAL, EVEN = "neutral", "ambient"


@lru_cache(maxsize=256)
def example(kind: Literal["expression", "lighting"], name: str) -> bytes | None:
    """A small WebP of an expression in even light, or of a neutral face under a lighting; None for other classes."""
    from legan.platform.data.rendered.render import (  # here, because it imports scipy: seconds
        EXPRESSIONS,
        LIGHTINGS,
        render_faces,
    )

    expression, lighting = (name, EVEN) if kind == "expression" else (NEUTRAL, name)
    if expression not in EXPRESSIONS or lighting not in LIGHTINGS:
        return None
    drawn = render_faces(PERSON, size=SIZE, seed=0, expressions=(expression,), lightings=(lighting,))
    return encoded(drawn.images[0, 0], "webp", quickly=True)
