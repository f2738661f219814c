"""Attribute schema: which expressions and lightings a data set has, and how they become label vectors.

Shapes: B batch, E expressions, L lightings, A = E + L attributes. PyTorch is imported where a tensor is made, because much that
knows a schema has no other use for it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class AttributeSchema:
    """Class names of a data set; ``f = [expression one-hot | lighting one-hot]`` (paper, section 4.1).

    ``flip`` maps each lighting to the one it becomes when the image is mirrored; an empty map means that
    images of this data set must not be mirrored, because nobody said what mirroring does to the light.
    Left and right are always the viewer's: ``left`` is light from the left edge of the image.

    >>> import torch
    >>> schema = AttributeSchema(("neutral", "smile"), ("left", "right"), {"left": "right", "right": "left"})
    >>> schema.encode(torch.tensor([1]), torch.tensor([0]))  # a smile, lit from the left
    tensor([[0., 1., 1., 0.]])
    >>> schema.expression_index("grin")
    Traceback (most recent call last):
    ValueError: unknown expression 'grin'; this model knows: neutral, smile
    """

    expressions: tuple[str, ...]
    lightings: tuple[str, ...]
    flip: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, names in (("expression", self.expressions), ("lighting", self.lightings)):
            if not names:
                raise ValueError(f"a schema needs at least one {kind}")
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} names occur twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
        if self.flip:
            if set(self.flip) != set(self.lightings):
                raise ValueError("the flip map has to name every lighting of the schema, or be empty")
            broken = [name for name, mirrored in self.flip.items() if self.flip.get(mirrored) != name]
            if broken:
                raise ValueError(f"the flip map is not its own inverse at: {', '.join(broken)}")

    @property
    def size(self) -> int:
        """A, the length of a label vector."""
        return len(self.expressions) + len(self.lightings)

    def expression_index(self, name: str) -> int:
        """Index of an expression; ValueError names the known ones."""
        return _index("expression", name, self.expressions)

    def lighting_index(self, name: str) -> int:
        """Index of a lighting; ValueError names the known ones."""
        return _index("lighting", name, self.lightings)

    def encode(self, expression: "Tensor", lighting: "Tensor") -> "Tensor":
        """Label vectors f, float32 B×A, from class indices, int64 B each."""
        import torch
        from torch.nn import functional as F

        both = [F.one_hot(expression, len(self.expressions)), F.one_hot(lighting, len(self.lightings))]
        return torch.cat(both, dim=1).to(torch.float32)

    def flip_indices(self) -> "Tensor | None":
        """Int64 L: lighting index after mirroring, or None where mirroring is off."""
        if not self.flip:
            return None
        import torch

        return torch.tensor([self.lightings.index(self.flip[name]) for name in self.lightings])

    def without(self, expressions: Collection[str], lightings: Collection[str]) -> "AttributeSchema":
        """The same classes without these; mirroring is off where it would give a lighting that is left out.

        ValueError where no expression or no lighting remains.
        """
        kept = tuple(name for name in self.lightings if name not in lightings)
        flip = {name: mirrored for name, mirrored in self.flip.items() if name in kept}
        closed = all(mirrored in kept for mirrored in flip.values())
        return AttributeSchema(tuple(name for name in self.expressions if name not in expressions), kept, flip if closed else {})

    def named(self, expression: str, lighting: str) -> str:
        """A combination by name; an axis of one class is no choice, so that its name says nothing and is left out.

        >>> AttributeSchema(("neutral", "smile"), ("any",)).named("smile", "any")
        'smile'
        """
        axes = ((expression, self.expressions), (lighting, self.lightings))
        return ", ".join(name for name, classes in axes if len(classes) > 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"expressions": list(self.expressions), "lightings": list(self.lightings), "flip": dict(self.flip)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AttributeSchema":
        """Inverse of ``to_dict``."""
        return cls(tuple(values["expressions"]), tuple(values["lightings"]), dict(values.get("flip", {})))


def sample_targets(
    schema: AttributeSchema,
    expression: "Tensor",
    lighting: "Tensor",
    generator: "torch.Generator",
    how: Literal["uniform", "permute"] = "uniform",
) -> "tuple[Tensor, Tensor]":
    """Target classes for a batch, int64 B each, on the CPU.

    ``uniform`` draws expression and lighting uniformly and independently; ``permute`` shuffles the batch's own
    labels, as StarGAN does, and so inherits the data's skew.
    """
    import torch

    batch = expression.shape[0]
    if how == "permute":
        order = torch.randperm(batch, generator=generator)
        return expression[order], lighting[order]
    return (
        torch.randint(len(schema.expressions), (batch,), generator=generator),
        torch.randint(len(schema.lightings), (batch,), generator=generator),
    )


def _index(kind: str, name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise ValueError(f"unknown {kind} {name!r}; this model knows: {', '.join(names)}")
    return names.index(name)
