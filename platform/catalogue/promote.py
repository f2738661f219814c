"""``legan models promote`` and ``rollback``: who is the champion of a registered model, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from legan.platform.catalogue.candidate import Candidate, find_candidate
from legan.platform.catalogue.guard import Contest, contestant, hold
from legan.platform.catalogue.lines import aligned
from legan.platform.data.dataset import Dataset, open_dataset
from legan.platform.errors import ConfigError, DataError, LeganError, NotBetterError, Problem, Problems, counted, one_line
from legan.platform.evaluation.judges import check_judges, stranger_notes
from legan.platform.evaluation.metric_names import heading
from legan.platform.evaluation.paired import Judges
from legan.platform.evaluation.pairs import choose_pairs, reference_of, response_on
from legan.platform.model import MATCHERS, Model, StoredNetwork, load_identity, load_network, network_folder, read_model
from legan.platform.tracking.mlflow_access import champion, crown, enrol, expect_run, resolve_model, roll_back

PAIRS = 400
Say = Callable[[str], None]


@dataclass(frozen=True)
class Promotion:
    """What is asked for: ``source`` is a run or a version, and ``tags`` are set on the version.

    ``data`` takes the place of the folder that the model was trained on. Data without true targets needs the judges.
    """

    source: str
    data: Path | None = None
    classifier: Path | None = None
    matcher: Path | None = None
    dry_run: bool = False
    force: bool = False
    known_judges: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


class Opened(NamedTuple):
    """What the promotion names."""

    candidate: Candidate
    classifier: StoredNetwork | None
    matcher: StoredNetwork | None
    data: Path | None
    known_judges: bool = False


class Held(NamedTuple):
    """What speaks against the candidate, as parts of a sentence, and its numbers as tags of its version."""

    objections: list[str]
    tags: dict[str, str]


def promote(asked: Promotion, device: torch.device, say: Say) -> None:
    """Make a run's model or a version the champion, if it is not worse than the present one and than copied input (guard.py).

    Raises NotBetterError when it is worse or cannot be compared and that is not forced, ConfigError with all that is wrong with
    what is named, and TrackingError when MLflow is away or lacks the run.
    """
    opened = _open(asked)
    candidate = opened.candidate
    run_id = expect_run(candidate.run, candidate.folder) if candidate.version is None else candidate.run.run_id
    store, name = candidate.run.store, candidate.name
    present, alias = champion(name, store), f"models:/{name}@champion"
    already = f"{candidate.called} is version {present}, which {alias} is already."
    if present is not None and candidate.version == present:
        say(already)
        return

    held = _held(opened, present, device, say)
    if held.objections and not asked.force:
        raise NotBetterError(f"{'; '.join(held.objections)}; to promote it all the same, use --force.")
    for objection in held.objections:
        say(f"Forced, although {objection}.")
    if asked.dry_run:
        say(f"{candidate.called} would become {alias}; nothing was changed.")
        return

    version = candidate.version or enrol(store, str(run_id), candidate.folder, name)
    crown(store, name, version, "forced" if held.objections else "promoted", {**asked.tags, **held.tags})
    if version == present:
        say(already)
        return
    say(f"{alias} is now version {version}, of the MLflow run {run_id}.")
    back = f"Before, it was version {present}; `legan models rollback {name}` brings that back."
    say(back if present is not None else "There was no champion before.")


def rollback(name: str, say: Say) -> None:
    """Make the champion of before the champion again; TrackingError where nothing is known of one."""
    was, now = roll_back(name)
    say(f"models:/{name}@champion is version {now} again; it was version {was}.")


def _open(asked: Promotion) -> Opened:
    """Open what is named; ConfigError with every problem."""
    problems = Problems()
    candidate = problems.from_(partial(find_candidate, asked.source), "RUN|VERSION")
    classifier, matcher = asked.classifier, asked.matcher
    judge = None if classifier is None else problems.from_(lambda: load_network(network_folder(classifier)), "--classifier")
    person = None if matcher is None else problems.from_(lambda: load_identity(matcher, MATCHERS), "--matcher")
    problems.raise_if_any()
    if candidate is None:
        raise ConfigError(problems)
    return Opened(candidate, judge, person, asked.data or candidate.data, asked.known_judges)


def _held(opened: Opened, present: str | None, device: torch.device, say: Say) -> Held:
    """Compare candidate, champion and copied input, as far as that can be done."""
    candidate = opened.candidate
    try:
        data = _data(opened)
        pairs = choose_pairs(data, PAIRS, seed=0, split="val", schema=candidate.model.schema)
        judges = _judges(opened, data, needed=reference_of(pairs) == "source")
    except LeganError as error:
        return Held([f"{candidate.called} cannot be compared with anything: {one_line(error)}"], {})

    objections: list[str] = []
    contestants = [contestant(candidate.called, candidate.model, device)]
    if present is not None:
        label = f"the champion (version {present})"
        try:
            other = read_model(resolve_model(f"models:/{candidate.name}/{present}", candidate.run.store))
            _expect_comparable(candidate.model, other)
        except LeganError as error:
            objections.append(f"{candidate.called} cannot be compared with {label}: {one_line(error)}")
        else:
            contestants.append(contestant(label, other, device))
            if other.info.get("data_hash") not in (None, data.content_hash):
                say(f"The champion was trained on other data than {data.name}; it may have seen these people.")

    say(f"Comparing on {counted(len(pairs), 'translation')} of {data.name}'s validation split …")
    contest = hold(contestants, candidate.model, data, pairs, judges, device)
    for line in table(contest):
        say(line)
    strangers = judges.strangers if judges is not None else {}
    for note in stranger_notes({f"{name}_is_a_stranger": said for name, said in strangers.items()}) if strangers else ():
        say(note)
    answers = response_on(candidate.model.generator, candidate.model.schema, data, device)
    if answers is not None and answers.collapse is not None:
        objections.append(f"{candidate.called} has collapsed: {answers.collapse}")
    numbers = {f"val/{name}": f"{value:.6g}" for name, value in contest.scores[candidate.called].items()}
    return Held([*worse(contest, data.name), *objections], numbers)


def worse(contest: Contest, data: str) -> list[str]:
    """What to say where somebody is better, with the numbers."""
    better = contest.worse_than()
    if not better:
        return []
    own = next(iter(contest.scores))
    people = "1 person" if contest.people == 1 else f"{contest.people} people"
    against = " and ".join(f"{contest.number(name):.3f}" for name in better)
    return [
        f"{own} is worse than {' and '.join(better)}: {contest.decisive} {contest.number(own):.3f} against {against}, over "
        f"{counted(contest.pairs, 'translation')} of {people} of {data}'s validation split"
    ]


def table(contest: Contest) -> list[str]:
    """All numbers, a line each, and who is who above."""
    everybody = list(contest.scores)
    keys = list(contest.scores[everybody[0]])
    rows = [[heading(key), *(f"{contest.scores[name][key]:.3f}" for name in everybody)] for key in keys]
    if contest.reference == "source":
        rows.append([contest.decisive, *(f"{contest.number(name):.3f}" for name in everybody)])
    return aligned([["", *everybody], *rows])


def _data(opened: Opened) -> Dataset:
    """The data that the candidate was trained on, as far as it knows the classes; it has not seen the validation split."""
    if opened.data is None:
        raise DataError("nobody knows which data it was trained on; name the folder with --data.")
    if not opened.data.exists():
        raise DataError(f"the data {opened.data} that it was trained on is not there; name its folder with --data.")
    data, trained_on = open_dataset(opened.data), opened.candidate.model.info.get("data_hash")
    if trained_on not in (None, data.content_hash):
        raise DataError(
            f"{data.path} is other data than it was trained on (hash {data.content_hash[:12]}, not {trained_on[:12]}), so it may "
            "have seen these people; name the folder of its data with --data."
        )
    return data.known_to(opened.candidate.model.schema)


def _judges(opened: Opened, data: Dataset, needed: bool) -> Judges | None:
    """The judges, None where there are none and none is needed; ConfigError with every problem."""
    if opened.classifier is not None and opened.matcher is not None:
        asked = opened.candidate.model, data, opened.classifier, opened.matcher
        return check_judges(*asked, split="val", known=opened.known_judges)
    if not needed:
        return None
    given = {"--classifier": opened.classifier, "--matcher": opened.matcher}
    message = f"{data.name} has no true targets, so that outputs need a judge; give one"
    raise ConfigError([Problem(option, message) for option, network in given.items() if network is None])


def _expect_comparable(candidate: Model, champion: Model) -> None:
    """DataError where the champion cannot be asked for what the candidate is asked for."""
    remedy = "compare both with `legan evaluate`, each on its own data"
    if champion.image_size != candidate.image_size:
        sizes = f"{champion.image_size}×{champion.image_size}, not of {candidate.image_size}×{candidate.image_size}"
        raise DataError(f"that one makes images of {sizes}; {remedy}.")
    for kind in ("expressions", "lightings"):
        missing = [name for name in getattr(candidate.schema, kind) if name not in getattr(champion.schema, kind)]
        if missing:
            raise DataError(f"that one does not know the {kind} {', '.join(missing)}; {remedy}.")
