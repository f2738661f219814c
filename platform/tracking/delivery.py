"""Brings a run's record to a store, in order, each record once; waits and tries again while the store is away.

The store is a protocol: mlflow_store.py is the real one, tests use a fake where the store's own behaviour
is not the point.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from legan.platform.errors import TrackingError, counted
from legan.platform.tracking.places import PARENT, Delivered, read_run_file
from legan.platform.tracking.spool import Entry, Record, Spool

METRICS_PER_BATCH = 500
PARENT_UID = "legan.parent_uid"
"""The tag that names a trial's sweep by the sweep's own uid, which is the same in every store."""
PARENT_RUN = "mlflow.parentRunId"
"""What older versions recorded instead: the id that the sweep's run had in the store of then."""
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 60.0


class StoreAwayError(Exception):
    """The store cannot be reached or cannot work now; the message is the reason, one line."""


class TrashedError(StoreAwayError):
    """The run or its experiment was deleted in the store; the message says so and how it is restored, without a full stop."""


class RecordRejectedError(Exception):
    """The store will never take this record; the message is the reason, one line."""


class RunGoneError(Exception):
    """The store does not know the run, as after it was replaced by an empty one."""


class Store(Protocol):
    """Where records go. Every method raises StoreAwayError when trying again later makes sense."""

    def open_run(self, uid: str, opening: Record) -> str:
        """The id of the run tagged ``uid``, made after the record of kind ``open`` if there is none."""

    def knows(self, run_id: str) -> bool:
        """Whether the run is still there; TrashedError where it was deleted and can be restored."""

    def send(self, run_id: str, records: Sequence[Record]) -> None:
        """Take records of one kind; taking them again changes nothing. Raises RecordRejectedError and RunGoneError."""


def say(line: str) -> None:
    """One line for the person at the terminal."""
    print(f"legan: {line}", file=sys.stderr, flush=True)


class Delivery:
    """Sends what is pending in ``spool``; ``connect`` makes the store on first use and may raise StoreAwayError."""

    def __init__(self, spool: Spool, uri: str, connect: Callable[[], Store], say: Callable[[str], None]):
        self._spool, self._uri, self._connect, self._say = spool, uri, connect, say
        self._store: Store | None = None
        spool.address(uri)

    def drain(self, *, ask: bool = False) -> int:
        """Send everything pending; returns how many records were sent. Raises StoreAwayError.

        ``ask`` asks the store whether it still has the run, also where nothing is pending.
        """
        if self._spool.sent_to(self._uri).offset >= self._spool.size and not ask:
            return 0
        try:
            store, run_id = self._open()
            if ask and not store.knows(run_id):
                raise RunGoneError
            return self._drain(store, run_id)
        except RunGoneError:
            self._spool.mark_sent(Delivered(0, self._uri))
        try:
            return self._drain(*self._open())
        except RunGoneError as error:
            raise StoreAwayError("it loses the run again and again") from error

    def _open(self) -> tuple[Store, str]:
        """The store and the run's id there; the run goes to this store from now on."""
        if self._store is None:
            self._store = self._connect()
        known = self._spool.sent_to(self._uri)
        if not known.run_id:
            openings = [entry.record for entry in self._spool.entries() if entry.record and entry.record["kind"] == "open"]
            if not openings:
                raise TrackingError(
                    f"{self._spool.folder / 'tracking.jsonl'} does not say which run it records; it cannot be sent."
                )
            opening = {**openings[0], "run_name": openings[-1]["run_name"]}  # its folder may have been renamed or copied
            known = Delivered(0, self._uri, self._store.open_run(self._spool.uid, opening))
        if known != self._spool.sent:
            self._spool.mark_sent(known)
        return self._store, known.run_id

    def _drain(self, store: Store, run_id: str) -> int:
        count = 0
        for batch in _batches(self._spool.entries(self._spool.sent_to(self._uri).offset)):
            self._send(store, run_id, batch)
            count += len(batch)
        return count

    def _send(self, store: Store, run_id: str, batch: Sequence[Entry]) -> None:
        try:
            store.send(run_id, [self._ready(entry) for entry in batch])
        except RecordRejectedError as error:
            if len(batch) > 1:
                for entry in batch:
                    self._send(store, run_id, [entry])
                return
            self._spool.reject(batch[0].record, str(error))
            self._say(f"a record of {self._spool.folder} cannot be sent, see tracking.rejected.jsonl there: {error}")
        self._spool.mark_sent(Delivered(batch[-1].end, self._uri, run_id))
        for entry in batch:
            self._spool.release(entry.record)

    def _ready(self, entry: Entry) -> Record:
        """The record as a store takes it: a file by its absolute path as ``file``, a trial's sweep by its uid."""
        record, folder = entry.record, self._spool.folder
        if record is None:
            raise RecordRejectedError(f"the line that ends at byte {entry.end} of tracking.jsonl cannot be read")
        if record["kind"] == "open":
            return {**record, "tags": _with_parent(record["tags"], folder)}
        if "path" not in record:
            return record
        places = [folder / record["path"], *_sources(Path(record.get("source") or record["path"]), folder)]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise RecordRejectedError(f"{places[-1]} is no longer there")
        return {**record, "file": str(found.absolute())}


