"""Whether model, data and judges belong together, and whether the judges are independent.

A judge is a stranger where it learned from nobody whom the generator or its T learned from, and from nobody whom it is asked
about. Networks and models remember whom they learned from (``Dataset.people``); older ones at least which data.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from torch import nn

from legan.models.attributes import AttributeSchema
from legan.models.dlib_identity import FaceJudge
from legan.models.expression import AttributeClassifier
from legan.models.quality import QualityModel
from legan.platform.data.dataset import Dataset, Split
from legan.platform.data.ratings.ratings import FIRST_PANEL
from legan.platform.errors import ConfigError, Problem, Problems, counted
from legan.platform.evaluation.paired import Judges
from legan.platform.evaluation.pairs import same_classes
from legan.platform.model import CLASSIFIER, MATCHERS, QUALITY, Model, StoredNetwork, instead_of, weights_hash

STRANGER = "checked"
REMEDY = "train judges on other people (`legan data render --seed …` draws some), or take it all the same with --known-judges"
JUDGING_Q = (
    "A high value then proves little; give a Q of other raters and faults with --quality (`legan data ratings --panel judging`)."
)
ASKED_FOR = "asked for with --known-judges"
LEAST_AUC = 0.95
"""ROC AUC in telling people of val apart, below which a matcher is none."""
AUC = "verification_auc"


class Acquaintance(NamedTuple):
    """Whom a judge knows of those who have to be strangers to it: ``said`` is STRANGER, whom it knows, or why nobody can tell."""

    said: str
    knows: bool = False


def check_judges(
    model: Model,
    data: Dataset,
    classifier: StoredNetwork,
    matcher: StoredNetwork,
    quality: StoredNetwork | None = None,
    split: Split = "test",
    known: bool = False,
) -> Judges:
    """The judges, if all belong together and the judges are independent; Q is the model's own where none is given.

    They are asked about people of the ``split``. Raises ConfigError with every problem: other classes, other image sizes,
    networks of another kind, a matcher that the generator was trained with, and, unless they may be ``known``, judges that are
    no strangers. A data set that names no expressions or no lightings (one class only) fits every model: there
    are no targets in it, and outputs are compared with the source.
    """
    problems = Problems(data_problems(model, data))
    problems += _classifier_problems(classifier, model)

    if not isinstance(matcher.module, FaceJudge):
        problems.add("--matcher", instead_of(matcher.kind, MATCHERS))
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
    acquaintances = {name: acquaintance(judge, model, data, split) for name, judge in _named(classifier, matcher).items()}
    if not known:
        problems += [Problem(f"--{name}", f"{met.said}; {REMEDY}") for name, met in acquaintances.items() if met.knows]
    if problems:
        raise ConfigError(problems)

    judge = _judging(cast("AttributeClassifier", classifier.module), classifier.info["schema"], model.schema)
    q = model.quality if quality is None else cast("QualityModel", quality.module)
    said = {name: f"no, {met.said}; {ASKED_FOR}" if met.knows else met.said for name, met in acquaintances.items()}
    faces, raters = cast("FaceJudge", matcher.module), other_raters(quality, model)
    return Judges(cast("AttributeClassifier", judge), faces, q, strangers=said, other_raters=raters)


def check_classifier(
    model: Model, data: Dataset, classifier: StoredNetwork, split: Split, known: bool, problems: Problems
) -> tuple[AttributeClassifier, str] | None:
    """A judge of the model's classes, and whether it is a stranger, where no matcher judges; else None.

    ``problems`` gets what is wrong: other classes, another image size, or, unless it may be ``known``, that it is no stranger.
    """
    found = _classifier_problems(classifier, model)
    size = classifier.numbers.get("image_size")
    if size not in (None, model.image_size):
        found.append(Problem("--classifier", _sizes("it", size, model)))
    met = acquaintance(classifier, model, data, split)
    if met.knows and not known:
        found.append(Problem("--classifier", f"{met.said}; {REMEDY}"))
    if found:
        problems += found
        return None
    judge = _judging(cast("AttributeClassifier", classifier.module), classifier.info["schema"], model.schema)
    return cast("AttributeClassifier", judge), f"no, {met.said}; {ASKED_FOR}" if met.knows else met.said


def acquaintance(judge: StoredNetwork, model: Model, data: Dataset, split: Split) -> Acquaintance:
    """How a judge stands to the people that the model and its T learned from, and to those of the split."""
    own, asked = set(judge.info.get("people", ())), set(data.people(split))
    if judge.info.get("data_hash") is not None and judge.info["data_hash"] == model.info.get("data_hash"):
        return Acquaintance("it learned from the very data that the model learned from", knows=True)
    for people, whom in ((set(model.people), "the model or its T learned from"), (asked, f"the {split} split shows")):
        shared = own & people
        if shared:
            of = counted(len(people), "person", "people")
            return Acquaintance(f"it learned from {len(shared)} of the {of} that {whom}", knows=True)
    if not own:
        return Acquaintance("unknown, it does not name its people")
    if not model.people or not asked:
        whose = "the model does not name the people that it learned from" if asked else "the data do not tell who is shown"
        return Acquaintance(f"unknown, {whose}")
    if model.info.get("identity_people") == "unknown":
        return Acquaintance("unknown, the model's T does not name its people")
    return Acquaintance(STRANGER)


def other_raters(quality: StoredNetwork | None, model: Model) -> str | None:
    """Whether a Q that rates is of other raters and faults than the Q in the model's loss: STRANGER, or why not; None without Q.

    The model's own rates where no ``quality`` is given.
    """
    if quality is None:
        return None if model.quality is None else "no, it is the Q of the model's own loss"
    if model.quality is None and "quality_weights" not in model.info:
        return STRANGER
    if weights_hash(quality.module) == model.info.get("quality_weights"):
        return "no, it is the Q of the model's own loss"
    simulated, of_loss = (info.get("simulated_ratings") for info in (quality.info, model.info))
    if simulated is None or of_loss is None:
        return "unknown, " + ("it does not say who had rated" if simulated is None else "the model does not say who had rated")
    if simulated and of_loss:
        panels = [info.get("ratings_panel", FIRST_PANEL) for info in (quality.info, model.info)]
        return STRANGER if panels[0] != panels[1] else "no, the same simulated raters saw the same faults"
    if quality.info.get("ratings_hash") == model.info.get("ratings_hash"):
        return "no, it learned from the same ratings"
    return STRANGER if simulated != of_loss else "unknown, people rated for both"


def quality_notes(values: Mapping[str, Any]) -> list[str]:
    """A sentence where the Q of an evaluation's values is no judging Q, or where nobody knows."""
    said = values.get("quality_is_of_other_raters")
    if said in (None, STRANGER):
        return []
    if str(said).startswith("no, "):
        return [f"Quality is by no judging Q: {str(said).removeprefix('no, ')}. {JUDGING_Q}"]
    return [f"Whether quality is by a judging Q is {said}. {JUDGING_Q}"]


