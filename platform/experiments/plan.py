"""What an experiment's steps are, and every reason why they cannot be done; told before anything is computed."""

import json
from functools import partial
from pathlib import Path

from legan.platform.config import Checked, resolve, to_yaml
from legan.platform.data.dataset import FILE as DATASET_FILE
from legan.platform.data.dataset import Dataset
from legan.platform.errors import CheckpointError, ConfigError, Problems, counted
from legan.platform.evaluation.expression.evaluate import FILE as EXPRESSION_FILE
from legan.platform.evaluation.verification.pair_lists import read_list
from legan.platform.evaluation.verification.report import FILE as VERIFICATION_FILE
from legan.platform.experiments.experiment import (
    ARMS,
    HASHES,
    TRAINED,
    Arm,
    Experiment,
    ExperimentSettings,
    begun_otherwise,
)
from legan.platform.experiments.steps import Step, start
from legan.platform.files import sha256, unwritable, write_whole
from legan.platform.model import NETWORK_FILE
from legan.platform.settings import TrainingSettings
from legan.platform.tracking.delivery import PARENT_UID
from legan.platform.tracking.places import read_run_file
from legan.platform.tracking.spool import closed_as
from legan.platform.training.checks import Facts, Inputs, trainable
from legan.platform.training.run_folder import Run, create_run, open_run

SCORES = {"verification": VERIFICATION_FILE, "expression": EXPRESSION_FILE}


def asked_training(
    experiment: Experiment, data: Path, seed: int, workers: int | None, gpu: bool | None
) -> Checked[TrainingSettings]:
    """The settings of a training of an arm, whose data are ``data``."""
    asked, given = experiment.settings, {"data": data, "seed": seed, "workers": workers, "gpu": gpu}
    return resolve(TRAINED[asked.question], experiment.preset, asked.overrides, given)


def equal_steps(settings: TrainingSettings, images: int) -> TrainingSettings:
    """The same for as many steps as its epochs of so many training images are: all arms are trained for equal steps."""
    if settings.steps is not None:
        return settings
    return settings.model_copy(update={"steps": settings.total_steps(images, settings.batch_size), "epochs": None})


def check_experiment(
    experiment: Experiment, inputs: Inputs, workers: int | None = None, gpu: bool | None = None, elsewhere: bool = False
) -> Facts:
    """What is known of the training of the arm ``none``; ConfigError with every problem of data, pairs, model and settings.

    A child process holds the model against the data, as it will for the translations.
    """
    settings, problems = experiment.settings, Problems()
    problems += begun_problems(experiment)
    data = problems.from_(lambda: inputs.dataset(settings.data), "--data")
    same = settings.test_data == settings.data
    test = data if same else problems.from_(lambda: inputs.dataset(settings.test_data), "--test-data")
    told = Problems()
    facts = told.from_(lambda: trainable(asked_training(experiment, settings.data, 0, workers, gpu), inputs, elsewhere))
    problems += [each for each in told if data is not None or each.place != "data"]  # why the data cannot be opened is told
    if settings.pairs is not None and not settings.pairs.is_file():
        problems.add("--list", f"{settings.pairs} is no file; give the published list of pairs, or a table of your own")
    if data is not None and test is not None:
        problems += _test_problems(settings, data, test)
    if settings.real is not None:
        real = problems.from_(partial(inputs.dataset, settings.real), "--real")
        if real is not None and data is not None:
            problems += _real_problems(settings, data, real)
    if data is not None and not (experiment.translations / DATASET_FILE).is_file():
        problems += _translation_problems(experiment)
    if not problems:
        problems += changed_since(experiment, inputs)
    problems = Problems(dict.fromkeys(problems))
    if problems or facts is None:
        raise ConfigError(problems)
    return facts


def begun_problems(experiment: Experiment) -> Problems:
    """What is in the way of making the experiment's folder, or of going on with what is there."""
    problems = Problems()
    why = unwritable(experiment.folder)
    if why is not None:
        problems.add("LEGAN_HOME", f"the experiment cannot be kept in {experiment.folder}: {why}; name another folder there")
        return problems
    problems += problems.from_(partial(begun_otherwise, experiment.folder, experiment.settings), "--name") or []
    return problems


