import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from legan.platform.config import (
    KINDS,
    PRESETS,
    apply_overrides,
    check_settings,
    flatten,
    given_twice,
    preset_names,
    read_section,
    to_yaml,
)
from legan.platform.errors import ConfigError, Problem
from legan.platform.rival_settings import StarGanV2Settings
from legan.platform.settings import ClassifierSettings, LeganSettings, QualitySettings

# Section 5 and Tables 6-10, as printed.
SECTION_5 = {
    "batch_size": 10,
    "epochs": 100,
    "critic_steps": 5,
    "adam.learning_rate": 1e-4,
    "adam.beta1": 0.5,
    "adam.beta2": 0.999,
    "loss.lambda_gp": 10,
    "loss.lambda_1": 20,
    "loss.lambda_2": 10,
    "loss.lambda_3": 10,
    "loss.lambda_4": 0.5,
    "loss.lambda_5": 1e-7,
    "loss.q": 8,
    "generator.width": 64,
    "generator.blocks": 6,
    "generator.upsampling": "pixel_shuffle",
    "discriminator.layers": 6,
}


def test_preset_paper_holds_every_number_of_section_5():
    values = read_section("paper", "legan") | {"identity": "t", "quality": "q"}
    settings, problems = check_settings(LeganSettings, values)
    assert settings is not None, problems
    flat = flatten(settings.model_dump())
    assert {key: flat[key] for key in SECTION_5} == SECTION_5


SECTIONS = [(name, kind) for name in preset_names() for kind in yaml.safe_load((PRESETS / f"{name}.yaml").read_text())]


@pytest.mark.parametrize(("preset", "kind"), SECTIONS)
def test_every_section_of_a_preset_is_valid(preset, kind):
    values = read_section(preset, kind)
    if kind == "legan":
        values |= {"identity": "t", "quality": "q"}
    assert check_settings(KINDS[kind], values)[1] == []


def test_all_problems_are_reported_at_once():
    values, problems = apply_overrides(
        read_section("paper", "legan"),
        ["loss.q=11", "los.q=3", "loss.lambda_9=1", "workers=3", "batch_size=10", "nonsense", "adam.beta1=1.5", "precision=fp8"],
    )
    settings, wrong = check_settings(LeganSettings, values)
    text = "\n".join(map(str, problems + wrong))
    assert settings is None
    for expected in (
        "--set nonsense: write it as key=value",
        "loss.q: 11 is more than 10",
        "los: there is no such setting",
        "loss.lambda_9: there is no such setting; known here: classification, lambda_1",
        "adam.beta1",
        "precision",
        "batch_size: 10 cannot be shared equally by 3 workers; make it a multiple of 3",
    ):
        assert expected in text


def test_judges_are_asked_for_unless_their_weight_is_zero():
    values = read_section("paper", "legan")
    lid, lqual = check_settings(LeganSettings, values)[1]
    assert str(lid) == "identity: Lid needs a trained T; give its folder, or set loss.lambda_3=0"
    assert str(lqual) == "quality: Lqual needs a trained Q; give its folder, or set loss.lambda_4=0"
    values, _ = apply_overrides(values, ["loss.lambda_3=0", "loss.lambda_4=0"])
    assert check_settings(LeganSettings, values)[1] == []


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["steps=0"], "steps: 0 is not more than 0"),
        (["workers=2", "batch_size=0"], "batch_size: 0 is less than 1"),
        (["loss.lambda_4=-1"], "loss.lambda_4: -1 is less than 0"),
        (["epochs=1e308"], "epochs: 1e+308 is more than 1000000"),
    ],
)
def test_a_value_that_is_wrong_brings_no_second_problem(overrides, problem):
    values, _ = apply_overrides(read_section("paper", "legan") | {"identity": "t"}, overrides)
    quality = {} if "lambda_4" in overrides[0] else {"quality": "q"}
    settings, problems = check_settings(LeganSettings, values | quality)
    assert (settings, [str(each) for each in problems]) == (None, [problem])


def test_a_section_that_is_wrong_brings_no_problem_of_what_is_in_it():
    values = read_section("paper", "legan") | {"loss": 5}
    assert [problem.place for problem in check_settings(LeganSettings, values)[1]] == ["loss"]


def test_what_does_not_go_together_is_a_problem_each():
    values, _ = apply_overrides(read_section("paper", "legan"), ["workers=3"])
    problems = check_settings(LeganSettings, values)[1]
    assert [problem.place for problem in problems] == ["batch_size", "identity", "quality"]
    with pytest.raises(ValueError, match="10 cannot be shared equally by 3 workers"):
        LeganSettings.model_validate(values | {"identity": "t", "quality": "q"})


