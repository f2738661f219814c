"""The parameters of each call: names, ranges and defaults, the same for form fields and query parameters."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from legan.platform.errors import Problem
from legan.serve.api.errors import invalid, read_problems
from legan.serve.pictures import Format

Name = Annotated[str, Field(min_length=1, max_length=200)]
AnyParameters = TypeVar("AnyParameters", bound="Parameters")


class Parameters(BaseModel):
    """Of a call with images."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        return []


class FacesParameters(Parameters):
    """POST /v1/faces takes the image alone."""


class OneFaceParameters(Parameters):
    """What all calls take that work on one face."""

    face: int = Field(0, ge=0, le=10_000)
    """Which face of the photograph: 0 is the largest."""
    aligned: bool = False
    """The image is an aligned face of the model's size; no face is looked for."""


class QualityParameters(OneFaceParameters):
    """Parameters of POST /v1/quality."""


class TranslateParameters(OneFaceParameters):
    """Parameters of POST /v1/translate."""

    expression: Name | None = Field(None, examples=["smile"])
    """Wanted expression; GET /v1/model names those that the model knows.

    keep is the one that the face shows already, as the model's label predictor reads it. Needed where there are several.
    """
    lighting: Name | None = Field(None, examples=["left"])
    """Wanted lighting, likewise; left and right are the viewer's."""
    format: Format = "png"
    """Of the pictures in the answer."""
    paste: bool = False
    """The whole photograph with the translated face in its place, instead of the aligned face."""
    masks: bool = False
    """The model's expression and lighting masks too."""

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        if self.paste and self.aligned:
            return [Problem("paste", "an aligned face has no photograph to be put back into; leave out paste or aligned")]
        return []


class AugmentParameters(OneFaceParameters):
    """Parameters of POST /v1/augment."""

    variants: Literal["random", "all", "listed"] = "random"
    """Random combinations of expression and lighting, all of them, or those given as label."""
    n: int = Field(8, ge=1, le=256)
    """How many random variants."""
    label: list[Name] = Field([], max_length=256, examples=[["smile:left"]])
    """A combination EXPRESSION:LIGHTING, repeatable, for variants=listed; keep stands for the face's own."""
    expression: list[Name] = Field([], max_length=256)
    """Restricts random and all to these expressions, or with keep to the face's own; repeatable."""
    lighting: list[Name] = Field([], max_length=256)
    """Restricts random and all to these lightings, likewise; repeatable."""
    min_quality: float | None = Field(None, ge=0, le=10)
    """Smallest rating by the model's Q that is accepted."""
    min_similarity: float | None = Field(None, ge=-1, le=1)
    """Smallest similarity of person between input and output that is accepted."""
    attempts: int = Field(3, ge=1, le=10)
    """How often a random variant below a minimum is replaced by another combination, the first draw counted."""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Of the random draws: the same seed, image and model give the same answer."""
    format: Format = "png"
    """Of the pictures in the answer."""

    def conflicts(self) -> list[Problem]:
        """What does not go together."""
        if self.variants == "listed" and not self.label:
            return [Problem("label", "variants=listed needs at least one, written EXPRESSION:LIGHTING")]
        if self.variants != "listed" and self.label:
            return [Problem("label", "only variants=listed takes labels")]
        if self.variants == "listed" and (self.expression or self.lighting):
            return [Problem("expression, lighting", "variants=listed takes label instead")]
        return []


def read_parameters(kind: type[AnyParameters], values: Mapping[str, Sequence[str]]) -> AnyParameters:
    """The parameters as they were sent, checked; ProblemError 422 names everything that is wrong."""
    repeatable = {name for name, about in kind.model_fields.items() if get_origin(about.annotation) is list}
    once = {name: found for name, found in values.items() if name not in repeatable}
    twice = [Problem(name, f"given {len(found)} times, give it once") for name, found in once.items() if len(found) > 1]
    plain: dict[str, Any] = {name: list(found) if name in repeatable else found[-1] for name, found in values.items()}

    try:
        params = kind.model_validate(plain)
    except ValidationError as error:
        raise invalid([*twice, *read_problems(error.errors())]) from error
    problems = [*twice, *params.conflicts()]
    if problems:
        raise invalid(problems)
    return params


def query_parameters(kind: type[Parameters]) -> list[dict[str, Any]]:
    """The query parameters for OpenAPI."""
    schema = kind.model_json_schema()
    needed = schema.get("required", [])
    return [
        {
            "name": name, "in": "query", "required": False, "schema": about,
            "description": about.get("description", "") + (" Needed, here or in the form." if name in needed else ""),
        }
        for name, about in schema["properties"].items()
    ]  # fmt: skip


def request_body(kind: type[Parameters], *, several: bool) -> dict[str, Any]:
    """The two kinds of body for OpenAPI."""
    schema = kind.model_json_schema()
    binary = {"type": "string", "format": "binary"}
    image = {"type": "array", "items": binary, "minItems": 1} if several else binary
    form = {
        "type": "object",
        "properties": {"image": image, **schema["properties"]},
        "required": ["image", *schema.get("required", [])],
        "additionalProperties": False,
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form, "encoding": {"image": {"contentType": "image/*"}}},
            "image/*": {"schema": binary},
        },
    }
