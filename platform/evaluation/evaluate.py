"""An evaluation from what the command line was given. All of it is checked, and all problems are told, before anything runs."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from legan.models.dlib_identity import DlibIdentity
from legan.platform.data.dataset import Dataset, Split, open_dataset
from legan.platform.data.faces.detect import FaceDetector
from legan.platform.errors import ConfigError, Problems, TrackingError, WeightsError, counted
from legan.platform.evaluation.features import Extractor, identity_extractor, inception_extractor, perceptual_network
from legan.platform.evaluation.judges import check_judges, matcher_notes, quality_notes, stranger_notes
from legan.platform.evaluation.measures.masks import has_masks
from legan.platform.evaluation.measures.real_images import judges_on_real_images, told_on_real_images
from legan.platform.evaluation.measures.same_person import set_on_val, told_same_person
from legan.platform.evaluation.measures.shade import known_lamps
from legan.platform.evaluation.metric_names import PREFIXES, Need, needing
from legan.platform.evaluation.paired import Evaluation, Judges, evaluate_pairs
from legan.platform.evaluation.pairs import asked_pairs, pairs_hash, response_on
from legan.platform.evaluation.reference import split_features
from legan.platform.evaluation.report import CHECKED, few_note, tracked_metrics, write_report
from legan.platform.evaluation.tested import count_test, ordinal, plain
from legan.platform.files import out_problems
from legan.platform.model import (
    CLASSIFIER,
    MATCHERS,
    QUALITY,
    Model,
    StoredNetwork,
    find_model,
    load_identity,
    load_network,
    network_folder,
    read_model,
    weights_hash,
)
from legan.platform.tracking.mlflow_access import run_of
from legan.platform.tracking.places import StoredRun, default_home
from legan.platform.tracking.tracker import log_to_run
from legan.platform.weights import PRETRAINED

MOST_TRAIN, MOST_TRAIN_BY_DLIB = 10_000, 1000
"""Training images, evenly spread over all, that sets are compared with; fewer where each takes dlib 0.08 s."""
REPORTS: dict[Split, str] = {"val": "validation", "test": "evaluation"}
"""Where reports on each split stand in a run."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate on, as given on the command line."""

    data: Path
    classifier: Path
    matcher: Path
    quality: Path | None = None
    pairs: int = 400
    seed: int = 0
    pairs_file: Path | None = None
    split: Split = "test"
    """test people are looked at when nothing is chosen any more; val is for choosing."""
    known_judges: bool = False
    """Take judges that know these people, or those whom the model or its T learned from; every report says so."""


