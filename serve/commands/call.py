"""``legan call URL …``: the calls of a server's HTTP API, from the command line."""

from pathlib import Path
from typing import Annotated, Any

import typer

from legan.platform.commands.grammar import StrictGroup
from legan.platform.commands.options import (
    ATTEMPTS,
    EXPRESSION,
    LIGHTING,
    SEED,
    All,
    Format,
    MinQuality,
    MinSimilarity,
    Paste,
    Photos,
    Pictures,
    Replace,
    told,
)


class AtServer(StrictGroup):
    """Commands that stand behind the address of a server."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Where a command stands in the place of the address: its help if that is asked for, else what is missing."""
        if args and args[0] in self.commands:
            if not set(ctx.help_option_names) & set(args):
                ctx.fail(f"Missing argument 'URL': write it before the command, legan call URL {args[0]} …")
            args = ["URL", args[0], ctx.help_option_names[0]]
        return super().parse_args(ctx, args)


call = typer.Typer(
    cls=AtServer,
    help="Ask a server of legan serve; LEGAN_TOKEN in the environment is the bearer token.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Face = Annotated[int, typer.Option("--face", min=1, help="Which face: 1 is the largest.")]
Aligned = Annotated[bool, typer.Option("--aligned", help="The images are aligned faces of the model's size: look for no faces.")]
ONLY = {"help": "Only these; repeatable.", "show_default": "all that the model knows"}


def mount(app: typer.Typer) -> None:
    """Add ``call`` to the application."""
    app.add_typer(call, name="call")


@call.callback()
def server(
    context: typer.Context, url: Annotated[str, typer.Argument(metavar="URL", help="Its address, such as http://127.0.0.1:8000.")]
) -> None:
    """Ask a server of legan serve; LEGAN_TOKEN in the environment is the bearer token."""
    context.obj = url


@call.command()
def translate(
    context: typer.Context,
    photos: Photos,
    expression: Annotated[str | None, told(EXPRESSION, "the only one there is")] = None,
    lighting: Annotated[str | None, told(LIGHTING, "the only one there is")] = None,
    out: Pictures = Path(),
    paste: Paste = False,
    masks: Annotated[bool, typer.Option("--masks", help="Write the model's two masks too.")] = False,
    face: Face = 1,
    aligned: Aligned = False,
    format: Format = None,
    overwrite: Replace = False,
) -> None:
    """Translate each photograph and write PHOTO.EXPRESSION.LIGHTING.png."""
    from legan.serve.client.cli import translate as run

    run(
        context.obj, photos, expression, lighting, out, paste=paste, masks=masks, face=face - 1, aligned=aligned, form=format,
        overwrite=overwrite,
    )  # fmt: skip


@call.command()
def augment(
    context: typer.Context,
    photos: Photos,
    n: Annotated[int | None, typer.Option("-n", min=1, max=256, help="Random variants of each photo.", show_default="8")] = None,
    every: All = False,
    label: Annotated[list[str] | None, typer.Option(help="This combination EXPRESSION:LIGHTING instead; repeatable.")] = None,
    expression: Annotated[list[str] | None, typer.Option("--expression", "-e", **ONLY)] = None,
    lighting: Annotated[list[str] | None, typer.Option("--lighting", "-l", **ONLY)] = None,
    min_quality: MinQuality = None,
    min_similarity: MinSimilarity = None,
    attempts: Annotated[int | None, told(ATTEMPTS, "3")] = None,
    seed: Annotated[int | None, told(SEED, "another every time")] = None,
    out: Pictures = Path(),
    face: Face = 1,
    aligned: Aligned = False,
    format: Format = None,
    overwrite: Replace = False,
) -> None:
    """Make variants of each photograph and write PHOTO.NNN.EXPRESSION.LIGHTING.png."""
    from legan.serve.client.cli import augment as run

    run(
        context.obj, photos, out, n=n, every=every, labels=label or [], expressions=expression or [], lightings=lighting or [],
        min_quality=min_quality, min_similarity=min_similarity, attempts=attempts, seed=seed, face=face - 1, aligned=aligned,
        form=format, overwrite=overwrite,
    )  # fmt: skip


@call.command()
def quality(context: typer.Context, photos: Photos, face: Face = 1, aligned: Aligned = False) -> None:
    """Print Q's rating of each photograph."""
    from legan.serve.client.cli import quality as run

    run(context.obj, photos, face=face - 1, aligned=aligned)


@call.command()
def model(context: typer.Context) -> None:
    """Print which model answers, what it knows, and the limits."""
    from legan.serve.client.cli import model as run

    run(context.obj)
