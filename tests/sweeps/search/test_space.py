import json
import math

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from legan.platform.config import KINDS, check_settings, flatten
from legan.platform.errors import Problem
from legan.platform.evaluation.measures.masks import AXES
from legan.platform.evaluation.scoring import image_metrics
from legan.sweeps.search.checks import METRICS, kind_problems, paper_section, paper_values, with_values
from legan.sweeps.search.parameter import Parameter
from legan.sweeps.search.space import SearchSettings, define_by_run, starting_points
from legan.sweeps.sweep import SweepSettings

GOAL = {"val/quality": "maximize"}
WORDS = st.sampled_from(["bilinear", "valid", "x", "", "uniform"])


def search_of(parameters, **others):
    return SearchSettings(objectives=GOAL, parameters=parameters, **{"points": [], **others})


@st.composite
def ranges(draw):
    kind = draw(st.sampled_from(["float", "int", "choices"]))
    if kind == "choices":
        values = draw(st.lists(WORDS | st.integers(-5, 5) | st.floats(-3, 3, allow_subnormal=False), min_size=2, max_size=5))
        values = list(dict.fromkeys(values))
        return {"choices": values} if len(values) > 1 else {"choices": [1, 2]}
    low = draw(st.integers(-50, 50) if kind == "int" else st.integers(-5000, 5000).map(lambda n: n / 100))
    step = draw(st.none() | (st.integers(1, 7) if kind == "int" else st.sampled_from([0.1, 0.25, 3.0])))
    high = round(low + draw(st.integers(1, 40)) * (step or 1), 2)
    if step is None and low > 0 and draw(st.booleans()):
        return {kind: [low, high], "log": True}
    return {kind: [low, high]} | ({} if step is None else {"step": step})


@st.composite
def spaces(draw):
    parameters = {}
    for index in range(draw(st.integers(1, 5))):
        parameter = draw(ranges())
        for other, before in parameters.items():
            if "float" not in before and draw(st.integers(0, 3)) == 0:
                values = before.get("choices") or [before["int"][0], before["int"][1]]
                parameter.setdefault("when", {})[other] = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        parameters[f"s.p{index}"] = parameter
    return parameters


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def inside(value, parameter):
    if "choices" in parameter:
        return value in parameter["choices"]
    low, high = parameter.get("float") or parameter["int"]
    steps = (value - low) / parameter.get("step", 1)
    whole = "int" not in parameter or isinstance(value, int)
    gridded = "float" in parameter and "step" not in parameter
    return low <= value <= high + 1e-9 and whole and (gridded or math.isclose(steps, round(steps), abs_tol=1e-6))


@settings(deadline=None, max_examples=60)
@given(spaces(), st.integers(0, 2**31 - 1))
def test_every_suggestion_is_inside_the_space_and_conditions_hold(parameters, seed):
    search = search_of(parameters)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(5):
        trial = study.ask()
        chosen = define_by_run(search)(trial)
        assert chosen == trial.params
        for name, parameter in parameters.items():
            wanted = all(other in chosen and chosen[other] in values for other, values in parameter.get("when", {}).items())
            assert (name in chosen) == wanted
            assert name not in chosen or inside(chosen[name], parameter)
            assert name not in chosen or search.parameters[name].contains(chosen[name])
            assert trial.distributions.get(name) in (None, search.parameters[name].distribution())


@settings(deadline=None, max_examples=60)
@given(spaces())
def test_a_space_survives_yaml_and_its_examples_are_in_it(parameters):
    search = search_of(parameters)
    assert SearchSettings.model_validate(yaml.safe_load(yaml.safe_dump(search.model_dump(mode="json")))) == search
    assert SearchSettings.model_validate(json.loads(search.model_dump_json())) == search
    for name, parameter in search.parameters.items():
        assert all(inside(value, parameters[name]) for value in parameter.examples())


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["float", "int", "choices", "log", "when"]), inner)
        ),
    )
)
def test_any_value_as_parameter_is_a_parameter_or_a_validation_error(value):
    try:
        parameter = Parameter.model_validate(value)
    except ValidationError:
        return
    assert parameter.examples()
    parameter.distribution()


