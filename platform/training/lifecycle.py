"""The life of a training: its task is made of a run's settings, goes on from the last checkpoint, and ends in a model.

Each worker lives it; the first one also records it.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from legan import __version__
from legan.models import stargan
from legan.models.attributes import AttributeSchema
from legan.models.discriminator import Discriminator
from legan.models.expression import AttributeClassifier
from legan.models.generator import Generator, matched_width
from legan.models.identity import FacenetIdentity, LightCNN
from legan.models.layers import equal_shuffles
from legan.models.quality import QualityModel
from legan.platform.config import flatten
from legan.platform.data.dataset import NOTHING, SPLITS, Dataset, LeftOut
from legan.platform.data.variants.stored import make_variants
from legan.platform.device import keep_freed_memory, place
from legan.platform.errors import ConfigError, counted
from legan.platform.model import MODEL_FILE, StoredNetwork
from legan.platform.rival_settings import RecolorSettings, StarGanSettings, StarGanV2Settings
from legan.platform.settings import (
    ClassifierSettings,
    ExpressionSettings,
    IdentitySettings,
    LeganSettings,
    QualitySettings,
    TrainingSettings,
    TranslatorSettings,
)
from legan.platform.tracking.places import experiment, git_commit, read_run_file, run_in_store
from legan.platform.tracking.tracker import Status, Tracker
from legan.platform.training.checks import NO_BF16, Inputs, given, hashes, lacks_bf16
from legan.platform.training.colours import colour_variants
from legan.platform.training.loop import Listener, StoppedEarly, load_for_export, train
from legan.platform.training.parallel import Ranks, all_or_none
from legan.platform.training.run_folder import Run, changed_inputs, remember_inputs
from legan.platform.training.task import Task
from legan.platform.training.tasks.classifier import classifier_task
from legan.platform.training.tasks.expression import expression_task
from legan.platform.training.tasks.identity import identity_task
from legan.platform.training.tasks.legan_stargan import Critics, LeganTask
from legan.platform.training.tasks.quality import quality_task
from legan.platform.training.tasks.recolor import recolor_task
from legan.platform.training.tasks.stargan_v2 import StarGanV2Task, build_networks

TITLES = {
    "legan": "LEGAN",
    "stargan": "StarGAN",
    "stargan_v2": "StarGAN-v2",
    "identity": "T, the identity network,",
    "quality": "Q, the quality model,",
    "classifier": "The independent judge of expression and lighting,",
    "recolor": "The recolourer,",
    "expression": "The classifier of expressions,",
}
HEARD = b"\nstopping after this step, with a checkpoint; a second Ctrl-C ends at once, without one\n"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
RATINGS_INFO = ("simulated_ratings", "ratings_hash", "ratings_panel")
"""What a Q says of its ratings, and with it what is trained with that Q."""


def train_run(
    run: Run,
    ranks: Ranks,
    tracking_uri: str,
    say: Callable[[str], None],
    report: Callable[[int, Mapping[str, float]], None] | None = None,
    inputs: Inputs | None = None,
    end_asked: Callable[[], bool] | None = None,
) -> None:
    """What each worker does: train from the last checkpoint to the end; the first one also records and exports.

    ``inputs`` are those that this process has opened already, ``end_asked`` is as in Listener. Raises the LeganError that
    ended the training, StoppedEarly or Interrupted; the checkpoints and all that was recorded stay. A training that was stopped
    early leaves no model, and its MLflow run is finished with the tag ``stopped_early``.
    """
    if ranks.device.type == "cpu":
        keep_freed_memory()
    else:
        torch.backends.cudnn.allow_tf32 = run.settings.precision != "fp32"
    if run.settings.threads is not None:
        torch.set_num_threads(run.settings.threads)

    with all_or_none(ranks):
        if lacks_bf16(run.settings):
            raise ConfigError([NO_BF16])
        inputs = inputs or Inputs()
        if ranks.is_first and isinstance(run.settings, TranslatorSettings) and run.settings.in_other_colours:
            data = inputs.dataset(given(run.settings.data))
            make_variants(data, colour_variants(run.settings, data, ranks.device), say)
    with all_or_none(ranks):
        task = build_task(run.settings, ranks, inputs, run.left_out)
        made_of = hashes(run.settings, inputs)
        changed = changed_inputs(run, made_of)
        if changed:
            raise ConfigError(changed)
        tags = tags_of(run, task)

    with all_or_none(ranks):
        tracker = _tracker(run, task, tags, tracking_uri, say) if ranks.is_first else None
    if tracker is None:
        train(task, run.settings, run.checkpoints, ranks, Listener(None, say, report, end_asked))
        return

    status: Status = "FAILED"
    try:
        remember_inputs(run, made_of)
        tracker.log_input(*_data(run, inputs, tags))
        train(task, run.settings, run.checkpoints, ranks, Listener(tracker, say, report, end_asked))
        _export(run, task, tracker, tags)
        status = "FINISHED"
    except StoppedEarly:
        tracker.set_tags({"stopped_early": "true"})
        status = "FINISHED"
        raise
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.close(status)
    for remark in task.remarks():
        say(f"note: {remark}")
    page = run_in_store(run.folder).page
    say(f"finished: the model is {run.model}" + (f", its run {page}" if page else ""))


@contextmanager
def end_on_request(then: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Within the block the first Ctrl-C or SIGTERM calls ``then`` and nothing else; what is given tells whether it has come.

    The second one raises KeyboardInterrupt. In a thread other than the main one, which gets no signals, none ever comes.
    """
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        os.write(2, HEARD)  # print may be what the signal interrupted
        then()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = [(number, signal.signal(number, ask)) for number in SIGNALS]
    try:
        yield asked.is_set
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def build_task(settings: TrainingSettings, ranks: Ranks, inputs: Inputs, left_out: LeftOut = NOTHING) -> Task:
    """The task that ``settings`` describe without the classes ``left_out``, its networks initialised from the seed alone.

    Raises a LeganError where something that ``check`` looks at has changed since.
    """
    torch.manual_seed(settings.seed)
    if isinstance(settings, QualitySettings):
        return quality_task(settings, inputs.ratings(given(settings.ratings), settings.image_size), ranks)
    data = inputs.dataset(given(settings.data)).without(left_out)
    if isinstance(settings, IdentitySettings):
        return identity_task(settings, data, ranks)
    if isinstance(settings, ClassifierSettings):
        return classifier_task(settings, data, ranks)
    if isinstance(settings, RecolorSettings):
        return recolor_task(settings, data, ranks)
    if isinstance(settings, ExpressionSettings):
        return expression_task(settings, data, ranks)
    if isinstance(settings, LeganSettings | StarGanSettings):
        return _critic_task(settings, data, ranks, inputs)
    if isinstance(settings, StarGanV2Settings):
        classes = len(data.schema.expressions), len(data.schema.lightings)
        networks = build_networks(settings, *classes, data.image_size)
        return StarGanV2Task(settings, data, ranks, networks, *_carried(settings, ranks, inputs))
    raise TypeError(f"no training is known for {type(settings).__name__}")


