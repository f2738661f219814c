from dataclasses import replace
from typing import Any

import pytest
import torch

from legan.models.attributes import AttributeSchema
from legan.models.generator import Generator
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError
from legan.platform.evaluation.judges import check_judges
from legan.platform.evaluation.pairs import choose_pairs, reference_of
from legan.platform.model import StoredNetwork, weights_hash


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
    assert set(evaluation.classes["name"]) == {"neutral", "scream", "left", "front", "ambient"}


def test_a_judge_that_lacks_a_class_of_the_model_is_refused(data: Dataset, tiny: Any) -> None:
    fewer = data.schema.without(["smile"], []).to_dict()
    with pytest.raises(
        ConfigError, match="--classifier: it knows other classes than the model; its expressions: neutral, scream"
    ):
        check_judges(tiny.model(), data, tiny.classifier(schema=fewer), tiny.matcher())
