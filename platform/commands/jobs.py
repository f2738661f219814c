"""``status``, ``logs`` and ``stop`` of what was submitted to a cluster elsewhere, a sweep or an experiment."""

import typer

from legan.platform.commands.options import Follow, Head, Submitted


def mount_watching(group: typer.Typer, what: str) -> None:
    """Add the three commands to a group, of which ``what`` was submitted."""

    @group.command(help=f"Show how a submitted {what} stands, with the last line that it printed.")
    def status(name: Submitted, address: Head) -> None:
        from legan.platform import jobs
        from legan.platform.jobs.watch import line_of

        job = jobs.status(address, name)
        print(line_of(job))
        printed = [line for line in jobs.logs(address, name).splitlines() if line.strip()]
        print(printed[-1] if printed else job.message)

    @group.command(help=f"Show what a submitted {what} has printed.")
    def logs(name: Submitted, address: Head, follow: Follow = False) -> None:
        from legan.platform import jobs

        if follow:
            follow_to_its_end(what, address, name)
        else:
            print(jobs.logs(address, name), end="")

    @group.command(help=f"End a submitted {what}; its checkpoints are kept, and submitting it again goes on from them.")
    def stop(name: Submitted, address: Head) -> None:
        from legan.platform.jobs.watch import line_of, stop_and_wait

        print(line_of(stop_and_wait(address, name)))
        print("submitting it again with the same options and --name goes on from its checkpoints")


def follow_to_its_end(what: str, address: str, name: str) -> None:
    """Print what a job prints until it ends; exit code 1 or its own where it failed."""
    from legan.platform.jobs.watch import follow, line_of

    try:
        job = follow(address, name, lambda piece: print(piece, end="", flush=True))
    except KeyboardInterrupt:
        print(f"\nthe {what} goes on; end it with `legan {what} stop {name}`")
        raise
    if job.status != "SUCCEEDED":
        print(line_of(job))
        raise typer.Exit(job.exit_code or 1)
