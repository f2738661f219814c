"""What a training begins from (``--from``): a run, with its settings and optimisers, or the weights of a model's folder alone.

The new run's folder begins with a checkpoint: the former run's, or one of the model's weights and fresh optimisers. From there on
it is trained and resumed like any other. Its setting ``start``, its tags and run.json name where it came from.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from legan.models.attributes import AttributeSchema
from legan.models.expression import AttributeClassifier, ExpressionClassifier
from legan.models.generator import Generator
from legan.models.identity import LightCNN
from legan.models.quality import QualityModel
from legan.models.recolor import ColorizationGenerator
from legan.models.stargan import StarGanGenerator
from legan.models.stargan_v2 import StyledGenerator
from legan.platform.config import Checked, flatten, read_section, resolve_over
from legan.platform.errors import LeganError, Problem, Problems
from legan.platform.files import write_whole
from legan.platform.model import MODEL_FILE, find_model, load_network, numbers_of, read_model
from legan.platform.processors import usable_processors
from legan.platform.settings import CriticSettings, IdentitySettings, QualitySettings, StartSettings, TrainingSettings
from legan.platform.tracking.mlflow_access import run_of
from legan.platform.tracking.places import RUN_FILE, default_home, run_in_store
from legan.platform.training.checkpoint import Checkpoint, link_checkpoint, list_checkpoints, save_checkpoint
from legan.platform.training.checks import Facts, Inputs, hashes
from legan.platform.training.lifecycle import build_task
from legan.platform.training.parallel import Ranks
from legan.platform.training.run_folder import Run, open_run, read_inputs
from legan.platform.training.tasks.legan_stargan import AVERAGE

NETWORK = ("generator", "discriminator", "network", "width", "layers", "hidden", "features", "image_size")
"""The settings, or sections of settings, that say what networks are like."""


class Known(NamedTuple):
    """What a network has been trained on, as far as that is known; ``learned_from`` is as ``Dataset.people``."""

    image_size: int | None = None
    expressions: tuple[str, ...] | None = None
    lightings: tuple[str, ...] | None = None
    people: int | None = None
    learned_from: tuple[str, ...] = ()


class Beginning(NamedTuple):
    """What a training begins from.

    ``values`` are the settings that it takes over, of which ``fixed``, by dotted names, cannot be others. ``fill`` puts the first
    checkpoint into the folder of a new run. ``lines`` tell a person what is taken over.
    """

    start: StartSettings
    values: Mapping[str, Any]
    fixed: Mapping[str, Any]
    known: Known
    record: Mapping[str, Any]
    lines: Callable[[TrainingSettings], Iterable[str]]
    fill: Callable[[Facts, Inputs, Path], None]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.start.source

    @property
    def tags(self) -> dict[str, str]:
        """What the new run's record in MLflow says of it."""
        return {f"from_{key}": str(value) for key, value in self.record.items() if value}


def find_origin(kind: str, source: str, preset: str | None, keep_rate: bool, inputs: Inputs) -> Beginning:
    """The run, model folder or MLflow URI that a training of ``kind`` is to begin from.

    Raises ConfigError where it is not of that kind or has nothing to begin from, and the LeganError of what cannot be read.
    """
    for folder in (Path(source), default_home() / source):
        if (folder / "config.yaml").is_file():
            return _from_run(kind, open_run(default_home(), str(folder)), preset, keep_rate, inputs)
    return _from_model(kind, source, preset or "quick", keep_rate)


def resolve_from(kind: str, origin: Beginning, overrides: Iterable[str], changed: Mapping[str, Any]) -> Checked[TrainingSettings]:
    """The settings of the origin, then ``overrides``, then what has ``changed``, and what is wrong with them."""
    asked = resolve_over(kind, origin.values, overrides, changed, origin.start)
    if asked.settings is None:
        return asked
    flat = flatten(asked.settings.model_dump(mode="json"))
    fixed = [
        Problem(key, f"the weights of {origin.name} are of {was}, and nothing else; leave it out")
        for key, was in origin.fixed.items()
        if flat[key] != was
    ]
    return asked._replace(problems=[*asked.problems, *(each for each in fixed if not each.concerns(asked.wrong))])


