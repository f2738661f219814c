"""The durable record of a run: everything measured is in the run's folder before anybody sends it anywhere.

Files in the folder of a run:

    tracking.jsonl            one JSON object per line, in the order of the calls
    tracking.sent             how many bytes of it have arrived where (places.py)
    tracking.rejected.jsonl   records that the store will never take, each with the reason
    tracking.lock             held by the process that records or sends
    outbox/                   hard links to files that are still to be sent, so that rotating a checkpoint loses nothing
    run.json                  ``run_uid``: the name by which the run is found again
"""

import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from legan.platform.errors import RecordTakenError, TrackingError
from legan.platform.files import write_whole
from legan.platform.tracking.copies import make_own, original_of
from legan.platform.tracking.places import (
    RECORD_FILE,
    RUN_FILE,
    Delivered,
    plain,
    read_deliveries,
    read_run_file,
    write_deliveries,
)

Record = dict[str, Any]
TAIL_BYTES = 4096
"""At the end of a record in which its last line stands whole, where that closes it."""
FIELDS: Mapping[str, Mapping[str, type]] = {
    "open": {"experiment": str, "run_name": str, "params": dict, "tags": dict},
    "metrics": {"step": int, "values": dict},
    "image": {"key": str, "step": int, "path": str},
    "artifact": {"path": str, "artifact_path": object},
    "text": {"text": str, "name": str},
    "tags": {"tags": dict},
    "model": {"path": str, "name": str, "uid": str},
    "close": {"status": str},
}
"""What records of a kind have, beside ``time``; kinds unknown here are the store's matter."""


class Entry(NamedTuple):
    """A record and the offset of the byte behind its line; ``record`` is None for a line that cannot be read."""

    record: Record | None
    end: int


@dataclass
class History:
    """What earlier processes recorded: the largest step of each metric and image, the parameters, registered models' names, the
    data sets' digests.
    """

    metrics: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    last: Record | None = None

    def add(self, record: Record) -> None:
        """Take one record into account."""
        self.last = record
        if record["kind"] == "metrics":
            for key in record["values"]:
                self.metrics[key] = max(record["step"], self.metrics.get(key, record["step"]))
        elif record["kind"] == "image":
            self.images[record["key"]] = max(record["step"], self.images.get(record["key"], record["step"]))
        elif record["kind"] == "open":
            self.params.update(record["params"])
        elif record["kind"] == "model":
            self.models.add(record["name"])
        elif record["kind"] == "input":
            self.inputs.add(record["digest"])


