from dataclasses import replace
from typing import Any

import pytest
import torch

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError
from legan.platform.evaluation.judges import (
    Acquaintance,
    acquaintance,
    by_known_judges,
    check_judges,
    matcher_notes,
    other_raters,
    quality_notes,
    stranger_notes,
)
from legan.platform.evaluation.pairs import choose_pairs, reference_of
from legan.platform.model import Model, StoredNetwork, weights_hash


def test_a_matcher_that_was_trained_with_is_refused(data: Dataset, tiny: Any) -> None:
    matcher = tiny.matcher()
    model = tiny.model(identity_weights=weights_hash(matcher.module))
    with pytest.raises(ConfigError, match="--matcher: it is the T that the generator was trained with"):
        check_judges(model, data, tiny.classifier(), matcher)
    assert check_judges(model, data, tiny.classifier(), tiny.matcher(seed=3)).matcher is not matcher.module


def test_everything_that_does_not_fit_is_said_at_once(data: Dataset, tiny: Any) -> None:
    other = AttributeSchema(("neutral", "smile", "grin"), data.schema.lightings)
    model = replace(tiny.model(), schema=other, image_size=64)
    with pytest.raises(ConfigError) as caught:
        check_judges(model, data, tiny.matcher(), tiny.classifier())
    text = str(caught.value)
    assert len(caught.value.problems) == 6
    assert "its expressions: neutral, smile, scream; the model's: neutral, smile, grin" in text
    assert "the data set is for 32×32 images, the model for 64×64" in text
    assert "--classifier: it is an identity network (T); give a run of `legan train classifier`" in text
    assert "--matcher: it is a classifier of expression and lighting; give a run of `legan train identity`" in text


def test_a_classifier_of_other_or_unknown_classes_is_refused(data: Dataset, tiny: Any) -> None:
    swapped = {"expressions": list(data.schema.expressions), "lightings": list(data.schema.lightings)[::-1]}
    with pytest.raises(ConfigError, match="--classifier: it knows other classes than the model; its lightings: ambient"):
        check_judges(tiny.model(), data, tiny.classifier(schema=swapped), tiny.matcher())
    with pytest.raises(ConfigError, match="does not say which classes it knows"):
        check_judges(tiny.model(), data, tiny.classifier()._replace(info={}), tiny.matcher())


def test_q_is_the_models_own_unless_another_is_given(data: Dataset, tiny: Any) -> None:
    model, other = tiny.model(), tiny.quality(seed=9)
    assert check_judges(model, data, tiny.classifier(), tiny.matcher()).quality is model.quality
    given = StoredNetwork("quality", other, {"image_size": 32}, {})
    assert check_judges(model, data, tiny.classifier(), tiny.matcher(), given).quality is other
    assert check_judges(tiny.model(quality=False), data, tiny.classifier(), tiny.matcher()).quality is None
    with pytest.raises(ConfigError, match=r"--quality: it is an identity network \(T\); give a run of `legan train quality`"):
        check_judges(model, data, tiny.classifier(), tiny.matcher(), tiny.matcher())


def test_data_without_names_of_lightings_fits_every_model(data: Dataset, tiny: Any) -> None:
    wild = replace(data, schema=AttributeSchema(("smiling", "not smiling"), ("any",)))
    assert check_judges(tiny.model(), wild, tiny.classifier(), tiny.matcher()).quality is not None


def test_a_model_that_learned_fewer_classes_is_scored_on_those_by_a_judge_of_all(data: Dataset, tiny: Any) -> None:
    whole = tiny.classifier()
    schema = data.schema.without(["smile"], ["right"])
    G = Generator(2, 3, width=4, blocks=0)
    model = replace(tiny.model(), generator=G, schema=schema)
    judges = check_judges(model, data, whole, tiny.matcher())
    x = torch.rand(2, 3, 32, 32)
    for asked, given, kept in zip(judges.classifier(x), whole.module(x), ([0, 2], [0, 2, 3]), strict=True):
        torch.testing.assert_close(asked, given[:, kept])
    assert check_judges(tiny.model(), data, whole, tiny.matcher()).classifier is whole.module

    pairs = choose_pairs(data, 100, seed=0, schema=schema)
    assert set(pairs["expression"]) == {"neutral", "scream"}
    assert set(pairs["source_lighting"]) == {"left", "front", "ambient"}
    assert reference_of(pairs) == "target"
    known = data.known_to(schema)
    evaluation = tiny.evaluate(model, pairs, known, judges)
    assert evaluation.real_images == 6
    named = evaluation.classes[evaluation.classes["attribute"] != "skin tone"]
    assert set(named["name"]) == {"neutral", "scream", "left", "front", "ambient"}


def test_a_judge_that_lacks_a_class_of_the_model_is_refused(data: Dataset, tiny: Any) -> None:
    fewer = data.schema.without(["smile"], []).to_dict()
    with pytest.raises(
        ConfigError, match="--classifier: it knows other classes than the model; its expressions: neutral, scream"
    ):
        check_judges(tiny.model(), data, tiny.classifier(schema=fewer), tiny.matcher())


def met(data: Dataset, model: Model, judge: StoredNetwork, **info: Any) -> Acquaintance:
    return acquaintance(judge._replace(info={**judge.info, **info}), model, data, "test")


