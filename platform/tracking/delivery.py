"""Brings a run's record to a store, in order, each record once; waits and tries again while the store is away.

The store is a protocol: mlflow_store.py is the real one, tests use a fake where the store's own behaviour
is not the point.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from legan.platform.errors import TrackingError
from legan.platform.tracking.spool import Delivered, Entry, Record, Spool

METRICS_PER_BATCH = 500
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 60.0


class StoreAwayError(Exception):
    """The store cannot be reached or cannot work now; the message is the reason, one line."""


class RecordRejectedError(Exception):
    """The store will never take this record; the message is the reason, one line."""


class RunGoneError(Exception):
    """The store does not know the run, as after it was replaced by an empty one."""


class Store(Protocol):
    """Where records go. Every method raises StoreAwayError when trying again later makes sense."""

    def open_run(self, uid: str, opening: Record) -> str:
        """The id of the run tagged ``uid``, made after the record of kind ``open`` if there is none."""

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
        if not spool.sent.uri:
            spool.mark_sent(Delivered(0, uri))
        self.run_id = self._sent.run_id or None

    @property
    def _sent(self) -> Delivered:
        """How far this store has the record. A run moves to another store once that is reached, and then sends everything."""
        sent = self._spool.sent
        return sent if sent.uri == self._uri else Delivered(0, self._uri)

    def unsent(self) -> int:
        """Number of records that this store has not got yet."""
        return sum(1 for _ in self._spool.entries(self._sent.offset))

    def drain(self) -> int:
        """Send everything pending; returns how many records were sent. Raises StoreAwayError."""
        if self._sent.offset >= self._spool.size:
            return 0
        try:
            return self._drain(self._open())
        except RunGoneError:
            self._spool.mark_sent(Delivered(0, self._uri))
        try:
            return self._drain(self._open())
        except RunGoneError as error:
            raise StoreAwayError("it loses the run again and again") from error

    def _open(self) -> Store:
        if self._store is None:
            self._store = self._connect()
        if not self._spool.sent_to(self._uri).run_id:
            opening = next(
                (entry.record for entry in self._spool.entries() if entry.record and entry.record["kind"] == "open"), None
            )
            if opening is None:
                raise TrackingError(
                    f"{self._spool.folder / 'tracking.jsonl'} does not say which run it records; it cannot be sent."
                )
            self._spool.mark_sent(Delivered(0, self._uri, self._store.open_run(self._spool.uid, opening)))
        return self._store

    def _drain(self, store: Store) -> int:
        count = 0
        for batch in _batches(self._spool.entries(self._spool.sent_to(self._uri).offset)):
            self._send(store, batch)
            count += len(batch)
        return count

    def _send(self, store: Store, batch: Sequence[Entry]) -> None:
        sent = Delivered(batch[-1].end, self._uri, self._spool.sent.run_id)
        try:
            store.send(sent.run_id, [self._ready(entry) for entry in batch])
        except RecordRejectedError as error:
            if len(batch) > 1:
                for entry in batch:
                    self._send(store, [entry])
                return
            self._spool.reject(batch[0].record, str(error))
            self._say(f"a record of {self._spool.folder} cannot be sent, see tracking.rejected.jsonl there: {error}")
        self._spool.mark_sent(sent)
        for entry in batch:
            self._spool.release(entry.record)

    def _ready(self, entry: Entry) -> Record:
        """The record; where it speaks of a file, with that file's absolute path as ``file``."""
        if entry.record is None:
            raise RecordRejectedError(f"the line that ends at byte {entry.end} of tracking.jsonl cannot be read")
        if "path" not in entry.record:
            return entry.record
        places = [self._spool.folder / entry.record["path"], Path(entry.record.get("source") or entry.record["path"])]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            raise RecordRejectedError(f"{places[-1]} is no longer there")
        return {**entry.record, "file": str(found.absolute())}


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
    away, wait_s, last = False, every_s, False
    while True:
        try:
            count = delivery.drain()
        except StoreAwayError as error:
            wait_s = min(wait_s * 2, RETRY_MAX_S) if away else RETRY_FIRST_S
            if not away:
                say(f"MLflow at {uri} is away ({error}); the run goes on and is recorded in {spool.folder / 'tracking.jsonl'}.")
            away = True
        else:
            wait_s = every_s
            if away:
                say(f"MLflow at {uri} is back; {count} records were sent.")
            away = False

        if last:
            return
        last = closing.wait(wait_s)


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