@dataclass(frozen=True)
class Bench:
    """A model with everything that it is scored on and by, all of it checked.

    ``run`` is the MLflow run that the model comes from, in the store in use.
    ``left_out`` says why metrics cannot be measured here, in a few words that may be published; ``advice`` says it to whoever
    sits at this machine. ``simulated_raters`` says that Q learned from simulated ratings.
    """

    source: str
    run: StoredRun
    model: Model
    data: Dataset
    pairs: pd.DataFrame
    judges: Judges
    seed: int | None
    left_out: dict[str, str]
    advice: tuple[str, ...]
    simulated_raters: bool = False
    split: Split = "test"

    @property
    def other_data(self) -> bool:
        """Whether the model says that it was trained on other data than it is scored on."""
        return self.model.info.get("data_hash") not in (None, self.data.content_hash)

    def unseen(self) -> str:
        """Whether the people of the pairs are known to be strange to the model: *checked*, or why that is unknown."""
        if self.other_data:
            return "unknown, the model was trained on other data"
        return CHECKED if "data_hash" in self.model.info else "unknown, the model does not name its data"

    def about(self) -> dict[str, Any]:
        """What was evaluated, on what and by whom, as plain values; evaluations with equal ``compared_by`` are comparable."""
        info = self.model.info
        return {
            "model": self.source,
            "run": info.get("run"),
            "run_id": self.run.run_id,
            "run_uid": self.run.uid,
            "training_seed": info.get("seed"),
            "data": self.data.name,
            "split": self.split,
            "pairs": len(self.pairs),
            "subjects": int(self.pairs["subject"].nunique()),
            "seed": self.seed,
            "people_are_new_to_the_model": self.unseen(),
            "matcher_is_not_the_trained_T": CHECKED if "identity_weights" in info else "unknown, the model does not name its T",
            **{f"{name}_is_a_stranger": said for name, said in self.judges.strangers.items()},
            "quality_is_of_other_raters": self.judges.other_raters,
            "data_hash": self.data.content_hash,
            "generator_hash": weights_hash(self.model.generator),
            "compared_by": self.compared_by(),
            "raters_of_quality": "simulated, no person was asked" if self.simulated_raters else None,
            "left_out": self.left_out,
        }

    def compared_by(self) -> dict[str, str | None]:
        """Hashes of the pairs and of every network that scores: what has to be equal for two models to be compared."""
        judges = self.judges
        return {
            "pairs": pairs_hash(self.pairs, self.data),
            "classifier": weights_hash(judges.classifier),
            "matcher": weights_hash(judges.matcher),
            "quality": weights_hash(judges.quality) if judges.quality is not None else None,
            "inception": PRETRAINED["inception"].sha256 if judges.inception is not None else None,
            "lpips": PRETRAINED["alexnet"].sha256 if judges.perceptual is not None else None,
        }


def prepare(source: str, request: EvaluationRequest, out: Path | None = None) -> Bench:
    """Load and check all that an evaluation needs, and that ``out`` can be its folder; ConfigError with every problem."""
    problems = Problems(out_problems(out))

    found = problems.from_(lambda: _find(source), "MODEL")
    model, run = found if found is not None else (None, None)
    data = problems.from_(lambda: open_dataset(request.data), "--data")
    classifier = problems.from_(lambda: load_network(network_folder(request.classifier), *CLASSIFIER), "--classifier")
    matcher = problems.from_(lambda: load_identity(request.matcher, MATCHERS), "--matcher")
    given = request.quality
    quality = problems.from_(lambda: load_network(network_folder(given), *QUALITY), "--quality") if given is not None else None
    if request.pairs_file is not None and not request.pairs_file.is_file():
        problems.add("--pairs-file", f"{request.pairs_file} does not exist; give the pairs.csv of an evaluation")

    pairs = judges = None
    strange = ""
    if model is not None and data is not None:
        data, strange = _known(data, model, request.split)
        if not _lacks(request.pairs_file):
            pairs = problems.from_(lambda: _pairs(request, data, model))
        if classifier is not None and matcher is not None:
            judges = problems.from_(lambda: _judges(request, model, data, classifier, matcher, quality))

    if problems or model is None or run is None or data is None or pairs is None or judges is None:
        raise ConfigError(list(dict.fromkeys(problems)))

    left_out: dict[str, str] = {}
    advice = [strange] if strange else []
    judges = replace(_with_downloads(judges, left_out, advice), detector=FaceDetector())
    if judges.quality is None:
        left_out[_named("quality")] = "the model has no Q, and no other was given"
        advice.append(f"{_left_out('quality')}: the model has no Q; give one with --quality.")
    if not has_masks(model):
        left_out[_named("masks")] = "the generator makes no masks"
        advice.append(f"{_left_out('masks')}: the generator makes no masks.")
    if known_lamps(data, model.schema) is None:
        left_out[_named("lamps")] = "where the light comes from is not known"
    simulated = bool((quality.info if quality is not None else model.info).get("simulated_ratings"))
    if simulated:
        advice.append("quality is by simulated raters: Q learned from the scores of formulas, no person was asked.")

    seed = request.seed if request.pairs_file is None else None
    bench = Bench(source, run, model, data, pairs, judges, seed, left_out, (), simulated, request.split)
    if bench.unseen() != CHECKED:
        advice.append(f"Whether {source} saw the people of {data.name} in its training is {bench.unseen()}.")
    return replace(bench, advice=(*advice, *stranger_notes(bench.about()), *quality_notes(bench.about())))


