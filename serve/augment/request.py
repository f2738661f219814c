"""What ``legan augment`` was asked for, checked as a whole before anything is computed."""

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from legan.models.identity import FacenetIdentity, LightCNN
from legan.platform.data.dataset import FILE
from legan.platform.data.faces.attempts import ATTEMPTS
from legan.platform.data.stream import Header
from legan.platform.errors import ConfigError, Problem, Problems, counted
from legan.platform.files import refuse_existing
from legan.platform.model import Model, load_identity, read_model, weights_hash
from legan.platform.tracking.mlflow_access import model_version
from legan.serve.augment.input import Photographs, classes_beforehand, labels_of, problems_with, read_input
from legan.serve.augment.own import kept_kinds, unsaid
from legan.serve.augment.plan import MAX_ATTEMPTS, UNKNOWN, Balance, Wanted
from legan.serve.augment.result import Origin
from legan.serve.augment.worker import JOBS, PHOTOS
from legan.serve.chosen import named_model
from legan.serve.classes import KEEP, is_kept, unknown_classes
from legan.serve.matcher import check_matcher

FORMAT = 1


@dataclass(frozen=True)
class AugmentRequest:
    """The command's arguments as they were typed; ``originals`` None: only with ``balance``."""

    input: Path
    out: Path
    model: str
    labels: str | None = None
    all: bool = False
    balance: Balance | None = None
    random: int | None = None
    min_quality: float | None = None
    min_similarity: float | None = None
    matcher: Path | None = None
    attempts: int = 3
    originals: bool | None = None
    seed: int = 0
    workers: int | None = None
    batch_size: int | None = None
    address: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    train_only: bool = False


@dataclass(frozen=True)
class AugmentOrder:
    """A request that can be carried out; ``digest`` is of all that decides the result."""

    request: AugmentRequest
    given: Header | Photographs
    model: Model
    matcher: LightCNN | FacenetIdentity | None
    wanted: Wanted
    origin: Origin
    originals: bool
    digest: str

    @property
    def attempts(self) -> int:
        """A, how many candidates a job has at most."""
        request = self.request
        limited = request.min_quality is not None or request.min_similarity is not None
        return request.attempts if limited and self.wanted.attempts_matter else 1


def check(request: AugmentRequest) -> AugmentOrder:
    """The order, or LeganError with every problem of arguments, input, model, matcher and output; nothing is computed."""
    problems = _argument_problems(request)
    given = problems.from_(lambda: read_input(request.input))
    model = problems.from_(lambda: read_model(Path(named_model(request.model).folder)), "--model")
    path = request.matcher
    stored = None if path is None else problems.from_(lambda: load_identity(path), "--matcher")

    wanted, matcher = Wanted(), None
    if model is not None:
        wanted, more = _wanted(request, model)
        problems += more
        if request.min_quality is not None and model.quality is None:
            problems.add("--min-quality", "it needs a model with a quality model Q, and this one has none; leave it out")
    if model is not None and stored is not None:
        matcher = problems.from_(lambda: check_matcher(stored, model.image_size))
    if model is not None and given is not None:
        problems += _keep_problems(request, given, model, wanted)
        balanced = {None: [], "both": ["expression", "lighting"]}.get(request.balance, [str(request.balance)])
        problems += problems_with(given, model, balanced)
    if given is None or model is None or problems:
        raise ConfigError(problems)

    origin = Origin(*_named(request.model), weights_hash(model.generator), request.seed)
    originals = request.originals if request.originals is not None else request.balance is not None
    digest = _digest(request, given, model, matcher, origin, bool(kept_kinds(wanted)))
    return AugmentOrder(request, given, model, matcher, wanted, origin, originals, digest)


def refuse_output(out: Path, *, overwrite: bool) -> None:
    """DataError when ``out`` must not or cannot be written."""
    refuse_existing(out, FILE, overwrite=overwrite)


def finished(order: AugmentOrder) -> bool:
    """Whether the very same order has been carried out before."""
    described = order.request.out / FILE
    if not described.is_file():
        return False
    try:
        values = json.loads(described.read_text(encoding="utf-8"))
        return bool(values["info"]["augmented"] == order.digest)
    except (OSError, ValueError, KeyError, TypeError):
        return False  # something else, which is refused