def tags_of(run: Run, task: Task) -> dict[str, str]:
    """What the run's record in MLflow is found by."""
    settings = run.settings
    path = settings.ratings if isinstance(settings, QualitySettings) else settings.data
    return {
        "kind": run.kind,
        "git_commit": git_commit() or "none",
        "data_hash": task.info["ratings_hash" if isinstance(settings, QualitySettings) else "data_hash"],
        "data": str(path.resolve()) if path is not None else "none",
        **{name: str(task.info[name]).lower() for name in RATINGS_INFO if name in task.info},
        **run.tags,
    }


def description_of(run: Run, task: Task) -> str:
    """What MLflow shows on top of the run and of its registered model."""
    settings = run.settings
    path = given(settings.ratings if isinstance(settings, QualitySettings) else settings.data)
    return f"{TITLES[run.kind]} trained on {path.name}: {task.total_steps:,} steps of {counted(task.images_per_step, 'image')}."


def _data(run: Run, inputs: Inputs, tags: Mapping[str, str]) -> tuple[str, str, str, dict[str, int]]:
    """Name, hash, place and counts of what a training sees."""
    if isinstance(run.settings, QualitySettings):
        return Path(tags["data"]).name, tags["data_hash"], tags["data"], {}
    data = inputs.dataset(given(run.settings.data))
    counts: dict[str, int] = {split: len(data.rows(split)) for split in SPLITS}
    return data.name, tags["data_hash"], tags["data"], {"faces": len(data)} | counts


def _tracker(run: Run, task: Task, tags: Mapping[str, str], tracking_uri: str, say: Callable[[str], None]) -> Tracker:
    return Tracker(
        run.folder,
        experiment=experiment(),
        run_name=run.folder.name,
        params=flatten(run.settings.model_dump(mode="json")),
        tags=tags,
        description=description_of(run, task),
        uri=tracking_uri,
        say=say,
    )


