import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from legan.platform.errors import TrackingError
from legan.platform.tracking import delivery as module
from legan.platform.tracking.delivery import Delivery, RecordRejectedError, RunGoneError, StoreAwayError, keep_sending
from legan.platform.tracking.spool import Record, Spool


class FakeStore:
    """Keeps what it is sent; away, forgetful or picky when told to."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.batches: list[list[Record]] = []
        self.away_after: int | None = None
        self.rejects: object = None

    def open_run(self, uid: str, opening: Record) -> str:
        self._work()
        return self.runs.setdefault(uid, f"run{len(self.runs)}")

    def knows(self, run_id: str) -> bool:
        self._work()
        return run_id in self.runs.values()

    def send(self, run_id: str, records: Sequence[Record]) -> None:
        self._work()
        if run_id not in self.runs.values():
            raise RunGoneError
        if any(record.get("step") == self.rejects for record in records if self.rejects is not None):
            raise RecordRejectedError("too odd")
        self.batches.append([dict(record) for record in records])

    def _work(self) -> None:
        if self.away_after is not None:
            if self.away_after <= 0:
                raise StoreAwayError("no answer")
            self.away_after -= 1

    @property
    def steps(self) -> list[int]:
        return [record["step"] for batch in self.batches for record in batch if record["kind"] == "metrics"]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "run")
    spool.append("open", {"experiment": "e", "run_name": "n", "params": {}, "tags": {}})
    yield spool
    spool.close()


def metrics(spool: Spool, steps: Sequence[int], values: int = 1) -> None:
    for step in steps:
        spool.append("metrics", {"step": step, "values": {f"m{i}": 1.0 for i in range(values)}})


def deliver(spool: Spool, store: FakeStore, uri: str = "here", said: list[str] | None = None) -> Delivery:
    return Delivery(spool, uri, lambda: store, (said if said is not None else []).append)


def test_records_arrive_once_in_order_and_metrics_in_batches(spool: Spool) -> None:
    store = FakeStore()
    metrics(spool, range(120), values=10)
    spool.append("tags", {"tags": {"a": "b"}})
    metrics(spool, range(120, 130), values=10)
    sending = deliver(spool, store)
    assert sending.drain() == 132
    assert store.steps == list(range(130))
    sizes = [sum(len(record["values"]) for record in batch) for batch in store.batches if batch[0]["kind"] == "metrics"]
    assert sizes == [500, 500, 200, 100]
    assert sending.drain() == 0
    assert spool.sent_to("here").run_id == "run0"
    metrics(spool, [130])
    assert sending.drain() == 1
    assert store.steps == list(range(131))


@pytest.mark.parametrize("works", range(8))
def test_a_store_that_goes_away_at_any_moment_gets_the_rest_later(spool: Spool, works: int) -> None:
    store = FakeStore()
    for step in range(3):
        metrics(spool, [step])
        spool.append("tags", {"tags": {}})
    store.away_after = works
    with pytest.raises(StoreAwayError):
        deliver(spool, store).drain()
    store.away_after = None
    deliver(spool, store).drain()  # as after the process was killed
    assert store.steps == [0, 1, 2]
    assert spool.unsent("here") == 0
    assert len(store.runs) == 1


def test_killed_between_making_the_run_and_remembering_it(spool: Spool) -> None:
    store = FakeStore()
    store.open_run(spool.uid, {})
    deliver(spool, store).drain()
    assert len(store.runs) == 1


def test_a_rejected_record_is_set_aside_and_only_that_one(spool: Spool) -> None:
    store, said = FakeStore(), list[str]()
    store.rejects = 4
    metrics(spool, range(8))
    deliver(spool, store, said=said).drain()
    assert store.steps == [0, 1, 2, 3, 5, 6, 7]
    assert spool.unsent("here") == 0
    rejected = (spool.folder / "tracking.rejected.jsonl").read_text().splitlines()
    assert len(rejected) == 1
    assert '"step": 4' in rejected[0]
    assert "too odd" in rejected[0]
    assert len(said) == 1
    assert "tracking.rejected.jsonl" in said[0]


def test_an_unreadable_line_is_set_aside(spool: Spool) -> None:
    with (spool.folder / "tracking.jsonl").open("ab") as file:
        file.write(b"\x00\x00\n")
    spool.size += 3
    metrics(spool, [1])
    store = FakeStore()
    deliver(spool, store).drain()
    assert store.steps == [1]
    assert "cannot be read" in (spool.folder / "tracking.rejected.jsonl").read_text()


def test_a_store_that_lost_the_run_gets_everything_again(spool: Spool) -> None:
    store = FakeStore()
    metrics(spool, [0, 1])
    sending = deliver(spool, store)
    sending.drain()
    store.runs.clear()
    store.batches.clear()
    metrics(spool, [2])
    sending.drain()
    assert store.steps == [0, 1, 2]


def test_another_store_gets_everything(spool: Spool) -> None:
    first, second = FakeStore(), FakeStore()
    metrics(spool, [0])
    deliver(spool, first).drain()
    metrics(spool, [1])
    deliver(spool, second, uri="there").drain()
    assert second.steps == [0, 1]
    assert spool.sent.uri == "there"


def test_a_store_that_is_never_reached_does_not_make_the_run_forget_its_own(spool: Spool) -> None:
    """As after one `legan sync` with a wrong MLFLOW_TRACKING_URI."""
    first, wrong = FakeStore(), FakeStore()
    wrong.away_after = 0
    metrics(spool, [0])
    deliver(spool, first).drain()
    sending = deliver(spool, wrong, uri="there")
    with pytest.raises(StoreAwayError):
        sending.drain()
    assert (spool.sent_to("there").run_id, spool.unsent("there")) == ("", 2)
    assert (spool.sent.uri, spool.sent.run_id) == ("here", "run0")
    metrics(spool, [1])
    assert deliver(spool, first).drain() == 1
    assert (first.steps, len(first.runs)) == ([0, 1], 1)


def test_a_file_is_sent_from_where_it_is_held_else_from_where_it_was(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    held = spool.keep(tmp_path / "file")
    spool.append("artifact", {**held, "artifact_path": None})
    first, second, third = FakeStore(), FakeStore(), FakeStore()
    deliver(spool, first).drain()
    assert first.batches[-1][0]["file"] == str(spool.folder / held["path"])
    assert not (spool.folder / held["outbox"]).exists()
    deliver(spool, second, uri="there").drain()
    assert second.batches[-1][0]["file"] == str(tmp_path / "file")
    (tmp_path / "file").unlink()
    said: list[str] = []
    deliver(spool, third, uri="elsewhere", said=said).drain()
    assert len(third.batches) == 1
    assert "is no longer there" in said[0]


def test_a_record_without_its_opening_cannot_be_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    metrics(spool, [1])
    with pytest.raises(TrackingError, match="does not say which run it records"):
        deliver(spool, FakeStore()).drain()
    spool.close()


def test_the_sender_speaks_once_when_the_store_goes_and_once_when_it_comes(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(module, "RETRY_MAX_S", 0.02)
    store, said = FakeStore(), list[str]()
    store.away_after = 0
    sender, closing = start_sending(spool, store, 0.01, said.append)
    wait_for(lambda: len(said) == 1)
    assert "MLflow at here is away (no answer); the run goes on and is recorded in" in said[0]
    sender.join(0.2)
    assert len(said) == 1
    store.away_after = None
    wait_for(lambda: len(said) == 2)
    assert said[1] == "MLflow at here is back; 1 record was sent."
    metrics(spool, [1])
    closing.set()
    sender.join(60.0)
    assert not sender.is_alive()
    assert store.steps == [1]
    assert len(said) == 2


def test_the_sender_ends_when_the_store_stays_away(spool: Spool) -> None:
    store = FakeStore()
    store.away_after = 0
    sender, closing = start_sending(spool, store, 60.0, lambda line: None)
    closing.set()
    sender.join(60.0)
    assert not sender.is_alive()
    assert spool.unsent("here") == 1


def start_sending(
    spool: Spool, store: FakeStore, every_s: float, say: Callable[[str], None]
) -> tuple[threading.Thread, threading.Event]:
    closing = threading.Event()
    options = {"every_s": every_s, "say": say}
    sender = threading.Thread(target=keep_sending, args=(spool, "here", lambda: store, closing), kwargs=options, daemon=True)
    sender.start()
    return sender, closing


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