def test_networks_that_could_not_be_trained_are_a_problem():
    values, _ = apply_overrides(read_section("quick", "legan"), ["loss.lambda_adv=0", "loss.lambda_1=0"])
    _, problems = check_settings(LeganSettings, values | {"identity": "t", "quality": "q"})
    message = "it and loss.lambda_1 are 0, so that D has nothing to learn; set one of them"
    assert problems == [Problem("loss.lambda_adv", message, ("loss.lambda_1",))]
    values, _ = apply_overrides(read_section("quick", "legan"), ["loss.lambda_1=0", "loss.lambda_1_g=5", "loss.lambda_adv_g=0"])
    _, problems = check_settings(LeganSettings, values | {"identity": "t", "quality": "q"})
    message = "G would follow what D never learns, since loss.lambda_1 is 0; set that above 0, or leave this out"
    assert problems == [Problem("loss.lambda_1_g", message, ("loss.lambda_1",))]
    values, _ = apply_overrides(read_section("paper", "legan"), ["generator.matched=true"])
    _, problems = check_settings(LeganSettings, values | {"identity": "t", "quality": "q"})
    message = "it makes a single hourglass as large as three, and there are three; set generator.disentangled=false too"
    assert problems == [Problem("generator.matched", message, ("generator.disentangled",))]
    values, _ = apply_overrides(read_section("quick", "stargan_v2"), ["network.width=65"])
    (problem,) = check_settings(StarGanV2Settings, values)[1]
    assert str(problem) == "network.width: 65 is above network.max_width 64; lower it"


def test_setting_steps_unsets_epochs():
    values, problems = apply_overrides({"epochs": 3}, ["steps=100"])
    assert values == {"steps": 100}
    assert problems == []
    (problem,) = check_settings(ClassifierSettings, {"epochs": 1, "steps": 1})[1]
    assert str(problem) == "steps: exactly one of steps and epochs has to be set, and both are"


@pytest.mark.parametrize("override", ["epochs=.inf", "epochs=inf", "clip_gradient=.inf", "adam.learning_rate=.nan"])
def test_infinity_and_nan_are_no_settings(override):
    values, _ = apply_overrides({"steps": 1}, [override])
    settings, problems = check_settings(QualitySettings, values)
    assert settings is None
    assert re.fullmatch(f"{override.partition('=')[0]}: (inf|nan) is no finite number", str(problems[0]))


def test_a_setting_is_not_overridden_twice():
    overrides = ["steps=1", "loss.q=7", "nonsense", "loss.q = 8", "epochs=2", "seed=1"]
    problems = given_twice(overrides, {"seed": 0, "gpu": None})
    assert [str(problem) for problem in problems] == [
        "--set loss.q = 8: --set loss.q=7 says it already; leave one of them out",
        "--set epochs=2: --set steps=1 says already how long it is; leave one of them out",
        "--set seed=1: --seed says 0 already; leave one of them out",
    ]


def test_a_file_does_not_say_a_setting_twice(tmp_path: Path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("classifier:\n  steps: 5\n  adam: {beta1: 0.5, beta1: 0.9}\n  steps: 6\n")
    with pytest.raises(ConfigError) as caught:
        read_section(mine, "classifier")
    assert [str(problem) for problem in caught.value.problems] == [
        f"{mine}, line 3: classifier.adam.beta1: this is there again in line 3",
        f"{mine}, line 2: classifier.steps: this is there again in line 4",
    ]


def test_override_below_a_single_value_is_refused():
    problem = Problem("--set seed.x=2", "seed is a single value and has no field x")
    assert apply_overrides({"seed": 1}, ["seed.x=2"]) == ({"seed": 1}, [problem])


def test_user_file_and_its_faults(tmp_path: Path):
    good = tmp_path / "mine.yaml"
    good.write_text("classifier: {steps: 5, width: 8}\n")
    assert read_section(good, "classifier") == {"steps": 5, "width": 8}
    with pytest.raises(ConfigError, match=r"mine\.yaml: it has no section 'legan'; its sections: classifier; take another"):
        read_section(good, "legan")
    bad = tmp_path / "bad.yaml"
    for text in ("classifier: {steps: 5\n", "classifier: &a {adam: *a}\n", "classifier: {seed: 2020-13-01}\n"):
        bad.write_text(text)
        with pytest.raises(ConfigError, match="not valid YAML"):
            read_section(bad, "classifier")
    problem = Problem("--set adam=&a {b: *a}", "the value is not valid YAML; quote it")
    assert apply_overrides({}, ["adam=&a {b: *a}"])[1] == [problem]
    with pytest.raises(ConfigError, match=r"--preset: there is no preset or file 'papr'; presets: .*paper"):
        read_section("papr", "legan")


@given(st.floats(min_value=1e-9, max_value=1e5, allow_nan=False), st.integers(0, 2**31 - 1))
def test_numbers_survive_the_command_line(weight, seed):
    values, problems = apply_overrides(
        {"steps": 1}, [f"loss.lambda_1={weight}", f"seed={seed}", "loss.lambda_3=0", "loss.lambda_4=0"]
    )
    settings, wrong = check_settings(LeganSettings, values)
    assert settings is not None, problems + wrong
    assert settings.loss.lambda_1 == weight
    assert settings.seed == seed


def test_written_settings_read_back_equal():
    settings, _ = check_settings(LeganSettings, {"steps": 3, "identity": "a", "quality": "b", "loss": {"q": 6.5}})
    assert settings is not None
    assert check_settings(LeganSettings, yaml.safe_load(to_yaml(settings)))[0] == settings


@given(
    st.recursive(
        st.integers() | st.text(max_size=4), lambda inner: st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
    )
)
def test_any_yaml_value_gives_sentences_and_never_a_traceback(value):
    values = value if isinstance(value, dict) else {"loss": value}
    settings, problems = check_settings(LeganSettings, values)
    assert (settings is None) == bool(problems)
