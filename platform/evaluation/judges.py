"""Whether model, data and judges belong together, and whether the judges are independent."""

import copy
from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset
from legan.platform.errors import ConfigError, Problem, Problems
from legan.platform.evaluation.paired import Judges
from legan.platform.evaluation.pairs import same_classes
from legan.platform.model import CLASSIFIER, IDENTITY, QUALITY, Model, StoredNetwork, instead_of, weights_hash


def check_judges(
    model: Model, data: Dataset, classifier: StoredNetwork, matcher: StoredNetwork, quality: StoredNetwork | None = None
) -> Judges:
    """The judges, if all belong together and the judges are independent; Q is the model's own where none is given.

    Raises ConfigError with every problem: other classes, other image sizes, networks of another kind, a matcher that the
    generator was trained with. A data set that names no expressions or no lightings (one class only) fits every model: there
    are no targets in it, and outputs are compared with the source.
    """
    problems = Problems(data_problems(model, data))
    wanted = model.schema.to_dict()

    if not isinstance(classifier.module, AttributeClassifier):
        problems.add("--classifier", instead_of(classifier.kind, CLASSIFIER))
    elif "schema" not in classifier.info:
        problems.add("--classifier", "it does not say which classes it knows; train it anew with `legan train classifier`")
    elif _judging(classifier.module, classifier.info["schema"], model.schema) is None:
        problems.add("--classifier", f"it knows other classes than the model; {_difference(wanted, classifier.info['schema'])}")

    if not isinstance(matcher.module, LightCNN | FacenetIdentity):
        problems.add("--matcher", instead_of(matcher.kind, IDENTITY))
    elif weights_hash(matcher.module) == model.info.get("identity_weights"):
        problems.add("--matcher", "it is the T that the generator was trained with, so its score would reward that; give another")

    if quality is not None and not isinstance(quality.module, QualityModel):
        problems.add("--quality", instead_of(quality.kind, QUALITY))

    sizes = {
        "--classifier": classifier.numbers.get("image_size"),
        "--matcher": matcher.numbers.get("image_size"),
        "--quality": quality.numbers.get("image_size") if quality is not None else None,
    }
    problems += [Problem(name, _sizes("it", size, model)) for name, size in sizes.items() if size not in (None, model.image_size)]
    if problems:
        raise ConfigError(problems)

    judge = _judging(cast("AttributeClassifier", classifier.module), classifier.info["schema"], model.schema)
    q = model.quality if quality is None else cast("QualityModel", quality.module)
    return Judges(cast("AttributeClassifier", judge), cast("LightCNN | FacenetIdentity", matcher.module), q)


def data_problems(model: Model, data: Dataset) -> list[Problem]:
    """Why a model cannot be asked to translate a data set: other classes, though both are named, or another image size."""
    problems = []
    known = data.known_to(model.schema)
    if not same_classes(model.schema, known.schema) and not unlabelled(data.schema):
        difference = _difference(model.schema.to_dict(), data.schema.to_dict())
        problems.append(Problem("--data", f"the data set has other classes than the model; {difference}"))
    if data.image_size != model.image_size:
        problems.append(Problem("--data", _sizes("the data set", data.image_size, model)))
    return problems


def unlabelled(schema: AttributeSchema) -> bool:
    """Whether a data set doesn't tell expressions or lightings apart."""
    return len(schema.expressions) == 1 or len(schema.lightings) == 1


def _sizes(name: str, size: int, model: Model) -> str:
    return f"{name} is for {size}×{size} images, the model for {model.image_size}×{model.image_size}"


def _judging(network: AttributeClassifier, known: Mapping[str, Any], schema: AttributeSchema) -> AttributeClassifier | None:
    """The judge of the model's classes; one that knows more gets a copy without the others. None where it lacks some."""
    kept = []
    for kind, wanted in (("expressions", schema.expressions), ("lightings", schema.lightings)):
        kept.append([row for row, name in enumerate(known[kind]) if name in wanted])
        if [known[kind][row] for row in kept[-1]] != list(wanted):
            return None
    if [len(rows) for rows in kept] == [len(known["expressions"]), len(known["lightings"])]:
        return network

    judge = copy.deepcopy(network)
    for head, rows in zip((judge.expression, judge.lighting), kept, strict=True):
        head.weight, head.bias = nn.Parameter(head.weight.detach()[rows]), nn.Parameter(head.bias.detach()[rows])
        head.out_features = len(rows)
    return judge


def _difference(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The first list of classes that differs, both ways."""
    kind = "expressions" if list(wanted["expressions"]) != list(given["expressions"]) else "lightings"
    return f"its {kind}: {', '.join(given[kind])}; the model's: {', '.join(wanted[kind])}"
