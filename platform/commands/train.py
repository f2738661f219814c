"""``legan train KIND``: a command for each kind of training, all from one table."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from legan.platform.commands.options import (
    CARRIED_MATCHER,
    DATA,
    IDENTITY,
    JUDGE,
    PRESET,
    QUALITY,
    RATINGS_HELP,
    RECOLOR,
    THREADS,
    WHITE_BALANCE,
    WORKERS,
    Address,
    DryRun,
    From,
    Gpu,
    KeepRate,
    Name,
    Resume,
    Set,
    path,
    told,
)


class Kind(NamedTuple):
    """What a kind of training is, and which of ``INPUTS`` its command takes."""

    help: str
    inputs: tuple[str, ...]


CARRIED = ("judge", "matcher")
COLOURS = ("recolor", "white_balance")
KINDS = {
    "identity": Kind("Train T, the identity network, on subject labels. Needs --data.", ("data",)),
    "quality": Kind("Train Q, the quality model, on rated images. Needs --ratings.", ("ratings",)),
    "classifier": Kind("Train the independent judge of expression and lighting. Needs --data.", ("data",)),
    "expression": Kind("Train Table 5's classifier of expressions, on real faces and translations. Needs --data.", ("data",)),
    "legan": Kind(
        "Train LEGAN. Needs --data, T and Q; without T or Q, set loss.lambda_3 or loss.lambda_4 to 0.",
        ("data", "identity", "quality", *CARRIED, *COLOURS),
    ),
    "stargan": Kind(
        "Train StarGAN. Needs --data. With --quality Q and --set loss.lambda_4=0.5 it is StarGAN with Lqual.",
        ("data", "identity", "quality", *CARRIED, *COLOURS),
    ),
    "stargan_v2": Kind(
        "Train StarGAN-v2. Needs --data. A domain is a pair of expression and lighting.", ("data", *CARRIED, *COLOURS)
    ),
    "recolor": Kind("Train a network that recolours faces. Needs --data, images in colour; labels are not looked at.", ("data",)),
}
INPUTS = {
    "data": DATA,
    "ratings": path("--ratings", help=RATINGS_HELP),
    "identity": IDENTITY,
    "quality": QUALITY,
    "judge": JUDGE,
    "matcher": CARRIED_MATCHER,
    "recolor": RECOLOR,
    "white_balance": WHITE_BALANCE,
}
SEVERAL = {"recolor": list[Path], "white_balance": list[str]}
"""Types of the inputs that may be given more than once; the others are one path."""


def mount(app: typer.Typer) -> None:
    """Add ``train`` to the application."""
    train = typer.Typer(
        help="Train T, Q, the judge (classifier), a classifier of expressions, LEGAN itself, its rivals, or a recolourer.",
        no_args_is_help=True,
    )
    for name, kind in KINDS.items():
        train.command(name, help=kind.help)(_command(name, kind.inputs))
    app.add_typer(train, name="train")


def _command(kind: str, inputs: tuple[str, ...]) -> Callable[..., None]:
    """The command of one kind; Typer reads its options off the signature that it is given here."""

    def train(
        *,
        preset: Annotated[str | None, told(PRESET, "quick")] = None,
        overrides: Set = None,
        name: Name = None,
        resume: Resume = None,
        source: From = None,
        keep_rate: KeepRate = False,
        workers: Annotated[int | None, told(WORKERS, "the preset's, else 1")] = None,
        gpu: Gpu = None,
        threads: Annotated[int | None, told(THREADS, "as many as processors are free")] = None,
        address: Address = None,
        dry_run: DryRun = False,
        **given: Path | list[Path] | list[str] | None,
    ) -> None:
        from legan.platform.config import given_twice, resolve
        from legan.platform.errors import Problems
        from legan.platform.training.start import resume_training, start_training, train_further

        _one_beginning(resume, source, keep_rate)
        asked = {name: value or None for name, value in given.items()}
        changes, values = overrides or [], {**asked, "workers": workers, "gpu": gpu, "threads": threads}
        Problems(given_twice(changes, values)).raise_if_any()
        if resume is not None:
            resume_training(kind, resume, changes, {**values, "preset": preset}, name, address, dry_run)
        elif source is not None:
            train_further(kind, source, changes, {**values, "preset": preset}, keep_rate, name, address, dry_run)
        else:
            start_training(kind, resolve(kind, preset or "quick", changes, values), name, address, dry_run)

    first, second, *others, _ = inspect.signature(train).parameters.values()
    taken = [first.replace(name=each, annotation=Annotated[SEVERAL.get(each, Path) | None, INPUTS[each]]) for each in inputs]
    vars(train)["__signature__"] = inspect.Signature([first, second, *taken, *others])
    return train


def _one_beginning(resume: str | None, source: str | None, keep_rate: bool) -> None:
    """ConfigError where options do not go together that say how a training begins."""
    from legan.platform.errors import Problems

    problems = Problems()
    if resume is not None and source is not None:
        problems.add("--from", "it begins a new run, and --resume goes on with one; leave one of them out")
    if keep_rate and source is None:
        problems.add("--keep-rate", "it says how the learning rate of --from goes on; name a run there, or leave it out")
    problems.raise_if_any()