@pytest.mark.parametrize(
    ("parameter", "cause"),
    [
        ({}, "give one of float, int and choices"),
        ({"float": [1, 2], "int": [1, 2]}, "give one of float, int and choices (float and int is given)"),
        ({"float": [2, 1]}, "the range is inverted: 2 is above 1"),
        ({"int": [3, 3]}, "nothing to choose"),
        ({"int": [1, 2.5]}, "valid integer"),
        ({"float": [0, math.inf]}, "finite number"),
        ({"float": [1, "a"]}, "valid number"),
        ({"float": [1]}, "Field required"),
        ({"float": [0, 1], "log": True}, "has to be above 0"),
        ({"float": [1, 2], "log": True, "step": 0.5}, "leave one of step and log out"),
        ({"float": [0, 1], "step": 0.3}, "1 is not reached from 0 in steps of 0.3; make it 0.9"),
        ({"float": [0, 1], "step": 0}, "greater than 0"),
        ({"int": [0, 10], "step": 2.5}, "has to be a whole number"),
        ({"choices": []}, "two or more that differ"),
        ({"choices": ["a"]}, "two or more that differ"),
        ({"choices": [1, 1.0]}, "two or more that differ"),
        ({"choices": [1, [2]]}, "a value is a finite number, a word, true or false"),
        ({"choices": [1, 2], "log": True}, "choices have neither"),
        ({"choices": [1, 2], "steps": 1}, "Extra inputs"),
    ],
)
def test_faulty_parameters_are_refused(parameter, cause):
    with pytest.raises(ValidationError) as error:
        Parameter.model_validate(parameter)
    assert cause in str(error.value)


def test_small_numbers_in_scientific_notation_are_numbers():
    values = yaml.safe_load("{choices: [1e-4, 1e-3, word], when: {a: [1e-7]}}")
    assert Parameter.model_validate(values).choices == (1e-4, 1e-3, "word")
    assert Parameter.model_validate(values).when == {"a": (1e-7,)}
    assert Parameter.model_validate(yaml.safe_load("{float: [1e-8, 1e-4]}")).float == (1e-8, 1e-4)


CHOICES = {"choices": [0, 1]}


@pytest.mark.parametrize(
    ("parameters", "place", "cause"),
    [
        ({"a": {"float": [0, 1], "when": {"b": [1]}}}, "parameters.a.when.b", "this is not searched; searched are a"),
        ({"a": CHOICES | {"when": {"b": [1]}}, "b": CHOICES}, "parameters.a.when.b", "b has to come before a"),
        ({"a": CHOICES | {"when": {"a": [1]}}}, "parameters.a.when.a", "it waits for itself"),
        (
            {"a": CHOICES | {"when": {"c": [1]}}, "b": CHOICES | {"when": {"a": [1]}}, "c": CHOICES | {"when": {"b": [1]}}},
            "parameters.b.when.a",
            "b and a wait for each other",
        ),
        ({"a": CHOICES, "b": CHOICES | {"when": {"a": [0, 2]}}}, "parameters.b.when.a", "a is never 2"),
        ({"a": {"int": [2, 8], "step": 2}, "b": CHOICES | {"when": {"a": [5]}}}, "parameters.b.when.a", "a is never 5"),
        ({"a": CHOICES, "b": CHOICES | {"when": {"a": []}}}, "parameters.b.when.a", "name the values of a"),
        (
            {"a": {"float": [0, 1]}, "b": CHOICES | {"when": {"a": [0.5]}}},
            "parameters.b.when.a",
            "conditions are on choices and whole numbers",
        ),
        ({"a": CHOICES, "b": CHOICES | {"when": {"a": [True]}}}, "parameters.b.when.a", "a is never True"),
    ],
)
def test_conditions_that_can_never_hold_are_refused(parameters, place, cause):
    problems = check_settings(SearchSettings, {"objectives": GOAL, "parameters": parameters, "points": []})[1]
    assert any(problem.place == place and problem.message.startswith(cause) for problem in problems), problems


@pytest.mark.parametrize(
    ("others", "cause"),
    [
        ({"objectives": {"val/fidd": "minimize"}}, "evaluations have no such metric; known: val/fid"),
        ({"objectives": {}}, "nothing is measured; name at least one metric"),
        ({"parameters": {}}, "nothing is searched; name at least one setting"),
        ({"objectives": {"val/quality": "up"}}, "'minimize' or 'maximize'"),
        ({"objectives": {"val/quality": "maximize", "val/fid": "minimize"}, "pruning": "asha"}, "there are 2 objectives"),
        ({"points": [{"a": 2}]}, "2 is outside the space"),
        ({"points": [{"c": 2}]}, "this is not searched; searched are a"),
        ({"points": ["papr"]}, "a point is `paper` or a mapping"),
        ({"storage": "mysql://host/db"}, "SQLite"),
        ({"storage": "what"}, "write it as"),
        ({"storage": "postgresql://me:secret@host/db"}, "set PGPASSWORD"),
        ({"storage": "postgresql://me@host/db?password=secret"}, "set PGPASSWORD"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"sampler": "cmaes"}, "'tpe', 'nsga2', 'random' or 'gp'"),
        ({"pruning": "asha", "asha": {"reduction": 1}}, "greater than 1"),
    ],
)
def test_faulty_searches_are_refused(others, cause):
    with pytest.raises(ValidationError) as error:
        SearchSettings(**{"objectives": GOAL, "parameters": {"a": CHOICES}, **others})
    assert cause in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "cause"),
    [
        ({"loss.lamda_1": {"float": [1, 2]}}, "there is no such setting; known here: loss.lambda_adv"),
        ({"generator": CHOICES}, "there is no such setting; known here: data"),
        ({"loss.q": {"float": [5, 12]}}, "12.0 is more than 10"),
        ({"generator.width": {"float": [8, 64]}}, "is no whole number"),
        (
            {"generator.upsampling": {"choices": ["bilinear", "nearest"]}},
            "'nearest' is unknown; take 'pixel_shuffle'",
        ),
        ({"seed": {"int": [0, 3]}}, "this is the sweep's own"),
        ({"data": {"choices": ["a", "b"]}}, "this is the sweep's own"),
    ],
)
def test_parameters_have_to_be_settings_of_the_kind_within_their_ranges(parameters, cause):
    values = {
        "search": {"objectives": GOAL, "points": [], "parameters": parameters},
        "data": "d",
        "classifier": "c",
        "matcher": "m",
    }
    found, problems = check_settings(SweepSettings, values)
    assert found is None
    assert problems[0].place == f"search.parameters.{next(iter(parameters))}"
    assert cause in problems[0].message