def keep_sending(
    spool: Spool,
    uri: str,
    connect: Callable[[], Store],
    closing: threading.Event,
    *,
    every_s: float,
    say: Callable[[str], None],
) -> None:
    """Send, wait, send, until ``closing`` is set, and a last time then; what the tracker's second thread does.

    A store that is away is tried again ever more rarely.
    """
    delivery = Delivery(spool, uri, connect, say)
    away, wait_s, last = None, every_s, False
    while True:
        try:
            count = delivery.drain()
        except StoreAwayError as error:
            wait_s = min(wait_s * 2, RETRY_MAX_S) if away is not None else RETRY_FIRST_S
            if type(error) is not type(away):
                why = str(error) if isinstance(error, TrashedError) else f"MLflow at {uri} is away ({error})"
                say(f"{why}; the run goes on and is recorded in {spool.folder / 'tracking.jsonl'}.")
            away = error
        else:
            wait_s = every_s
            if away is not None:
                back = "takes the run again" if isinstance(away, TrashedError) else "is back"
                say(f"MLflow at {uri} {back}; {counted(count, 'record was', 'records were')} sent.")
            away = None

        if last:
            return
        last = closing.wait(wait_s)


def _with_parent(tags: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """The tags of a trial with name and uid of the sweep that its folder is in.

    The sweep may have been copied or renamed since, and older versions recorded the id of its run.
    """
    sweep = folder.absolute().parent.parent
    parent = read_run_file(sweep / PARENT) if tags.keys() & {PARENT_RUN, PARENT_UID} else {}
    if "run_uid" not in parent:
        return tags
    kept = {key: value for key, value in tags.items() if key != PARENT_RUN}
    whole = "experiment" if "experiment" in tags else "sweep"
    return kept | {PARENT_UID: str(parent["run_uid"]), whole: sweep.name}


def _sources(source: Path, folder: Path) -> list[Path]:
    """Where a file of a record was; older versions recorded a whole path, also below the run's folder of then."""
    if not source.is_absolute():
        return [folder / source]
    parts = source.parts
    inside = [folder.joinpath(*parts[i + 1 :]) for i, part in enumerate(parts) if part == folder.name]
    return [*inside[-1:], source]


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Consecutive records of metrics together, every other record alone."""
    batch: list[Entry] = []
    values = 0
    for entry in entries:
        size = len(entry.record["values"]) if entry.record and entry.record["kind"] == "metrics" else 0
        if batch and (size == 0 or values == 0 or values + size > METRICS_PER_BATCH):
            yield batch
            batch, values = [], 0
        batch.append(entry)
        values += size
    if batch:
        yield batch