def misfits(origin: Beginning, facts: Facts) -> Problems:
    """Why what the origin knows cannot be trained further on the data of this training."""
    problems, known, data = Problems(), origin.known, facts.data
    if data is None:
        return problems
    if known.image_size not in (None, data.image_size):
        problems.add("data", f"its images are {data.image_size}×{data.image_size}, and {origin.name} is for {known.image_size}")
    if isinstance(facts.settings, IdentitySettings):
        people = len(np.unique(data.subject[data.rows("train")]))
        if known.people not in (None, people):
            problems.add("data", f"its training split shows {people} people, and {origin.name} tells {known.people} apart")
    if not facts.settings.looks_at_classes:
        return problems
    for what, there, learnt in (
        ("expressions", data.schema.expressions, known.expressions),
        ("lightings", data.schema.lightings, known.lightings),
    ):
        if learnt not in (None, there):
            message = f"its {what} are {', '.join(there)}, and {origin.name} has learnt {', '.join(learnt or ())}, in this order"
            problems.add("data", message)
    return problems


def begin(origin: Beginning, facts: Facts, inputs: Inputs, folder: Path) -> None:
    """Put into the folder of a new run what it begins with."""
    origin.fill(facts, inputs, folder / "checkpoints")
    write_whole(folder / RUN_FILE, json.dumps({"from": {**origin.record, "people": origin.known.learned_from}}, indent=2))


def _from_run(kind: str, run: Run, preset: str | None, keep_rate: bool, inputs: Inputs) -> Beginning:
    name, problems = run.folder.name, Problems()
    if run.kind != kind:
        problems.add("--from", f"{name} is a training of {run.kind}; use `legan train {run.kind} --from {name}`")
    if preset is not None:
        problems.add("--preset", f"the settings are those of {name}; change single ones with --set")
    done = list_checkpoints(run.checkpoints)
    if not done:
        model = f"; begin from the weights in {run.model}" if run.model.is_dir() else ""
        problems.add("--from", f"{name} has no checkpoint{model}")
    problems.raise_if_any()

    start, stored = StartSettings(source=name, step=done[-1].step, keep_rate=keep_rate), run_in_store(run.folder)
    values = run.settings.model_dump(mode="json", exclude={"start"})
    if run.settings.threads is not None and run.settings.threads > usable_processors():
        values["threads"] = None
    flat = flatten(values)
    return Beginning(
        start,
        values,
        {key: value for key, value in flat.items() if key.partition(".")[0] in NETWORK},
        _known_of_run(run, inputs),
        {"run": name, "step": start.step, "run_uid": stored.uid, "run_id": stored.run_id},
        partial(_run_lines, start, done[-1], flat),
        partial(_link, run, done),
    )


def _known_of_run(run: Run, inputs: Inputs) -> Known:
    with suppress(LeganError):  # it has not finished, or somebody has tidied up
        return _model(run.model).known
    with suppress(LeganError):  # of its data
        if run.settings.data is not None and not isinstance(run.settings, QualitySettings):
            data = inputs.dataset(run.settings.data).without(run.left_out)
            people = len(np.unique(data.subject[data.rows("train")]))
            return Known(data.image_size, data.schema.expressions, data.schema.lightings, people, data.people("train"))
    return Known()


def _run_lines(
    start: StartSettings, checkpoint: Checkpoint, before: Mapping[str, Any], settings: TrainingSettings
) -> Iterable[str]:
    networks = ", ".join(sorted(file.stem for file in checkpoint.path.glob("*.safetensors")))
    yield f"from {start.source}, step {start.step}: {networks}, with optimisers and step numbers"
    now = flatten(settings.model_dump(mode="json", exclude={"start"}))
    changed = [f"{key} {now[key]} (was {before[key]})" for key in before if str(now[key]) != str(before[key])]
    yield f"its settings too{', but ' + ', '.join(changed) if changed else ''}"
    rate = (
        f"falls as in one training of both runs' steps, from {start.step} on" if start.keep_rate else "starts its schedule again"
    )
    yield f"the learning rate {rate}"


def _link(run: Run, done: list[Checkpoint], facts: Facts, inputs: Inputs, folder: Path) -> None:
    """The run's checkpoints: all that it has kept, the best among them; only the last where other data validates otherwise."""
    name = "ratings" if isinstance(facts.settings, QualitySettings) else "data"
    averages = isinstance(facts.settings, CriticSettings) and facts.settings.average_decay > 0
    same = read_inputs(run).get(name) == hashes(facts.settings, inputs)[name]
    for checkpoint in done if same else done[-1:]:
        link_checkpoint(checkpoint, folder, with_metrics=same, also={AVERAGE: "generator"} if averages else {})