def _test_problems(settings: ExperimentSettings, data: Dataset, test: Dataset) -> Problems:
    problems = Problems()
    if test.image_size != data.image_size:
        sizes = f"{test.image_size}×{test.image_size} images, --data has {data.image_size}×{data.image_size}"
        problems.add("--test-data", f"it has {sizes}; prepare both at one size")
    trained = set(data.people("train"))
    if settings.question == "verification":
        pairs, protocol = settings.pairs, settings.protocol
        if pairs is None or protocol is None:
            problems.add("--list", "verification needs a list of pairs and its --protocol")
            return problems
        compared = problems.from_(lambda: read_list(protocol, pairs, test), "--list") if pairs.is_file() else None
        tested = set(test.people_called(compared.subjects)) if compared is not None else set()
        whom = "of the pairs"
    else:
        rows = test.real_rows("test")
        shown = {str(name) for name in test.faces["expression"].iloc[rows]}
        taught = {str(name) for name in data.faces["expression"].iloc[data.rows("train")]}
        if shown != taught:
            odd = ", ".join(sorted(shown ^ taught))
            problems.add(
                "--test-data",
                f"its test split and the training split of --data show other expressions ({odd}); give both the same classes",
            )
        tested, whom = set(test.people("test")), "of the test split"
    both = trained & tested
    if both:
        people = counted(len(tested), "person", "people")
        problems.add(
            "--test-data", f"{len(both)} of the {people} {whom} are in the training split of --data; leave them out there"
        )
    return problems


def _real_problems(settings: ExperimentSettings, data: Dataset, real: Dataset) -> Problems:
    problems = Problems()
    if real.image_size != data.image_size:
        sizes = f"{real.image_size}×{real.image_size} images, --data has {data.image_size}×{data.image_size}"
        problems.add("--real", f"it has {sizes}; prepare both at one size")
    if len(real) and len(data) and len(real.faces["landmarks"].iloc[0]) != len(data.faces["landmarks"].iloc[0]):
        problems.add("--real", "its faces have other landmarks than those of --data; prepare both with one landmarker")
    return problems


def _translation_problems(experiment: Experiment) -> Problems:
    """What `legan augment` says of the model and the data."""
    problems = Problems()
    arguments = translation_arguments(experiment.settings, experiment.translations, None, None)
    process = start([*arguments, "--dry-run"])
    said, _ = process.communicate()
    if process.returncode:
        lines = [line.strip() for line in said.strip().splitlines() if line.strip()]
        told = [line.removeprefix("- ") for line in lines if line.startswith("- ")] or lines[-1:]
        for line in told:
            problems.add("--model", line.removeprefix("legan: ").removeprefix("--model: ").rstrip("."))
    return problems


def translation_arguments(settings: ExperimentSettings, out: Path, workers: int | None, address: str | None) -> tuple[str, ...]:
    """How `legan augment` makes the translations: one of each training face, or what sparse expressions lack."""
    what = ("--random", "1", "--train-only") if settings.question == "verification" else ("--balance", "expression")
    place = ("--workers", "0") if workers == 0 else (("--address", address) if address else ())
    return ("augment", str(settings.data), str(out), "--model", settings.model, *what, "--no-originals", *place)


def translation_step(experiment: Experiment, workers: int | None, address: str | None) -> Step:
    """The step that makes the translations."""
    out = experiment.translations
    return Step("translations", translation_arguments(experiment.settings, out, workers, address), (out / DATASET_FILE).is_file)


def arm_step(experiment: Experiment, arm: Arm) -> Step:
    """The step that writes the training data of an arm, other than ``none``."""
    made = experiment.data(arm) / DATASET_FILE
    return Step(f"data of {arm}", ("experiment", "data", str(experiment.folder), arm), made.is_file)


def training_step(experiment: Experiment, arm: Arm, seed: int, address: str | None) -> Step:
    """The step that trains a network, whose run is there; it is done once the run is finished, too."""
    run, kind = experiment.trial(arm, seed), TRAINED[experiment.settings.question]
    place = ("--address", address) if address else ()
    model = run / "model" / NETWORK_FILE
    arguments = ("train", kind, "--resume", str(run), *place)
    return Step(run.name, arguments, lambda: model.is_file() and closed_as(run) == "FINISHED")