def test_a_judge_that_knows_people_is_refused_unless_it_may_and_then_it_is_said(data: Dataset, tiny: Any) -> None:
    learned, asked = data.people("train"), data.people("test")
    model = replace(tiny.model(), people=learned)
    classifier, matcher = tiny.classifier(people=learned[:3]), tiny.matcher()._replace(info={"people": [*asked, "somebody"]})
    with pytest.raises(ConfigError) as caught:
        check_judges(model, data, classifier, matcher)
    first, second = map(str, caught.value.problems)
    assert first.startswith("--classifier: it learned from 3 of the 4 people that the model or its T learned from; train judges")
    assert second.startswith(
        "--matcher: it learned from 1 of the 1 person that the test split shows; train judges on other people"
    )
    assert first.endswith("or take it all the same with --known-judges")

    judges = check_judges(model, data, classifier, matcher, known=True)
    values = {f"{name}_is_a_stranger": said for name, said in judges.strangers.items()}
    assert stranger_notes(values) == [
        "The classifier is no stranger: it learned from 3 of the 4 people that the model or its T learned from; asked for with "
        "--known-judges.",
        "The matcher is no stranger: it learned from 1 of the 1 person that the test split shows; asked for with --known-judges.",
    ]
    assert by_known_judges(values) == ", by judges that are no strangers (classifier, matcher)"
    assert "matcher" in check_judges(model, data, tiny.classifier(people=["somebody"]), matcher, split="val").strangers


def test_strangers_are_called_so_only_where_everybody_is_known(data: Dataset, tiny: Any) -> None:
    model, judge = replace(tiny.model(), people=data.people("train")), tiny.classifier()
    assert met(data, model, judge, people=["somebody"]) == Acquaintance("checked")
    assert met(data, model, judge).said == "unknown, it does not name its people"
    assert met(data, tiny.model(), judge, people=["somebody"]).said.startswith("unknown, the model does not name the people")
    of_unknown_t = replace(model, info={"identity_people": "unknown"})
    assert met(data, of_unknown_t, judge, people=["somebody"]).said == "unknown, the model's T does not name its people"
    nobody = replace(data, source="augmented")
    assert met(nobody, model, judge, people=["somebody"]).said == "unknown, the data do not tell who is shown"
    said = stranger_notes(
        {"classifier_is_a_stranger": "checked", "matcher_is_a_stranger": "unknown, it does not name its people"}
    )
    assert said == ["Whether the matcher is a stranger to these people is unknown, it does not name its people."]
    assert by_known_judges({"classifier_is_a_stranger": "checked"}, {}) == ""


def test_an_older_judge_of_the_models_own_data_is_known_by_their_hash(data: Dataset, tiny: Any) -> None:
    model = tiny.model(data_hash="one")
    assert met(data, model, tiny.classifier(), data_hash="one").knows
    assert not met(data, model, tiny.classifier(), data_hash="other").knows
    assert not met(data, tiny.model(), tiny.classifier(), data_hash="other").knows


def test_a_judging_q_is_of_other_raters_or_faults(tiny: Any) -> None:
    ratings = {"simulated_ratings": True, "ratings_hash": "a", "ratings_panel": "training"}
    model = tiny.model(quality_weights=weights_hash(tiny.quality()), **ratings)

    def said(seed: int = 9, of: Model = model, **info: Any) -> str | None:
        return other_raters(StoredNetwork("quality", tiny.quality(seed=seed), {}, info), of)

    assert other_raters(None, model) == said(seed=5) == "no, it is the Q of the model's own loss"
    assert other_raters(None, tiny.model(quality=False)) is None
    assert said(of=tiny.model(quality=False)) == "checked"
    assert said(simulated_ratings=True, ratings_panel="judging", ratings_hash="b") == "checked"
    assert said(simulated_ratings=True, ratings_hash="b") == "no, the same simulated raters saw the same faults"
    assert said(simulated_ratings=False, ratings_hash="b") == "checked"
    assert said() == "unknown, it does not say who had rated"
    by_people = tiny.model(quality_weights="x", simulated_ratings=False, ratings_hash="a")
    assert said(of=by_people, simulated_ratings=False, ratings_hash="b") == "unknown, people rated for both"
    assert said(of=by_people, simulated_ratings=False, ratings_hash="a") == "no, it learned from the same ratings"
    assert said(of=tiny.model(quality_weights="x"), **ratings) == "unknown, the model does not say who had rated"

    (note,) = quality_notes({"quality_is_of_other_raters": other_raters(None, model)})
    assert note.startswith(
        "Quality is by no judging Q: it is the Q of the model's own loss. A high value then proves little; give"
    )
    assert quality_notes({"quality_is_of_other_raters": "checked"}) == quality_notes({}) == []


def test_a_matcher_that_hardly_tells_people_apart_is_named() -> None:
    (note,) = matcher_notes({"one_person": {"auc": 0.81}, "judges_on_real_images": {"verification_auc": 0.99}, "split": "test"})
    assert note.startswith("The matcher is none for such images: on real images of val its AUC in telling people apart is 0.810")
    # Where val shows one person alone, the split that is scored tells.
    (note,) = matcher_notes({"one_person": {}, "judges_on_real_images": {"verification_auc": 0.94}, "split": "test"})
    assert "on real images of test its AUC in telling people apart is 0.940" in note
    for good in ({"one_person": {"auc": 0.95}}, {}, {"one_person": {}, "judges_on_real_images": {}, "split": "test"}):
        assert matcher_notes(good) == []
