import json

import pytest
from typer.testing import CliRunner

from legan.platform.commands.data import data
from legan.platform.data.sources.about import SOURCES, UNTRIED
from legan.platform.data.sources.registry import FOLDER_SOURCES


def test_every_source_is_told_of() -> None:
    assert set(SOURCES) == {*FOLDER_SOURCES, "table"}
    assert list(SOURCES) == sorted(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_each_says_its_terms_where_its_layout_is_from_and_whether_it_was_tried(name: str) -> None:
    about = SOURCES[name]
    assert about.licence
    assert about.described
    assert about.tried
    assert "http" not in " ".join(about)


def test_the_sources_are_listed() -> None:
    said = CliRunner().invoke(data, ["sources"], catch_exceptions=False).output
    for name, about in SOURCES.items():
        rows = [line for line in said.splitlines() if line.startswith(f"{name} ")]
        assert len(rows) == 2
        assert about.tried in rows[0]
        assert about.licence in rows[1]
        assert about.described in rows[1]


def test_the_sources_are_listed_for_programs() -> None:
    listed = json.loads(CliRunner().invoke(data, ["sources", "--json"], catch_exceptions=False).output)
    by_name = {each["name"]: each for each in listed}
    assert list(by_name) == list(SOURCES)
    assert by_name["yale"]["tried"] is True
    assert by_name["yale"]["split"] is None
    assert by_name["celeba"]["expression"] == "neutral, smile"
    assert by_name["celeba"]["tried"] is (SOURCES["celeba"].tried != UNTRIED)
