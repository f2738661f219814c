"""``legan train identity|quality|classifier|legan|stargan|stargan_v2``."""

from pathlib import Path
from typing import Annotated

import typer

Preset = Annotated[
    str | None,
    typer.Option("--preset", "-p", help="Preset (paper, quick, rendered, yale) or a YAML file of your own; default: quick."),
]
Set = Annotated[list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one setting; repeatable.")]
Data = Annotated[Path | None, typer.Option("--data", "-d", help="Data set folder.")]
Ratings = Annotated[Path | None, typer.Option("--ratings", help="Ratings folder or table.")]
Identity = Annotated[
    Path | None, typer.Option("--identity", help="T: a run of `legan train identity`, a network folder, or facenet.")
]
Quality = Annotated[Path | None, typer.Option("--quality", help="Q: a run of `legan train quality`, or a network folder.")]
Name = Annotated[str | None, typer.Option("--name", "-n", help="Name of the run; default: kind and time.")]
Resume = Annotated[str | None, typer.Option("--resume", help="Continue this run (name or folder) from its last checkpoint.")]
Workers = Annotated[int | None, typer.Option("--workers", "-w", help="Ray Train workers; 0 trains in this process, without Ray.")]
Gpu = Annotated[bool | None, typer.Option("--gpu/--cpu", help="One GPU per worker.")]
Address = Annotated[str | None, typer.Option("--address", help="Ray cluster; default: RAY_ADDRESS, else one on this machine.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print the resolved plan, and stop.")]


def mount(app: typer.Typer) -> None:
    """Add ``train`` to the application."""
    train = typer.Typer(
        help="Train T (identity), Q (quality), the independent judge (classifier), LEGAN itself, or its rivals.",
        no_args_is_help=True,
    )

    @train.command()
    def identity(
        preset: Preset = None, overrides: Set = None, data: Data = None, name: Name = None, resume: Resume = None,
        workers: Workers = None, gpu: Gpu = None, address: Address = None, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train T, the identity network, on subject labels."""
        _train("identity", preset, overrides, {"data": data, "workers": workers, "gpu": gpu}, name, resume, address, dry_run)

    @train.command()
    def quality(
        preset: Preset = None, overrides: Set = None, ratings: Ratings = None, name: Name = None, resume: Resume = None,
        workers: Workers = None, gpu: Gpu = None, address: Address = None, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train Q, the quality model, on rated images."""
        _train("quality", preset, overrides, {"ratings": ratings, "workers": workers, "gpu": gpu}, name, resume, address, dry_run)

    @train.command()
    def classifier(
        preset: Preset = None, overrides: Set = None, data: Data = None, name: Name = None, resume: Resume = None,
        workers: Workers = None, gpu: Gpu = None, address: Address = None, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train the independent judge of expression and lighting."""
        _train("classifier", preset, overrides, {"data": data, "workers": workers, "gpu": gpu}, name, resume, address, dry_run)

    @train.command()
    def legan(
        preset: Preset = None, overrides: Set = None, data: Data = None, identity: Identity = None, quality: Quality = None,
        name: Name = None, resume: Resume = None, workers: Workers = None, gpu: Gpu = None, address: Address = None,
        dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train LEGAN; needs T and Q, or their weights set to 0."""
        given = {"data": data, "identity": identity, "quality": quality, "workers": workers, "gpu": gpu}
        _train("legan", preset, overrides, given, name, resume, address, dry_run)

    @train.command()
    def stargan(
        preset: Preset = None, overrides: Set = None, data: Data = None, identity: Identity = None, quality: Quality = None,
        name: Name = None, resume: Resume = None, workers: Workers = None, gpu: Gpu = None, address: Address = None,
        dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train StarGAN; with --quality Q and --set loss.lambda_4=0.5, StarGAN with Lqual."""
        given = {"data": data, "identity": identity, "quality": quality, "workers": workers, "gpu": gpu}
        _train("stargan", preset, overrides, given, name, resume, address, dry_run)

    @train.command("stargan_v2")
    def stargan_v2(
        preset: Preset = None, overrides: Set = None, data: Data = None, name: Name = None, resume: Resume = None,
        workers: Workers = None, gpu: Gpu = None, address: Address = None, dry_run: DryRun = False,
    ) -> None:  # fmt: skip
        """Train StarGAN-v2; a domain is a pair of expression and lighting."""
        _train("stargan_v2", preset, overrides, {"data": data, "workers": workers, "gpu": gpu}, name, resume, address, dry_run)

    app.add_typer(train, name="train")


def _train(
    kind: str,
    preset: str | None,
    overrides: list[str] | None,
    given: dict[str, Path | int | bool | None],
    name: str | None,
    resume: str | None,
    address: str | None,
    dry_run: bool,
) -> None:
    from legan.platform.training.start import resolve, resume_training, start_training

    if resume is not None:
        resume_training(kind, resume, overrides or [], {**given, "preset": preset}, name, address, dry_run)
    else:
        start_training(kind, resolve(kind, preset or "quick", overrides or [], given), name, address, dry_run)