def _judges(
    request: EvaluationRequest,
    model: Model,
    data: Dataset,
    classifier: StoredNetwork,
    matcher: StoredNetwork,
    quality: StoredNetwork | None,
) -> Judges:
    return check_judges(model, data, classifier, matcher, quality, request.split, request.known_judges)


def _pairs(request: EvaluationRequest, data: Dataset, model: Model) -> pd.DataFrame:
    return asked_pairs(data, model.schema, request.pairs, request.seed, request.pairs_file, request.split)


def _known(data: Dataset, model: Model, split: Split) -> tuple[Dataset, str]:
    """The data without the classes that the model doesn't know, and a sentence about the images of the split that this costs."""
    known = data.known_to(model.schema)
    if not known.left_out.names:
        return data, ""
    used = f"{len(known.rows(split))} of {counted(len(data.rows(split)), f'{split} image')} are used"
    return known, f"The model doesn't know {', '.join(known.left_out.names)}, so {used}."


def evaluate(bench: Bench, out: Path, device: torch.device, say: Callable[[str], None]) -> Evaluation:
    """Score a prepared model, write the report into ``out`` and log it to the model's MLflow run, or say why not."""
    evaluation, files, tags = score(bench, out, device, say)
    name = plain(bench.data.name)
    start = f"{PREFIXES[bench.split]}{name}/" if bench.other_data else PREFIXES[bench.split]
    place = REPORTS[bench.split]
    try:
        run_id = log_to_run(bench.run, tracked_metrics(evaluation, start), files, artifact_path=f"{place}/{name}", tags=tags)
    except TrackingError as error:
        say(f"The scores are in these files and not in MLflow: {error}")
    else:
        say(f"Logged as {start}… to the model's MLflow run {run_id}, the files under {place}/{name}.")
    return evaluation


class Scored(NamedTuple):
    """An evaluation with the files of its report, and tags for the run that it is of."""

    evaluation: Evaluation
    files: list[Path]
    tags: dict[str, str]


def score(bench: Bench, out: Path, device: torch.device, say: Callable[[str], None]) -> Scored:
    """Score a prepared model and write the report into ``out``; what is scored on test people is counted (tested.py)."""
    for line in bench.advice:
        say(line)
    kept = default_home() / "feature-statistics"
    one_person = set_on_val(bench.data, identity_extractor(bench.judges.matcher.to(device)), device, kept)
    bench = _with_threshold(bench, one_person.get("from"))
    about, tags = {**bench.about(), "one_person": one_person}, dict[str, str]()
    if bench.split == "test":
        times, tags = count_test(bench.run, bench.model.info, bench.data)
        about["times_scored_on_test"] = times
        say(told_times(times, bench.data.name))
    subjects = bench.pairs["subject"].nunique()
    people = f"{counted(subjects, 'subject')} of {bench.data.name}'s {bench.split} split"
    say(f"Translating {counted(len(bench.pairs), 'image')} of {people} and scoring them …")
    for extractor in bench.judges.extractors():
        extractor.network.to(device).eval()
    real = {each.name: split_features(bench.data, bench.split, each, device, kept) for each in bench.judges.extractors()}
    train = {
        each.name: split_features(bench.data, "train", each, device, kept, _most_train(each))
        for each in bench.judges.extractors()
        if len(bench.data.real_rows("train")) > 1
    }
    evaluation = evaluate_pairs(bench.model, bench.data, bench.pairs, bench.judges, real, device, bench.split, train)
    few = few_note(evaluation)
    if few:
        say(few)
    about["judges_on_real_images"] = judges_on_real_images(
        bench.model, bench.data, bench.judges, real["identity"], bench.split, device
    )
    for line in filter(None, (told_on_real_images(about), told_same_person(about), *matcher_notes(about))):
        say(line)
    answers = response_on(bench.model.generator, bench.model.schema, bench.data, device, bench.split)
    if answers is not None and answers.collapse is not None:
        say(f"The model has collapsed: {answers.collapse}.")
    files = write_report(out, evaluation, bench.model, bench.data, about, device)
    say(f"Tables and pictures: {out} (evaluation.md, pictures.png)")
    return Scored(evaluation, files, tags)


