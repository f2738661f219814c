"""``legan data``: make data sets of photographs, and look at them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from legan.platform.commands import complete
from legan.platform.commands.options import (
    PROCESSES,
    AsJson,
    DatasetArgument,
    Overwrite,
    Seed,
    name_option,
    out_option,
    path,
    told,
)
from legan.platform.commands.output import answer
from legan.platform.commands.render import mount_data
from legan.platform.data.sources.about import SOURCES
from legan.platform.errors import counted

data = typer.Typer(
    help="Make data sets of photographs or rendered faces, and look at them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


VAL_SHARE = typer.Option(
    min=0, max=0.9, help="Share of subjects for validation.", show_default="0.05; folder 0.1; yale 1 of 15; celeba its own"
)
TEST_SHARE = typer.Option(
    min=0,
    max=1,
    help="Share of subjects for testing; 1: all.",
    show_default="0.1; yale 2 of 15; multipie 34 of 337; celeba its own",
)


@data.command()
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(SOURCES)}; `legan data sources` tells of them.",
            metavar="SOURCE",
            autocompletion=complete.sources,
        ),
    ],
    out: Annotated[Path, out_option("Folder of the new data set; unfinished work lies in OUT.partial.")],
    root: Annotated[Path | None, path("--root", help="Folder of the photographs.")] = None,
    table: Annotated[
        Path | None,
        path("--table", help="Source table: .csv, .tsv, .parquet or a folder of Parquet files; paths in it count from --root."),
    ] = None,
    name: Annotated[str | None, name_option("data set", "that of --out")] = None,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the aligned images in pixels.")] = 128,
    aligned: Annotated[bool, typer.Option("--aligned", help="The images are aligned squares: look for no faces.")] = False,
    landmarks: Annotated[
        Literal["mean", "exact"],
        typer.Option(
            help="Whose hull the masks are: of a mean face shape, or exact by the extra face-alignment and its weights."
        ),
    ] = "mean",
    min_face: Annotated[
        int | None,
        typer.Option(
            min=20, help="Smallest face that is used, in pixels of the photograph.", show_default="0.31 of --size, 20 or more"
        ),
    ] = None,
    val_share: Annotated[float | None, VAL_SHARE] = None,
    test_share: Annotated[float | None, TEST_SHARE] = None,
    expression: Annotated[
        list[str] | None,
        typer.Option(
            "--expression",
            metavar="NAME[=OTHER]",
            help="An expression that is taken, and what it is to be called; repeatable.",
            show_default="all",
        ),
    ] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            metavar="LIGHTING=LIGHTING",
            help="What a lighting becomes in the mirror; repeatable.",
            show_default="what the names tell: left and right, -45 and 45",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence", help="The photographs' terms, which models say too.", show_default="the source's, where it has some"
        ),
    ] = None,
    without_flash: Annotated[
        Literal["one", "two"] | None,
        typer.Option(help="Of multipie: whether its two images without flash are one lighting or two.", show_default="two"),
    ] = None,
    seed: Seed = 0,
    workers: Annotated[int | None, told(PROCESSES, "all cores of Ray")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find, align and mask the faces of labelled photographs. Stopped at any moment, the same command goes on.

    The source table needs --table, all others need --root.
    """
    from dataclasses import replace

    from legan.platform.data.dataset import Alignment
    from legan.platform.data.labels.mirror import mirrored
    from legan.platform.data.landmarks import NAMES, require_landmarks
    from legan.platform.data.pipeline import Options, usual_min_face
    from legan.platform.data.prepare import prepare as run
    from legan.platform.data.show import describe
    from legan.platform.data.sources.registry import load_source
    from legan.platform.data.sources.taken import take_expressions

    faces = take_expressions(load_source(source, root, table, without_flash), expression or [])
    faces = replace(faces, schema=mirrored(faces.schema, mirror or []))
    if not aligned:
        require_landmarks(landmarks)
    options = Options(Alignment(image_size=size), aligned, "mean" if aligned else landmarks, min_face or usual_min_face(size))
    people = counted(faces.records["subject"].nunique(), "subject")
    typer.echo(f"{counted(len(faces.records), 'photograph')} of {people} in {faces.root}")
    for note in [*faces.info.get("notes", ()), *faces.doubts]:
        typer.echo(note)
    typer.echo(f"landmarks: {NAMES[options.landmarks]}")

    dataset = run(
        faces,
        out,
        options,
        name=name,
        licence=licence,
        seed=seed,
        val_share=val_share,
        test_share=test_share,
        workers=workers,
        overwrite=overwrite,
        progress=True,
    )

    typer.echo(describe(dataset))
    typer.echo(f"\nwritten to {dataset.path}; look at it with: legan data show {out}")


@data.command()
def sources(as_json: AsJson = False) -> None:
    """List the sources: people, expressions, lightings and splits that each gives, its terms, and where it was tried."""
    from legan.platform.catalogue.lines import aligned
    from legan.platform.data.sources.about import tables, values

    given, terms = map(aligned, tables())
    answer(values(), [*given, "", *terms], as_json)


@data.command()
def export(
    dataset: DatasetArgument,
    out: Annotated[Path, out_option("Folder to write: PNG and a metadata.csv for each split.")],
) -> None:
    """Write the faces as folders of PNG with a table, as Hugging Face's imagefolder and other programs read them."""
    from legan.platform.data.dataset import open_dataset
    from legan.platform.data.export import export_folders

    counts = export_folders(open_dataset(dataset), out)
    said = ", ".join(f"{count} in {name}/" for name, count in counts.items())
    typer.echo(f"written to {out}: {said}")


@data.command()
def show(
    dataset: DatasetArgument,
    sheet: Annotated[
        Path | None, path("--sheet", help="Where the contact sheet goes.", show_default="DATASET.png beside it")
    ] = None,
    subjects: Annotated[int, typer.Option(min=1, max=100, help="Rows of the contact sheet.")] = 12,
    conditions: Annotated[int, typer.Option(min=1, max=120, help="Columns of the contact sheet.")] = 12,
) -> None:
    """Write a contact sheet and print class counts, splits, duplicates and skipped files."""
    from legan.platform.data.dataset import open_dataset
    from legan.platform.data.show import contact_sheet, describe
    from legan.platform.errors import DataError

    opened = open_dataset(dataset)
    target = sheet or opened.path.with_name(f"{opened.path.name}.png")
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise DataError(f"the contact sheet {target} has to be a .png or .jpg file.")

    try:
        contact_sheet(opened, subjects=subjects, conditions=conditions).save(target)
    except OSError as error:
        raise DataError(f"the contact sheet {target} cannot be written: {error.strerror or error}.") from error

    typer.echo(describe(opened))
    typer.echo(f"\ncontact sheet: {target}")


def mount(app: typer.Typer) -> None:
    """Add ``legan data`` to the command line."""
    app.add_typer(data, name="data")


mount_data(data)
