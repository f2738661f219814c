from pathlib import Path

import pandas as pd
import pytest

from legan.models.attributes import AttributeSchema
from legan.platform.data.sources.source import SourceFaces
from legan.platform.data.sources.taken import take_expressions
from legan.platform.errors import ConfigError

KNOWN = ("neutral", "happy", "a=b", "contempt")


@pytest.fixture
def faces(tmp_path: Path) -> SourceFaces:
    shown = ["happy", "neutral", "a=b", "happy"]
    records = pd.DataFrame({"path": list("wxyz"), "subject": list("wxyz"), "expression": shown, "lighting": "any"})
    return SourceFaces("set", tmp_path, AttributeSchema(KNOWN, ("any",)), records)


def test_all_are_taken_where_none_are_named(faces: SourceFaces) -> None:
    assert take_expressions(faces, []) is faces


def test_those_named_are_taken_and_called_as_asked(faces: SourceFaces) -> None:
    found = take_expressions(faces, ["happy=smile", "neutral"])
    assert found.schema.expressions == ("neutral", "smile")
    assert found.records[["path", "expression"]].to_numpy().tolist() == [["w", "smile"], ["x", "neutral"], ["z", "smile"]]
    assert [(path, why.kind) for path, why in found.unusable] == [("y", "other_class")]
    assert found.info["notes"] == ["taken: happy as smile, neutral; 1 photograph left out"]
    assert take_expressions(faces, ["a=b", "neutral"]).schema.expressions == ("neutral", "a=b")
    assert take_expressions(faces, ["a=b=c"]).schema.expressions == ("c",)


def test_all_that_is_wrong_is_told_at_once(faces: SourceFaces) -> None:
    with pytest.raises(ConfigError) as caught:
        take_expressions(faces, ["smile", "happy", "happy=smile", "contempt", "neutral=happy", "a=b="])
    known = "write it as NAME or NAME=OTHER; there are: neutral, happy, a=b, contempt"
    assert [str(problem) for problem in caught.value.problems] == [
        f"--expression smile: {known}",
        "--expression happy=smile: happy is named already; name each expression once",
        f"--expression contempt: {faces.root} has no photograph of contempt; leave it out",
        "--expression neutral=happy: another expression is called happy already; give another name",
        f"--expression a=b=: {known}",
    ]