def stranger_notes(values: Mapping[str, Any]) -> list[str]:
    """A sentence for each judge of an evaluation's values that is no stranger, or of whom nobody knows."""
    notes = []
    for name in ("classifier", "matcher"):
        said = str(values.get(f"{name}_is_a_stranger", "unknown, the evaluation is of an older version"))
        if said.startswith("no, "):
            notes.append(f"The {name} is no stranger: {said.removeprefix('no, ')}.")
        elif said != STRANGER:
            notes.append(f"Whether the {name} is a stranger to these people is {said}.")
    return notes


def matcher_notes(values: Mapping[str, Any]) -> list[str]:
    """A sentence where the matcher of an evaluation's values hardly tells people apart: on val, or else on the split scored."""
    split, auc = "val", (values.get("one_person") or {}).get("auc")
    if auc is None:
        split, auc = values.get("split", "test"), (values.get("judges_on_real_images") or {}).get(AUC)
    if auc is None or auc >= LEAST_AUC:
        return []
    return [
        f"The matcher is none for such images: on real images of {split} its AUC in telling people apart is {auc:.3f}, and "
        f"{LEAST_AUC} is the least. What it says of persons proves nothing; take another."
    ]


def by_known_judges(*evaluations: Mapping[str, Any]) -> str:
    """The end of a title of a table whose judges are no strangers, by the evaluations' values."""
    known = [
        name
        for name in ("classifier", "matcher")
        if any(str(values.get(f"{name}_is_a_stranger", "")).startswith("no, ") for values in evaluations)
    ]
    return f", by judges that are no strangers ({', '.join(known)})" if known else ""


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


def _classifier_problems(classifier: StoredNetwork, model: Model) -> list[Problem]:
    """Why a network cannot judge a model's classes, whatever the size of its images."""
    if not isinstance(classifier.module, AttributeClassifier):
        return [Problem("--classifier", instead_of(classifier.kind, CLASSIFIER))]
    if "schema" not in classifier.info:
        why = "it does not say which classes it knows; train it anew with `legan train classifier`"
        return [Problem("--classifier", why)]
    if _judging(classifier.module, classifier.info["schema"], model.schema) is None:
        difference = _difference(model.schema.to_dict(), classifier.info["schema"])
        return [Problem("--classifier", f"it knows other classes than the model; {difference}")]
    return []


def _named(classifier: StoredNetwork, matcher: StoredNetwork) -> dict[str, StoredNetwork]:
    return {"classifier": classifier, "matcher": matcher}


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