def _from_model(kind: str, source: str, preset: str, keep_rate: bool) -> Beginning:
    problems, folder = Problems(), find_model(source)
    found = _model(folder)
    trained, settings_of = TRAINED.get(type(found.network), (None, dict))
    if trained is None:
        problems.add("--from", f"{source} holds a {type(found.network).__name__}, which nothing here trains")
    elif trained != kind:
        problems.add("--from", f"{source} comes from a training of {trained}; use `legan train {trained} --from {source}`")
    if keep_rate:
        problems.add("--keep-rate", f"{source} does not tell how its learning rate fell; leave it out, or name its run")
    problems.raise_if_any()

    fixed = settings_of(found.numbers)
    values = read_section(preset, kind)
    for name, value in fixed.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    stored = run_of(source, folder, found.info)
    record = {"model": source, "run": found.info.get("run"), "run_uid": stored.uid, "run_id": stored.run_id}
    return Beginning(
        StartSettings(source=source),
        values,
        flatten(fixed),
        found.known,
        record,
        partial(_model_lines, source, flatten(fixed)),
        partial(_adopt, found.network),
    )


def _model_lines(source: str, fixed: Mapping[str, Any], settings: TrainingSettings) -> Iterable[str]:
    yield f"from {source}: its weights ({', '.join(f'{key} {value}' for key, value in fixed.items())}); all else begins anew"


def _adopt(network: nn.Module, facts: Facts, inputs: Inputs, folder: Path) -> None:
    """A checkpoint at step 0 with the weights of ``network``; what else is trained, and the optimisers, are as in a new run."""
    task = build_task(facts.settings, Ranks(), inputs, facts.left_out)
    task.adopt(network)
    save_checkpoint(folder, 0, task.networks, task.state_dict(), {})


class FinishedNetwork(NamedTuple):
    """What is in a model's or network's folder; ``numbers`` are what the network was built with."""

    network: nn.Module
    numbers: Mapping[str, Any]
    known: Known
    info: Mapping[str, Any]


def _model(folder: Path) -> FinishedNetwork:
    """What is in ``folder``; CheckpointError where it holds no model and no network."""
    if (folder / MODEL_FILE).is_file():
        model = read_model(folder)
        known = Known(model.image_size, model.schema.expressions, model.schema.lightings, learned_from=model.people)
        return FinishedNetwork(model.generator, numbers_of(model.generator), known, model.info)
    stored = load_network(folder)
    schema = AttributeSchema.from_dict(stored.info["schema"]) if "schema" in stored.info else None
    known = Known(
        stored.numbers.get("image_size"),
        schema.expressions if schema is not None else None,
        schema.lightings if schema is not None else None,
        stored.numbers.get("classes"),
        tuple(stored.info.get("people", ())),
    )
    return FinishedNetwork(stored.module, stored.numbers, known, stored.info)


def _section(name: str, *keys: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda numbers: {name: {key: numbers[key] for key in keys}}


def _own(*keys: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda numbers: {key: numbers[key] for key in keys}


GENERATOR = ("width", "blocks", "upsampling", "disentangled", "residual")
TRAINED: Mapping[type[nn.Module], tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    Generator: ("legan", lambda numbers: {"generator": {**_own(*GENERATOR)(numbers), "matched": False}}),
    StarGanGenerator: ("stargan", _section("generator", "width", "blocks", "residual")),
    StyledGenerator: ("stargan_v2", _section("network", "width", "max_width", "style", "latent", "hidden")),
    LightCNN: ("identity", lambda numbers: {"network": f"lightcnn{numbers['layers']}", **_own("width", "features")(numbers)}),
    QualityModel: ("quality", _own("image_size", "width", "layers", "hidden")),
    AttributeClassifier: ("classifier", _own("width")),
    ColorizationGenerator: ("recolor", _section("generator", "width", "skips")),
    ExpressionClassifier: ("expression", _own("width", "hidden", "dropout")),
}
"""What trains a network, and the settings that describe it by what it was built with."""
