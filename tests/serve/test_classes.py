import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.errors import Problem
from legan.serve.classes import OwnClasses, chosen_class, how_well_read, is_kept, unknown_classes, with_own

SCHEMA = AttributeSchema(("neutral", "smile"), ("left", "front"))
ONE = AttributeSchema(("neutral", "smile"), ("daylight",))
NAMED_KEEP = AttributeSchema(("keep", "smile"), ("left",))


def test_the_only_class_need_not_be_named() -> None:
    assert chosen_class(ONE, "lighting", None, keeps=False) == "daylight"
    assert chosen_class(ONE, "lighting", "noon", keeps=False) == "noon"
    problem = Problem("expression", "it is missing; this model knows neutral, smile")
    assert chosen_class(ONE, "expression", None, keeps=False) == problem
    assert chosen_class(ONE, "expression", None, keeps=True) == problem._replace(
        message="it is missing; this model knows neutral, smile; or keep the face's own"
    )


def test_keep_is_known_to_models_that_read_classes() -> None:
    assert unknown_classes(SCHEMA, ["keep", "smile"], ["keep"], keeps=True) == []
    first, second = unknown_classes(SCHEMA, ["keep", "smile"], ["keep"], keeps=False)
    assert first.message == (
        "keep needs a label predictor, which this model does not carry; name one of neutral, smile, or train the model anew"
    )
    assert (first.place, second.place) == ("expression", "lighting")
    (unknown,) = unknown_classes(SCHEMA, ["grin"], ["left"], keeps=True)
    assert str(unknown) == "expression: 'grin' is unknown; this model knows neutral, smile; or keep the face's own"


def test_a_class_that_is_called_keep_is_a_class() -> None:
    assert not is_kept(NAMED_KEEP, "expression", "keep")
    assert unknown_classes(NAMED_KEEP, ["keep"], ["left"], keeps=False) == []
    assert with_own(NAMED_KEEP, ["keep"], ["keep"], [OwnClasses("smile", "left")]) == (["keep"], ["left"])


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"predictor": {"lighting_accuracy": 0.614, "faces": 240}}, "right for 61 % of 240 validation faces"),
        (
            {"predictor": {"lighting_accuracy": 0.614, "faces": 1}, "data": {"source": "rendered"}},
            "right for 61 % of 1 validation face, source rendered",
        ),
        ({"predictor": {"expression_accuracy": 0.614, "faces": 240}}, "how often it is right was not measured"),
        ({}, "how often it is right was not measured"),
    ],
)
def test_how_well_a_model_reads_is_said(info: dict[str, object], said: str) -> None:
    assert how_well_read(info, "lighting") == said
