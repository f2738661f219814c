"""``legan serve``: the HTTP API on Ray Serve, and changing its model while it runs."""

from pathlib import Path
from typing import Annotated

import typer

from legan.platform.commands.grammar import StrictGroup
from legan.platform.commands.options import (
    ADDRESS,
    LOCAL,
    MODEL,
    THREADS,
    Address,
    Host,
    MaybeMatcher,
    Model,
    Port,
    path,
    told,
)

serve = typer.Typer(
    cls=StrictGroup,
    help="Serve a model over HTTP until Ctrl-C; `legan serve update` changes the model of a running server.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)


@serve.callback()
def start(
    context: typer.Context,
    model: Model = None,
    matcher: MaybeMatcher = None,
    host: Host = LOCAL,
    port: Port = 8000,
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="Processes that translate, and as many that rate.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, max=8, help="GPUs for each of them; fractions share one.")] = 0.0,
    threads: Annotated[int, THREADS] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds for a request; more for slow machines.")] = 30.0,
    tokens_from_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with bearer tokens, separated by commas.", show_default="LEGAN_SERVE_TOKENS, if it is set"
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            help="Its pages may call the API from a browser, for example https://app.example.org; repeatable.",
            show_default="none",
        ),
    ] = None,
    address: Address = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of this machine's measures for Prometheus.", show_default="any that is free"),
    ] = None,
    config_out: Annotated[
        Path | None, path("--config-out", help="Write the same application as YAML for `serve deploy`, and start nothing.")
    ] = None,
) -> None:
    """Serve a model over HTTP until Ctrl-C; on a cluster with --address it stays when this command ends."""
    if context.invoked_subcommand is not None:
        return
    from legan.serve.chosen import champion_or_box
    from legan.serve.deploy.server import ServeRequest, run

    request = ServeRequest(
        champion_or_box(model),
        matcher,
        host,
        port,
        replicas,
        gpus,
        threads,
        tokens_from_env,
        address,
        config_out,
        metrics_port,
        seconds,
        tuple(cors_origin or ()),
    )
    run(request)


@serve.command()
def update(
    model: Annotated[str | None, told(MODEL, "the champion")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="A version of the registered model that is served.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the model before.")] = False,
    address: Annotated[str | None, told(ADDRESS, "RAY_ADDRESS, else this machine's server")] = None,
) -> None:
    """Change the model of a running server without losing a request."""
    from legan.serve.deploy.server import change

    change(model, version, address, rollback=rollback)


def mount(app: typer.Typer) -> None:
    """Add ``legan serve`` to the application."""
    app.add_typer(serve, name="serve")
