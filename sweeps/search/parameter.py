"""One parameter of a search space: what a setting may be."""

import math
from decimal import Decimal
from typing import Annotated, Any

import optuna
from pydantic import Field, PlainValidator, model_validator

from legan.platform.settings import Settings


def as_value(value: Any) -> Any:
    """A number, a word or a truth value; 1e-4, which YAML 1.1 reads as text, is the number it looks like."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise ValueError("a value is a finite number, a word, true or false")
    return value


Number = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
Value = Annotated[bool | int | float | str, PlainValidator(as_value)]
"""What a setting may be."""


class Parameter(Settings):
    """What one setting may be: numbers of a range, both ends included, or one of some choices."""

    float: tuple[Number, Number] | None = None
    """Lowest and highest."""
    int: tuple[Whole, Whole] | None = None
    """Lowest and highest."""
    choices: tuple[Value, ...] | None = None
    """Two or more."""
    log: bool = False
    """Even in the logarithm."""
    step: Annotated[Number | None, Field(gt=0)] = None
    """Only every ``step`` from the lowest on."""
    when: dict[str, tuple[Value, ...]] = Field({})
    """Only where each of these parameters has one of these values; elsewhere the setting is what it is without the search."""

    @model_validator(mode="after")
    def _one_range(self) -> "Parameter":
        given = [name for name in ("float", "int", "choices") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of float, int and choices ({' and '.join(given) or 'none'} is given)")
        if self.choices is not None:
            self._check_choices(self.choices)
        else:
            self._check_range(*self.ends)
        return self

    @property
    def ends(self) -> tuple[Number, Number]:
        """Lowest and highest of a range."""
        low, high = self.float or self.int or (math.nan, math.nan)
        return low, high

    def _check_choices(self, choices: tuple[Value, ...]) -> None:
        if len(set(choices)) < max(2, len(choices)):
            raise ValueError("choices have to be two or more that differ; a single value belongs into --set")
        if self.log or self.step is not None:
            raise ValueError("log and step are of ranges; choices have neither")

    def _check_range(self, low: Number, high: Number) -> None:
        if low > high:
            raise ValueError(f"the range is inverted: {low:g} is above {high:g}")
        if low == high:
            raise ValueError(f"there is nothing to choose between {low:g} and {high:g}; a single value belongs into --set")
        if self.log and low <= 0:
            raise ValueError(f"a range in the logarithm has to be above 0, {low:g} is not; leave log out or raise it")
        if self.log and self.step is not None:
            raise ValueError("a range is either in steps or in the logarithm; leave one of step and log out")
        if self.step is None:
            return
        if self.int is not None and self.step != round(self.step):
            raise ValueError(f"step {self.step:g} of whole numbers has to be a whole number")
        width, step = exact(high) - exact(low), exact(self.step)
        if width % step:
            reached = exact(low) + max(Decimal(1), width // step) * step
            raise ValueError(f"{high:g} is not reached from {low:g} in steps of {self.step:g}; make it {reached.normalize():f}")

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same for Optuna."""
        if self.choices is not None:
            return optuna.distributions.CategoricalDistribution(self.choices)
        low, high = self.ends
        if self.int is not None:
            return optuna.distributions.IntDistribution(round(low), round(high), log=self.log, step=round(self.step or 1))
        return optuna.distributions.FloatDistribution(low, high, log=self.log, step=self.step)

    def contains(self, value: Any) -> bool:
        """Whether it may be this value."""
        if self.choices is not None:
            return any(same(value, choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.ends
        steps = (value - low) / (self.step or 1)
        on_grid = (self.int is None and self.step is None) or abs(steps - round(steps)) < 1e-6
        return low <= value <= high and on_grid

    def examples(self) -> list[Value]:
        """Values to check a setting with, the ends first and last: all choices, all of a grid up to 100, else one between."""
        if self.choices is not None:
            return list(self.choices)
        low, high = self.ends
        step = self.step or (1 if self.int is not None else None)
        if step is not None and (high - low) / step < 100:
            values = [float(exact(low) + i * exact(step)) for i in range(round((high - low) / step) + 1)]
        else:
            values = [low, low + (high - low) * 0.381966 if step is None else low + step, high]
        return [round(value) for value in values] if self.int is not None else list(values)


def exact(value: float) -> Decimal:
    """The number as it is written: 0.3 is three steps of 0.1."""
    return Decimal(repr(value))


def same(a: Any, b: Any) -> bool:
    """Equal and both or neither a truth value: in Python 1 equals True."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