def _argument_problems(request: AugmentRequest) -> Problems:
    problems = Problems()
    modes = {
        "--labels": request.labels is not None,
        "--all": request.all,
        "--balance": request.balance is not None,
        "--random": request.random is not None,
    }
    given = [mode for mode, there in modes.items() if there]
    if len(given) != 1:
        which = " and ".join(given) if given else "none of them"
        problems.add("", f"give one of {', '.join(modes)}, not {which}")
    if request.min_similarity is not None and request.matcher is None:
        problems.add("--min-similarity", "it needs a --matcher: a run of `legan train identity`, or facenet", "--matcher")

    for option, value, low, high in (
        ("--min-quality", request.min_quality, 0, 10),
        ("--min-similarity", request.min_similarity, -1, 1),
        ("--attempts", request.attempts, 1, MAX_ATTEMPTS),
        ("--seed", request.seed, 0, 2**31 - 1),
    ):
        if value is not None and not low <= value <= high:
            problems.add(f"{option} {value:g}", f"it has to be from {low} to {high}")
    for option, number, least in (
        ("--random", request.random, 1),
        ("--workers", request.workers, 0),
        ("--batch-size", request.batch_size, 1),
    ):
        if number is not None and number < least:
            problems.add(f"{option} {number}", f"it has to be {least} or more")

    if request.out.name in ("", ".."):
        problems.add(f"OUT {request.out}", "it has no name of its own; give a folder below it")
    if request.out.absolute() == request.input.absolute():
        problems.add("OUT", "it is INPUT itself; give another OUT")
    return problems


def _wanted(request: AugmentRequest, model: Model) -> tuple[Wanted, Problems]:
    problems = Problems()
    schema, pairs = model.schema, []
    for text in [] if request.labels is None else request.labels.split(","):
        expression, sign, lighting = (part.strip() for part in text.partition(":"))
        if not (sign and expression and lighting):
            problems.add(f"--labels {text.strip()}", "write EXPRESSION:LIGHTING,…, for example smile:left")
            continue
        unknown = unknown_classes(schema, [expression], [lighting], keeps=True)
        problems += [Problem("--labels", f"{each.place} {each.message}") for each in unknown]
        if not unknown:
            own = (is_kept(schema, "expression", expression), is_kept(schema, "lighting", lighting))
            first = UNKNOWN if own[0] else schema.expression_index(expression)
            pairs.append((first, UNKNOWN if own[1] else schema.lighting_index(lighting)))
    if any(_may_be_same(*both) for both in itertools.combinations(pairs, 2)):
        problems.add("--labels", "a combination is named twice, or keep may be another one; the same face would be made twice")

    most = len(schema.expressions) * len(schema.lightings) - 1
    if request.random is not None and request.random > most:
        problems.add(
            f"--random {request.random}", f"the model has {counted(most, 'combination')} beside a face's own; take --all for all"
        )
    return Wanted(tuple(pairs), request.all, request.random, request.balance, request.train_only), Problems(
        dict.fromkeys(problems)
    )


def _may_be_same(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two combinations are the same for some face; UNKNOWN is the face's own class."""
    return all(a == b or UNKNOWN in (a, b) for a, b in zip(one, other, strict=True))


def _keep_problems(request: AugmentRequest, given: Header | Photographs, model: Model, wanted: Wanted) -> Problems:
    """Faces of which nobody can say what class is to be kept."""
    problems = Problems()
    if request.labels is None or model.predictor is not None:
        return problems
    labels = labels_of(pa.Table.from_pandas(classes_beforehand(given)), model.schema)
    for kind, count in unsaid(labels, kept_kinds(wanted)).items():
        cause = f"{KEEP} needs a label predictor for {counted(count, 'face')} without a known {kind}, and this model carries none"
        problems.add("--labels", f"{cause}; name the {kind}, or train the model anew")
    return problems


def _named(source: str) -> tuple[str, str]:
    """Name and version of the model in provenance: the registry's, else what was typed and nothing."""
    if source.startswith("models:/"):
        return model_version(source)[:2]
    return source, ""


def _digest(
    request: AugmentRequest,
    given: Header | Photographs,
    model: Model,
    matcher: LightCNN | FacenetIdentity | None,
    origin: Origin,
    reads: bool,
) -> str:
    deciding = {
        "format": FORMAT,
        "input": given.content_hash if isinstance(given, Header) else given.digest(),
        "parts": [JOBS, PHOTOS],
        **({"attempts": list(ATTEMPTS)} if isinstance(given, Photographs) else {}),
        "origin": asdict(origin),
        "quality": None if model.quality is None else weights_hash(model.quality),
        "matcher": None if matcher is None else weights_hash(matcher),
        **({"predictor": weights_hash(model.predictor)} if reads and model.predictor is not None else {}),
        "alignment": model.alignment.to_dict(),
        "request": {
            name: getattr(request, name)
            for name in (
                "labels", "all", "balance", "random", "min_quality", "min_similarity", "attempts", "originals", "batch_size",
            )
        },
        **({"train_only": True} if request.train_only else {}),
        "name": request.out.name,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