def _export(run: Run, task: Task, tracker: Tracker, tags: Mapping[str, str]) -> None:
    """Write the model, and record it with the settings and the checkpoint that it comes from."""
    step = load_for_export(task, run.checkpoints)
    provenance = {
        "run": run.folder.name,
        "run_uid": tracker.uid,
        **({"run_id": tracker.run_id} if tracker.run_id else {}),
        "step": str(step),
        "seed": str(run.settings.seed),
        "created_by": f"legan {__version__}",
        "git_commit": tags["git_commit"],
        "data_hash": tags["data_hash"],
    }
    _remember_earlier_people(run, task)
    task.export(run.model, provenance)

    tracker.log_artifact(run.folder / "config.yaml", None)
    tracker.log_artifact(run.checkpoints / f"step-{step:08d}", "checkpoint")
    if run.register and (run.model / MODEL_FILE).is_file():
        tracker.register_model(run.model, run.kind, description_of(run, task))
    else:
        tracker.log_artifact(run.model, "model")


def _remember_earlier_people(run: Run, task: Task) -> None:
    """Whom the weights that the run began with had learned from; nobody is known where that is not."""
    began = read_run_file(run.folder).get("from")
    if began is None:
        return
    if began.get("people"):
        task.people.update(began["people"])
    else:
        task.people.clear()


def _generator(settings: LeganSettings | StarGanSettings, schema: AttributeSchema) -> Generator | stargan.StarGanGenerator:
    classes = len(schema.expressions), len(schema.lightings)
    if isinstance(settings, StarGanSettings):
        return stargan.StarGanGenerator(*classes, **settings.generator.model_dump())
    numbers = settings.generator.model_dump(exclude={"icnr", "matched"})
    if settings.generator.matched:
        numbers["width"] = matched_width(*classes, numbers["width"], numbers["blocks"], numbers["upsampling"])
    G = Generator(*classes, **numbers)
    if settings.generator.icnr:
        equal_shuffles(G)
    return G


def _critic_task(settings: LeganSettings | StarGanSettings, data: Dataset, ranks: Ranks, inputs: Inputs) -> LeganTask:
    discriminator, schema = settings.discriminator, data.schema
    G = _generator(settings, schema)
    D = Discriminator(
        schema.size,
        image_size=data.image_size,
        width=discriminator.width,
        layers=discriminator.layers,
        classifier=discriminator.classifier,
    )

    identity = _frozen(settings.identity, settings, ranks, inputs) if settings.loss.lambda_3 > 0 else None
    quality = _frozen(settings.quality, settings, ranks, inputs) if settings.loss.lambda_4 > 0 else None
    T, Q = (None if stored is None else stored.module for stored in (identity, quality))
    if not isinstance(T, LightCNN | FacenetIdentity | None) or not isinstance(Q, QualityModel | None):
        raise TypeError(f"{settings.identity} or {settings.quality} holds another kind of network than its name says")

    info = {name: quality.info[name] for name in RATINGS_INFO if name in quality.info} if quality is not None else {}
    # The model remembers T's hash, so that no score is taken with T.
    info |= {f"{name}_weights": digest for name, digest in hashes(settings, inputs).items() if name in ("identity", "quality")}
    if identity is not None and "people" not in identity.info:
        info["identity_people"] = "unknown"
    task = LeganTask(settings, data, Critics(T, Q), ranks, G, D, info, *_carried(settings, ranks, inputs))
    task.people.update(identity.info.get("people", ()) if identity is not None else ())
    return task


def _carried(
    settings: TranslatorSettings, ranks: Ranks, inputs: Inputs
) -> tuple[AttributeClassifier | None, LightCNN | FacenetIdentity | None]:
    """The label predictor and the matcher that the settings name for the model's folder."""
    judge, matcher = (
        None if folder is None else _frozen(folder, settings, ranks, inputs).module
        for folder in (settings.judge, settings.matcher)
    )
    if not isinstance(judge, AttributeClassifier | None) or not isinstance(matcher, LightCNN | FacenetIdentity | None):
        raise TypeError(f"{settings.judge} or {settings.matcher} holds another kind of network than its name says")
    return judge, matcher


def _frozen(folder: Path | None, settings: TrainingSettings, ranks: Ranks, inputs: Inputs) -> StoredNetwork:
    stored = inputs.network(given(folder))
    place(stored.module.eval().requires_grad_(False), ranks.device, settings.channels_last)
    return stored