def _most_train(extractor: Extractor) -> int:
    return MOST_TRAIN_BY_DLIB if isinstance(extractor.network, DlibIdentity) else MOST_TRAIN


def _with_threshold(bench: Bench, one_person_from: float | None) -> Bench:
    """The bench with the match from which on two faces are one person, or with why nobody knows."""
    if one_person_from is None:
        return replace(bench, left_out={**bench.left_out, _named("strangers"): "val shows too few pairs of strangers"})
    return replace(bench, judges=replace(bench.judges, one_person_from=one_person_from))


def told_times(times: int, data: str) -> str:
    """What is said of the times that a model was scored on test people; after the first, what the others may have cost."""
    said = f"Its run is scored on {data}'s test people for the {ordinal(times)} time"
    if times == 1:
        return f"{said}."
    return f"{said}: what was chosen by the times before is no longer tested by them. To choose, take --split val."


def _find(source: str) -> tuple[Model, StoredRun]:
    folder = find_model(source)
    model = read_model(folder)
    return model, run_of(source, folder, model.info)


def default_folder(source: str, data: Dataset, split: Split = "test") -> Path:
    """Where the evaluation of a model on a data set goes."""
    name = f"{plain_name(source)}-on-{_plain_data_name(data)}"
    return default_home() / "evaluations" / (name if split == "test" else f"{name}-{split}")


def default_table_folder(number: int, data: Dataset) -> Path:
    """Where table ``number`` on a data set goes."""
    return default_home() / "evaluations" / f"table{number}-on-{_plain_data_name(data)}"


def plain_name(source: str) -> str:
    """A folder name for a model: the run's or folder's own, or the URI without its signs."""
    kind, sign, rest = source.partition(":/")
    name = rest if sign and kind in ("models", "runs") else _folder_name(Path(source).resolve())
    return re.sub(r"[^\w\-.]", "-", name.strip("/"))


def _plain_data_name(data: Dataset) -> str:
    """The data set's name as a part of a folder's name; its author could have made a path of it."""
    return re.sub(r"[^\w\-. ]", "-", data.name)


def _folder_name(folder: Path) -> str:
    """The model's name: a run keeps its model in a folder called ``model``, so the run's own name says more."""
    return folder.parent.name if folder.name == "model" else folder.name


def _lacks(path: Path | None) -> bool:
    return path is not None and not path.is_file()


def _with_downloads(judges: Judges, left_out: dict[str, str], advice: list[str]) -> Judges:
    """The judges with those networks whose published weights are here; ``left_out`` and ``advice`` get why the others are not."""
    try:
        judges = replace(judges, inception=inception_extractor())
    except WeightsError as error:
        left_out[_named("inception")] = _published("inception")
        advice.append(f"{_left_out('inception')}: {error}")
    try:
        judges = replace(judges, perceptual=perceptual_network())
    except WeightsError as error:
        left_out[_named("alexnet")] = _published("alexnet")
        advice.append(f"{_left_out('alexnet')}: {error}")
    return judges


def _named(need: Need) -> str:
    """The metrics that a missing network leaves out."""
    return ", ".join(metric.stem for metric in needing(need))


def _left_out(need: Need) -> str:
    named = " and ".join(_named(need).rsplit(", ", 1))
    return f"{named} {'is' if len(needing(need)) == 1 else 'are'} left out"


def _published(name: str) -> str:
    weights = PRETRAINED[name]
    return f"{weights.file}, published by {weights.origin}, was not there (`legan weights {name}`)"