def evaluation_step(experiment: Experiment, arm: Arm, seed: int) -> Step:
    """The step that scores a trained network on the test data."""
    asked, run, out = experiment.settings, experiment.trial(arm, seed), experiment.evaluation(arm, seed)
    what = ("--protocol", str(asked.protocol), "--list", str(asked.pairs)) if asked.question == "verification" else ()
    arguments = ("evaluate", asked.question, str(run), "--data", str(asked.test_data), *what, "--out", str(out))
    return Step(run.name, arguments, (out / SCORES[asked.question]).is_file)


def open_trial(
    experiment: Experiment, arm: Arm, seed: int, inputs: Inputs, images: int, workers: int | None, gpu: bool | None
) -> Run:
    """The run of a training, made if there is none yet; it is trained for the steps that so many ``images`` give.

    ConfigError where an arm's data cannot be trained on.
    """
    folder = experiment.trial(arm, seed)
    if (folder / "config.yaml").is_file():
        return open_run(folder.parent, folder.name)
    asked = experiment.settings
    facts = trainable(asked_training(experiment, experiment.data(arm), seed, workers, gpu), inputs)
    parent = read_run_file(experiment.parent).get("run_uid")
    tags = {
        "experiment": experiment.name,
        "variant": arm,
        "seed": str(seed),
        "trial": folder.name,
        **({PARENT_UID: str(parent)} if parent else {}),
    }
    settings = equal_steps(facts.settings, images)
    return create_run(
        folder.parent, TRAINED[asked.question], settings, folder.name, tags, register=False, left_out=facts.left_out
    )


def remember(experiment: Experiment, inputs: Inputs) -> None:
    """Keep the hashes of what the experiment is made of; ConfigError where it is not what the experiment began with.

    The model's weights are what its translations say.
    """
    changed_since(experiment, inputs).raise_if_any()
    write_whole(experiment.folder / HASHES, json.dumps(_hashes(experiment.settings, inputs), indent=1) + "\n")


def changed_since(experiment: Experiment, inputs: Inputs) -> Problems:
    """What is not as the experiment began with it, of data and pairs; nothing before it began."""
    problems, asked, file = Problems(), experiment.settings, experiment.folder / HASHES
    if not file.is_file():
        return problems
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read; remove it if nothing changed.") from error
    for name, now in _hashes(asked, inputs).items():
        if before.get(name, now) != now and not (name == "test_data" and asked.test_data == asked.data):
            changed = f"{getattr(asked, name)} has changed since {experiment.name} began; bring it back, or choose another --name"
            problems.add(f"--{'list' if name == 'pairs' else name.replace('_', '-')}", changed)
    return problems


def _hashes(asked: ExperimentSettings, inputs: Inputs) -> dict[str, str]:
    now = {"data": inputs.dataset(asked.data).content_hash, "test_data": inputs.dataset(asked.test_data).content_hash}
    if asked.real is not None:
        now["real"] = inputs.dataset(asked.real).content_hash
    if asked.pairs is not None:
        now["pairs"] = sha256(asked.pairs)
    return now


def describe(experiment: Experiment, facts: Facts) -> str:
    """What would be made and trained, as text."""
    asked, data = experiment.settings, facts.data
    images = 0 if data is None else len(data.rows("train"))
    trained = equal_steps(facts.settings, images)
    count = asked.seeds * len(asked.arms)
    lines = [
        f"experiment {experiment.name}, to be kept in {experiment.folder}",
        f"translations: legan {' '.join(translation_arguments(asked, experiment.translations, None, None))}",
        *(f"arm {arm}: {ARMS[arm]}" for arm in asked.arms),
        f"{counted(count, 'training')} ({counted(len(asked.arms), 'arm')}, {counted(asked.seeds, 'seed')}) of "
        f"`legan train {TRAINED[asked.question]}`, each {counted(trained.steps or 0, 'step')} of {trained.batch_size} images",
        f"each scored: legan {' '.join(evaluation_step(experiment, 'none', 0).arguments)}",
        "",
        to_yaml(trained).rstrip(),
    ]
    return "\n".join(lines)
