"""Jobs on a Ray cluster elsewhere: submit, watch and stop them over HTTP, through the dashboard of its head node.

A token in RAY_AUTH_TOKEN, in the file that RAY_AUTH_TOKEN_PATH names or in ~/.ray/auth_token is sent along;
RAY_AUTH_MODE=disabled sends none. Every function raises ClusterError when nobody answers, when the token is refused or
when there is no such job.
"""

import asyncio
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import requests
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient, JobType

from legan.platform.errors import ClusterError, one_line

ANSWER_WITHIN_S = 20.0
START_TRIES = 6
"""A head that has just started answers before it can start jobs; Ray waits 10 s for that at each try."""
NO_AGENT = "No available agent"
for part in ("_private.authentication", "_private.runtime_env", "dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk"):
    logging.getLogger(f"ray.{part}").setLevel(logging.ERROR)  # they tell of tokens and of uploads


class Job(NamedTuple):
    """A job of the cluster. Times are seconds since 1970, None while it has not started or ended."""

    name: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    message: str
    """Ray's words on the status; after a failure with the end of the log."""
    started: float | None
    ended: float | None
    metadata: Mapping[str, str]
    exit_code: int | None
    """Of its command; None while that runs, and when it never started."""

    @property
    def over(self) -> bool:
        """Whether it neither runs nor waits."""
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")


def submit(
    address: str,
    name: str,
    entrypoint: str,
    *,
    folder: Path,
    packages: Sequence[Path] = (),
    variables: Mapping[str, str],
    metadata: Mapping[str, str],
) -> Job:
    """Start the shell command ``entrypoint`` on the head node, in a copy of ``folder``.

    The command and all tasks it starts see ``folder`` as their working folder, import the ``packages`` (folders) before those
    of the cluster and have the environment ``variables``. Raises ClusterError also when there is a job of that name.
    """
    environment: dict[str, Any] = {"working_dir": str(folder), "env_vars": dict(variables)}
    if packages:
        environment["py_modules"] = [str(package) for package in packages]
    with _client(address, name) as client:
        for tries_left in reversed(range(START_TRIES)):
            try:
                client.submit_job(entrypoint=entrypoint, submission_id=name, runtime_env=environment, metadata=dict(metadata))
                break
            except RuntimeError as error:
                if tries_left == 0 or NO_AGENT not in str(error):
                    raise
        return _job(client.get_job_info(name))


def status(address: str, name: str) -> Job:
    """How the job stands."""
    with _client(address, name) as client:
        return _job(client.get_job_info(name))


def logs(address: str, name: str) -> str:
    """All that the job's command has printed."""
    with _client(address, name) as client:
        return str(client.get_job_logs(name))


def follow(address: str, name: str) -> Iterator[str]:
    """What the job's command has printed and prints, piece by piece, until it ends."""
    with _client(address, name) as client, asyncio.Runner() as runner:
        client.get_job_info(name)  # an unknown job is told as such here, not as a broken web socket
        pieces = client.tail_job_logs(name)
        try:
            while (piece := runner.run(anext(pieces, None))) is not None:
                yield piece
        finally:
            runner.run(pieces.aclose())


def stop(address: str, name: str) -> bool:
    """Ask the job to end, False when it had ended before; Ray kills it when it does not within seconds."""
    with _client(address, name) as client:
        return bool(client.stop_job(name))


def forget(address: str, name: str) -> None:
    """Free the name of a job that has ended; its log stays, and the next job of that name goes on with it."""
    with _client(address, name) as client:
        client.delete_job(name)


def submitted(address: str) -> list[Job]:
    """All jobs that the cluster knows, oldest first."""
    with _client(address) as client:
        jobs = [_job(details) for details in client.list_jobs() if details.type == JobType.SUBMISSION]
    return sorted(jobs, key=lambda job: job.started or float("inf"))


def _job(details: JobDetails) -> Job:
    started, ended = (None if time is None else time / 1000 for time in (details.start_time, details.end_time))
    message, metadata = details.message or "", details.metadata or {}
    name, status = str(details.submission_id), str(details.status.value)
    return Job(name, status, message, started, ended or None, metadata, details.driver_exit_code)


@contextmanager
def _client(address: str, name: str = "") -> Iterator[JobSubmissionClient]:
    _check_answers(address)
    try:
        # Setting RAY_AUTH_MODE would come too late, as Ray reads it on import.
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        with _environment("RAY_API_SERVER_ADDRESS", address):  # Ray lets RAY_ADDRESS win over an address that is given
            client = JobSubmissionClient(address)
        yield client
    except AuthenticationError as error:
        raise ClusterError(_token_refused(address, one_line(error))) from error
    except requests.JSONDecodeError as error:
        raise ClusterError(_no_dashboard(address)) from error
    except (aiohttp.ClientError, requests.ConnectionError, requests.Timeout, OSError) as error:
        raise ClusterError(_lost(address, error)) from error
    except (RuntimeError, ValueError) as error:
        if "WebSocket" in str(error):
            raise ClusterError(_lost(address, error)) from error
        raise ClusterError(_refused(address, name, str(error))) from error


def _check_answers(address: str) -> None:
    # Ray's client waits without end for a server that takes the connection and says nothing.
    if not _is_url(address):
        raise ClusterError(f"{address!r} is not the address of a Ray dashboard; give it as http://HEAD:8265.")
    try:
        requests.get(f"{address.rstrip('/')}/api/version", timeout=ANSWER_WITHIN_S)
    except (requests.RequestException, ValueError) as error:
        raise ClusterError(
            f"no Ray dashboard answers at {address}; start the cluster's head with its dashboard, or correct --address."
        ) from error


def _is_url(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _token_refused(address: str, said: str) -> str:
    remedy = "name the file that holds the cluster's token in RAY_AUTH_TOKEN_PATH"
    if "cannot be opened or is empty" in said:
        return f"RAY_AUTH_TOKEN_PATH names no readable file with a token ({os.environ.get('RAY_AUTH_TOKEN_PATH')}); {remedy}."
    if "invalid" in said:
        return f"the Ray cluster at {address} refuses the token that was found here; {remedy}."
    return f"the Ray cluster at {address} asks for a token and none was found here; {remedy}."


def _lost(address: str, error: Exception) -> str:
    return (
        f"the connection to the Ray cluster at {address} was lost ({one_line(error)}); what was submitted goes on as long as "
        "the cluster does, so ask again."
    )


def _refused(address: str, name: str, said: str) -> str:
    if "status code 404" in said and "does not exist" in said:
        return f"the Ray cluster at {address} knows no job {name!r}; `legan sweep jobs --address {address}` lists those it knows."
    if "already exists" in said:
        return f"the Ray cluster at {address} has had a job {name!r} already; choose another --name."
    if "Version check returned 404" in said:
        return _no_dashboard(address)
    if NO_AGENT in said:
        return (
            f"the Ray cluster at {address} starts no jobs: no agent of Ray's runs on its head node, most likely because another "
            "process has its port; give `ray start` there another --dashboard-agent-listen-port (52365 by default)."
        )
    last = re.sub(r"\s+", " ", said.strip().splitlines()[-1]).rstrip(".") if said.strip() else "no reason given"
    return f"the Ray cluster at {address} refused: {last}; `ray logs` on its head node may say more."


def _no_dashboard(address: str) -> str:
    return f"what answers at {address} is no Ray dashboard; correct --address (http://HEAD:8265 by default)."


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