class Spool:
    """The record in ``folder``, which is made if need be; one process at a time.

    A half-written last line, left by a process that was killed, is dropped. What was recorded in a copied folder counts as a run
    of its own, ``copy_of`` the folder that it names. Raises RecordTakenError when another process still holds the record after
    ``wait_s`` seconds.
    """

    def __init__(self, folder: Path, *, wait_s: float = 10.0):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = _lock_file(folder / "tracking.lock", wait_s)
        self._path = folder / "tracking.jsonl"
        self.copy_of = original_of(folder) if self._path.exists() else None
        if self.copy_of is not None:
            make_own(folder)
        self._writing = threading.Lock()
        self._file = self._path.open("ab")
        self._file.truncate(_end_of_last_line(self._path))
        self.size = self._path.stat().st_size
        # After a power cut the record can be shorter than what had been sent of it.
        self._sent = [replace(each, offset=min(each.offset, self.size)) for each in read_deliveries(folder)]
        self.history = History()
        waiting = set()
        for entry in self.entries():
            if entry.record is not None:
                self.history.add(entry.record)
                if entry.end > self.sent.offset and entry.record.get("outbox"):
                    waiting.add(str(entry.record["outbox"]))
        _drop_others(folder / "outbox", waiting)

    @property
    def sent(self) -> Delivered:
        """How far the last store has the record."""
        return self._sent[0] if self._sent else Delivered()

    @property
    def uid(self) -> str:
        """The run's own identifier, made on first use and kept in run.json."""
        known = read_run_file(self.folder)
        if "run_uid" not in known:
            known["run_uid"] = uuid.uuid4().hex
            write_whole(self.folder / RUN_FILE, json.dumps(known, indent=2))
        return str(known["run_uid"])

    def append(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Write one record, flushed to the operating system before this returns."""
        record = {"kind": kind, "time": time.time_ns() // 1_000_000, **fields}
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        with self._writing:
            self._file.write(line)
            self._file.flush()
            self.size += len(line)

    def entries(self, offset: int = 0) -> Iterator[Entry]:
        """Records from a byte offset on; a line still being written is left for later."""
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield Entry(_parse(line), offset)

    def keep(self, source: Path) -> dict[str, str]:
        """Hold a file or folder until it is sent: fields ``outbox``, ``path`` and ``source`` of its record.

        Paths below the run's folder are relative, since that folder may be moved. Links instead of copies where the file
        system can, so this costs next to nothing, and later replacing or deleting ``source`` changes nothing.
        Raises TrackingError when there is no such file or folder.
        """
        box = Path("outbox") / uuid.uuid4().hex
        source = source.absolute()
        target = self.folder / box / source.name
        if source.is_dir():
            shutil.copytree(source, target, copy_function=_link)
        elif source.is_file():
            target.parent.mkdir(parents=True)
            _link(source, target)
        else:
            raise TrackingError(f"{source} cannot be recorded: there is no such file or folder.")
        inside = source.is_relative_to(self.folder.absolute())
        where = source.relative_to(self.folder.absolute()) if inside else source
        return {"outbox": str(box), "path": str(box / source.name), "source": str(where)}

    def address(self, uri: str) -> None:
        """Remember which store the record goes to, if it goes to none yet."""
        if not self.sent.uri:
            self.mark_sent(Delivered(0, uri))

    def sent_to(self, uri: str) -> Delivered:
        """How far the store ``uri`` has the record. A run moves to another store, which gets everything, once that is reached."""
        uri = plain(uri, self.folder)
        return next((each for each in self._sent if each.uri == uri), Delivered(0, uri))

    def unsent(self, uri: str) -> int:
        """Number of records that the store ``uri`` has not got yet."""
        return sum(1 for _ in self.entries(self.sent_to(uri).offset))

    def mark_sent(self, sent: Delivered) -> None:
        """Remember how far the record has been sent, and what stores before the last one have."""
        sent = replace(sent, uri=plain(sent.uri, self.folder))
        known = [sent, *(each for each in self._sent if each.uri != sent.uri and each.run_id)]
        write_deliveries(self.folder, known)
        self._sent = known

    def release(self, record: Record | None) -> None:
        """Let go of the file held for a record."""
        if record and record.get("outbox"):
            shutil.rmtree(self.folder / record["outbox"], ignore_errors=True)

    def reject(self, record: Record | None, reason: str) -> None:
        """Set aside a record that the store will never take."""
        with (self.folder / "tracking.rejected.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"reason": reason, "record": record}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Write everything to the disk and let other processes have the record."""
        with self._writing:
            if not self._file.closed:
                os.fsync(self._file.fileno())
                self._file.close()
                os.close(self._lock)


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and _is_complete(record) else None


def _is_complete(record: Record) -> bool:
    fields = {"kind": str, "time": int, **FIELDS.get(str(record.get("kind")), {})}
    return all(name in record and isinstance(record[name], kind) for name, kind in fields.items())


def closed_as(folder: Path) -> str | None:
    """How the record in a folder was closed last; None where it is open, or there is none."""
    try:
        with (folder / RECORD_FILE).open("rb") as record:
            record.seek(max(0, record.seek(0, os.SEEK_END) - TAIL_BYTES))
            last = _parse(record.read().rstrip(b"\n").rpartition(b"\n")[2])
    except FileNotFoundError:
        return None
    return str(last["status"]) if last is not None and last["kind"] == "close" else None


def is_recorded(folder: Path, wait_s: float) -> bool:
    """Whether another process still records to ``folder`` after ``wait_s`` seconds."""
    if not (folder / "tracking.lock").is_file():
        return False
    try:
        os.close(_lock_file(folder / "tracking.lock", wait_s))
    except RecordTakenError:
        return True
    return False


def _lock_file(path: Path, wait_s: float) -> int:
    """A POSIX lock, which forked data loaders do not inherit and which goes with its process, however that ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise RecordTakenError(
                    f"{path.parent} is being recorded by another process, which also sends it; wait until that has ended."
                ) from error
            time.sleep(0.1)
        else:
            return descriptor


def _end_of_last_line(path: Path) -> int:
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            position = start
    return 0


def _link(source: str | Path, target: str | Path) -> str:
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)
    return str(target)


def _drop_others(outbox: Path, waiting: set[str]) -> None:
    if outbox.is_dir():
        for box in outbox.iterdir():
            if f"outbox/{box.name}" not in waiting:
                shutil.rmtree(box)