def test_asha_needs_trials_of_one_length_and_one_seed():
    values = {"data": "d", "classifier": "c", "matcher": "m", "seeds": 2}
    values["search"] = {"objectives": GOAL, "pruning": "asha", "points": [], "parameters": {"steps": {"int": [10, 20]}}}
    length, seeds = check_settings(SweepSettings, values)[1]
    assert length.place == "search.parameters.steps"
    assert length.message.startswith("asha compares trials of one length")
    assert seeds == Problem("seeds", "asha stops a trial by one training, and there are 2 of each; set seeds to 1")


@pytest.mark.parametrize("kind", ["legan", "stargan", "stargan_v2"])
def test_every_number_of_a_kind_can_be_searched(kind):
    paper = paper_values(kind)
    assert not any(isinstance(value, dict) for value in paper.values())
    parameters = {
        name: Parameter(choices=(value, value / 2))
        for name, value in paper.items()
        if isinstance(value, float) and not isinstance(value, bool) and value > 0 and name not in ("epochs", "steps")
    }
    assert len(parameters) > 5
    assert kind_problems(kind, parameters, ("paper",), "none") == []
    assert flatten(paper_section(kind)).items() <= paper.items()


def test_the_paper_is_a_point_and_has_to_be_in_the_space():
    parameters = {
        "loss.lambda_4": {"choices": [0, 0.5]},
        "loss.q": {"float": [5, 10], "when": {"loss.lambda_4": [0.5]}},
        "loss.lambda_5": {"float": [1e-8, 1e-4], "log": True},
    }
    mine = {"loss.lambda_4": 0, "loss.q": 6}
    search = search_of(parameters, points=["paper", mine, {"loss.q": 6}])
    assert starting_points(search, "legan") == [
        {"loss.lambda_4": 0.5, "loss.q": 8.0, "loss.lambda_5": 1e-7},
        {"loss.lambda_4": 0},
        {"loss.q": 6},
    ]
    narrow = {"loss.q": Parameter(float=(5, 7))}
    (problem,) = kind_problems("legan", narrow, ("paper",), "none")
    assert problem.place == "points"
    assert problem.message.startswith("the paper's loss.q is 8.0, outside the space")
    assert kind_problems("legan", narrow, (), "none") == []


def test_known_metrics_are_those_of_an_evaluation():
    network = object()
    per_image = {
        f"val/{name}"
        for to in ("target", "source")
        for name in image_metrics(to, "identity", network, network, lamps=True, detector=True, one_person_from=0.5)
    }
    of_models = {f"val/{name}" for name in AXES.values()}
    of_sets = {f"val/{name}" for name in ("fid", "kid", "fd_identity", "kd_identity", "fid_to_train", "fd_identity_to_train")}
    assert set(METRICS) == per_image | of_models | of_sets


def test_dotted_values_go_into_nested_settings():
    values = {"epochs": 3, "loss": {"q": 8}}
    assert with_values(values, {"loss.lambda_1": 2, "steps": 5}) == {"steps": 5, "loss": {"q": 8, "lambda_1": 2}}
    assert values == {"epochs": 3, "loss": {"q": 8}}
    assert set(KINDS) >= {"legan", "stargan", "stargan_v2"}


def test_unknown_keys_inside_a_sweep_are_named_with_those_that_are_known_there():
    values = {"data": "d", "classifier": "c", "matcher": "m", "other": 1}
    values["search"] = {"objectives": GOAL, "points": [], "goal": 2, "parameters": {"loss.q": {"float": [5, 10], "lo": 3}}}
    found = {problem.place: problem.message for problem in check_settings(SweepSettings, values)[1]}
    for place, known in (
        ("search.parameters.loss.q.lo", "choices, float"),
        ("search.goal", "asha, objectives"),
        ("other", "classifier, cpus"),
    ):
        assert found[place].startswith(f"there is no such setting; known here: {known}")
