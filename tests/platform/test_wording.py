"""What is wrong with a value is said in our words, whatever pydantic calls it."""

from pathlib import Path
from typing import Any, Literal, get_origin

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from legan.platform.config import KINDS, apply_overrides, check_settings, read_section
from legan.platform.wording import sentence


class Everything(BaseModel):
    """A field of every type that settings and parameters have."""

    model_config = ConfigDict(allow_inf_nan=False)

    whole: int = Field(1, ge=1, le=10**6)
    below: int = Field(0, ge=0, lt=2**63)
    number: float = Field(0.5, gt=0, lt=1)
    yes: bool = True
    choice: Literal["png", "jpeg"] = "png"
    text: str = Field("abc", min_length=3, max_length=5)
    several: list[int] = Field([1], min_length=1, max_length=2)
    pair: tuple[int, ...] = ()
    path: Path = Path()
    table: dict[str, int] = {}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("whole", "abc", "'abc' is no whole number"),
        ("whole", 1.5, "1.5 is no whole number"),
        ("whole", None, "None is no whole number"),
        ("whole", 0, "0 is less than 1"),
        ("whole", "0", "0 is less than 1"),
        ("whole", 10**7, "10000000 is more than 1000000"),
        ("below", 2**63, f"{2**63} is not less than {2**63}"),
        ("number", "a", "'a' is no number"),
        ("number", None, "None is no number"),
        ("number", float("inf"), "inf is no finite number"),
        ("number", 0, "0 is not more than 0"),
        ("number", 1, "1 is not less than 1"),
        ("yes", "perhaps", "'perhaps' is neither true nor false"),
        ("yes", [], "[] is neither true nor false"),
        ("choice", "gif", "'gif' is unknown; take 'png' or 'jpeg'"),
        ("text", 3, "3 is no text"),
        ("text", "a", "'a' is shorter than 3 characters"),
        ("text", "a" * 100, "it is longer than 5 characters"),
        ("several", [], "it has 0 values, not at least 1"),
        ("several", [1, 2, 3], "it has 3 values, not at most 2"),
        ("several", 3, "3 is no list"),
        ("pair", 3, "3 is no list"),
        ("path", 3, "3 is no path"),
        ("table", 3, "3 is a single value; write KEY: VALUE below it"),
    ],
)
def test_every_type_has_a_sentence_of_ours(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({field: value})
    assert [sentence(dict(detail)) for detail in caught.value.errors()] == [said]


def test_a_long_value_is_cut_and_a_password_left_out() -> None:
    assert len(sentence({"type": "int_parsing", "input": "a" * 1000})) < 100
    assert sentence({"type": "int_parsing", "input": "http://me:secret@host"}) == "'http://host' is no whole number"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["abc", "-1", "1e400", "[1, 2]", "{a: 1}", "null", "1.5"])
def test_no_setting_answers_in_words_of_pydantic(kind: str, value: str) -> None:
    given = read_section("paper", kind) | {"identity": "T", "quality": "Q"}
    for name, field in KINDS[kind].model_fields.items():
        values, _ = apply_overrides(given, [f"{name}={value}"])
        _, problems = check_settings(KINDS[kind], values)
        said = " ".join(each.message for each in problems).lower()
        assert "input should" not in said, name
        assert "unable to" not in said, name
        numbered = {f"{name}.0", f"{name}.1"} if get_origin(field.annotation) is tuple else set()
        places = {each.place for each in problems if each.place.startswith(f"{name}.")}
        assert not places - {f"{name}.a", "start.source"} - numbered
