import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legan.platform.errors import ConfigError, LeganError
from legan.sweeps.search.files import read_space, space_names

BAD = """\
objectives: {val/fidd: maximize, val/quality: up}
trails: 3
pruning: asha
storage: postgresql://me:secret@host/db
points: [paper, {loss.q: 4}]
parameters:
  loss.q: {float: [9, 12]}
  loss.lambda_4:
    choices: [0, 1]
    lo: 3
  loss.lambda_2: {float: [10, 1]}
  loss.lamda_1: {float: [1, 100], when: {nothing: [1]}}
  loss.q:
    float: [9, 12]
"""


def test_objectives_on_test_people_are_read_as_those_on_the_validation_split(tmp_path):
    (tmp_path / "old.yaml").write_text("objectives: {eval/quality: maximize}\nparameters: {loss.q: {float: [5, 10]}}\n")
    assert dict(read_space(tmp_path / "old.yaml").objectives) == {"val/quality": "maximize"}


def test_all_problems_come_at_once_with_their_lines(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as error:
        read_space(path)

    problems = error.value.problems
    assert {problem.file for problem in problems} == {str(path)}
    for line, place, cause in (
        (7, "parameters.loss.q", "this is there again in line 13"),
        (1, "objectives.val/quality", "'up' is unknown; take 'minimize' or 'maximize'"),
        (1, "objectives.val/fidd", "evaluations have no such metric"),
        (2, "trails", "there is no such setting; known here: asha, objectives, parameters"),
        (3, "pruning", "asha compares trials by one number, and there are 2 objectives"),
        (4, "storage", "a password does not belong into a file"),
        (5, "points.1.loss.q", "4 is outside the space"),
        (5, "points", "the paper's loss.q is 8.0, outside the space"),
        (7, "parameters.loss.q", "12.0 is more than 10"),
        (10, "parameters.loss.lambda_4.lo", "there is no such setting; known here: choices, float"),
        (11, "parameters.loss.lambda_2", "the range is inverted: 10 is above 1"),
        (12, "parameters.loss.lamda_1", "there is no such setting; known here: loss.lambda_adv"),
        (12, "parameters.loss.lamda_1.when.nothing", "this is not searched; searched are loss.q"),
    ):
        found = [problem.message for problem in problems if (problem.line, problem.place) == (line, place)]
        assert any(message.startswith(cause) for message in found), (line, place, cause, problems)
    assert len(problems) == 13
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("name", space_names())
def test_shipped_spaces_are_valid(name):
    search = read_space(name)
    assert search.points == ("paper",)
    assert len(search.parameters) > 2


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "it is no search space, which names objectives and parameters"),
        ("[1]", "it is no search space"),
        ("a: {", "is not valid YAML"),
        ("? [a]\n: 1", "is not valid YAML"),
        ("objectives: {val/quality: maximize}", "parameters: it is missing"),
        ("parameters: 3", "parameters: 3 is a single value; write KEY: VALUE below it"),
        ("points: 3", "points: 3 is no list"),
        ("points: [paper]\nparameters: {1: 2}", "parameters.1: 2 is a single value"),
        ("objectives: {3: maximize}", "objectives.3: evaluations have no such metric"),
        ("a: &a {b: *a}", "is not valid YAML: it is nested too deeply, or holds itself through an alias"),
        ("a: &a [*a]", "is not valid YAML: it is nested too deeply, or holds itself through an alias"),
        ("objectives: {}", "line 1: objectives: nothing is measured; name at least one metric"),
        ("parameters: {}", "line 1: parameters: nothing is searched; name at least one setting"),
        ("storage: sqlite:///x.db", "storage: a study in SQLite is kept in a file that every job finds; give its whole path"),
        ("storage: 'sqlite://'", "storage: a study in SQLite"),
        ("storage: postgresql://h:abc/d", "storage: write it as sqlite:////folder/file.db or postgresql://"),
        ("parameters: {generator.width: {int: [10, 35], step: 10}}", "35 is not reached from 10 in steps of 10; make it 30"),
    ],
)
def test_what_is_no_space_is_said_in_a_sentence(tmp_path, text, cause):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_space(path)
    assert cause in str(error.value)


def test_unknown_names_list_the_spaces_and_other_kinds_have_other_settings():
    with pytest.raises(ConfigError, match="there is no search space or file 'lagan'; spaces: legan"):
        read_space("lagan")
    with pytest.raises(ConfigError, match=r"parameters\.loss\.lambda_1: there is no such setting; known here: loss\.lambda_r1"):
        read_space("legan", kind="stargan_v2")


KEYS = st.sampled_from(["objectives", "parameters", "points", "pruning", "loss.q", "float", "when", "val/fid", "x"])


@settings(deadline=None)
@given(
    st.recursive(
        st.sampled_from(["1", "paper", "asha", "minimize", "null", "[1, 2]", "~", "'"]),
        lambda inner: st.dictionaries(KEYS, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    )
)
def test_any_file_gives_a_search_or_sentences(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    with contextlib.suppress(LeganError):
        assert read_space(path).parameters
