"""Whether a generator answers to what it is given: another output for another target, and for another face.

A generator that has collapsed does not: it copies its input, or shows everybody the same face. Its losses can look well then,
and so can the distance to a target.

Shapes: S faces, K targets, C channels, H×W pixels. Images are float in [-1, 1].
"""

from typing import NamedTuple

import torch
from torch import Tensor

from legan.models.attributes import AttributeSchema
from legan.models.translator import Translator

TARGETS = 4
GREY_LEVELS = 1.0
SHARE = 0.1
"""Less change with the target, or of what real faces differ by, is none (docs/models.md has what was measured)."""


class Response(NamedTuple):
    """How far outputs change with the ``expression`` and with the ``lighting`` asked for, and with the ``face`` that is shown.

    The first two are in grey levels of 255; the last is a share of how far the real faces differ. All are roots of the mean
    variance of a pixel. None where there are not two classes, or people, to compare.
    """

    expression: float | None
    lighting: float | None
    face: float | None

    @property
    def collapse(self) -> str | None:
        """What outputs do not depend on, as a clause with the numbers; None where they answer to everything."""
        found = [
            f"the {kind} asked for (it changes by {value:.2g} of 255 grey levels)"
            for kind, value in (("expression", self.expression), ("lighting", self.lighting))
            if value is not None and value < GREY_LEVELS
        ]
        if self.face is not None and self.face < SHARE:
            found.append(f"the face that it is shown (outputs differ by {self.face:.1%} of what the faces differ by)")
        return f"its output does not depend on {' or on '.join(found)}" if found else None


def response(x: Tensor, expression: Tensor, lighting: Tensor) -> Response:
    """How outputs answer: S×K×C×H×W for K expressions, and for K lightings, of the faces ``x``, S×C×H×W.

    >>> x = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)  # a black and a white face
    >>> copied = x[:, None].expand(2, 3, 1, 1, 1)
    >>> response(x, copied, copied[:, :1])
    Response(expression=0.0, lighting=None, face=1.0)
    """
    real, of_face = _deviation(x, 0), _deviation(torch.cat([expression, lighting], dim=1), 0)
    of_expression, of_lighting = (
        255 / 2 * _deviation(images, 1) if images.shape[1] > 1 else None for images in (expression, lighting)
    )
    return Response(of_expression, of_lighting, of_face / real if real > 0 else None)


def response_to(G: Translator, schema: AttributeSchema, x: Tensor) -> Response:
    """How G answers for the faces ``x``, S×C×H×W, when it is asked for up to ``TARGETS`` classes of each kind."""

    def outputs(targets: list[tuple[int, int]]) -> Tensor:
        labels = [schema.encode(torch.full((len(x),), e), torch.full((len(x),), light)) for e, light in targets]
        return torch.stack([G(x, f.to(x.device)).image.float() for f in labels], dim=1)

    with torch.inference_mode():
        expression = outputs([(e, 0) for e in _some(len(schema.expressions))])
        lighting = outputs([(0, light) for light in _some(len(schema.lightings))])
    return response(x, expression, lighting)


def _some(classes: int) -> list[int]:
    """At most ``TARGETS`` of them, evenly spread."""
    return torch.linspace(0, classes - 1, min(classes, TARGETS)).long().tolist()


def _deviation(images: Tensor, over: int) -> float:
    return float(images.double().var(dim=over, correction=0).mean().sqrt())
