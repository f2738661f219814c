import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legan.platform.errors import RecordTakenError, TrackingError
from legan.platform.tracking.places import Delivered, read_sent
from legan.platform.tracking.spool import Spool


def reopen(spool: Spool) -> Spool:
    spool.close()
    return Spool(spool.folder)


def records(spool: Spool, offset: int = 0) -> list[dict[str, object] | None]:
    return [entry.record for entry in spool.entries(offset)]


def test_every_record_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "run")
    spool.append("metrics", {"step": 3, "values": {"loss/ü": 0.1, "nan": math.nan}})
    line = json.loads((tmp_path / "run/tracking.jsonl").read_text())
    assert line["kind"] == "metrics"
    assert line["values"]["loss/ü"] == 0.1
    assert math.isnan(line["values"]["nan"])
    assert line["time"] > 1.7e12
    spool.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=12), min_size=1, max_size=5), data=st.data())
def test_a_record_cut_anywhere_keeps_all_whole_lines(tmp_path: Path, texts: list[str], data: st.DataObject) -> None:
    folder = tmp_path / "run"
    shutil.rmtree(folder, ignore_errors=True)
    spool = Spool(folder)
    ends = []
    for text in texts:
        spool.append("text", {"text": text, "name": "a.md"})
        ends.append(spool.size)
    spool.close()
    cut = data.draw(st.integers(0, ends[-1]))
    os.truncate(folder / "tracking.jsonl", cut)
    again = Spool(folder)
    whole = sum(end <= cut for end in ends)
    assert [record["text"] for record in records(again) if record] == texts[:whole]
    again.append("text", {"text": "next", "name": "b.md"})
    assert len(records(again)) == whole + 1
    again.close()


def test_a_long_half_line_is_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append("tags", {"tags": {}})
    spool.close()
    with (tmp_path / "tracking.jsonl").open("a") as file:
        file.write('{"kind": "text", "text": "' + "x" * 200_000)
    again = Spool(tmp_path)
    assert len(records(again)) == 1
    assert again.size == (tmp_path / "tracking.jsonl").stat().st_size
    again.close()


def test_a_line_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    incomplete = b'{"kind":"metrics","time":1}\n{"kind":"metrics","time":1,"step":1,"values":3}\n{"kind":["tags"],"time":1}\n'
    whole = b'{"kind":"tags","time":1,"tags":{"a":"b"}}\n'
    (tmp_path / "tracking.jsonl").write_bytes(whole + b"\x00\x00\xff\n[1]\n" + incomplete + whole)
    spool = Spool(tmp_path)
    assert [record is None for record in records(spool)] == [False, True, True, True, True, True, False]
    spool.close()


def test_history_knows_the_largest_steps_and_all_parameters(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    opening = {"experiment": "e", "run_name": "n", "tags": {}}
    spool.append("open", {**opening, "params": {"a": "1"}})
    for step in (10, 30, 20):
        spool.append("metrics", {"step": step, "values": {"loss": 1.0}})
    spool.append("image", {"key": "grid", "step": 0, "path": "samples/grid.png"})
    spool.append("open", {**opening, "params": {"b": "2"}})
    again = reopen(spool)
    assert again.history.metrics == {"loss": 30}
    assert again.history.images == {"grid": 0}
    assert again.history.params == {"a": "1", "b": "2"}
    again.close()


def test_what_was_sent_is_remembered_and_never_beyond_the_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append("tags", {"tags": {}})
    spool.append("tags", {"tags": {}})
    spool.mark_sent(Delivered(spool.size // 2, "uri", "id"))
    assert len(records(spool, spool.sent.offset)) == 1
    spool.mark_sent(Delivered(spool.size + 7, "uri", "id"))
    again = reopen(spool)
    assert again.sent == Delivered(again.size, "uri", "id")
    again.append("tags", {"tags": {}})
    assert len(records(again, again.sent.offset)) == 1
    again.close()


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"offset": 1, "more": 2}', "7"])
def test_a_broken_memory_of_what_was_sent_means_nothing_was(tmp_path: Path, junk: str) -> None:
    (tmp_path / "tracking.sent").write_text(junk)
    assert read_sent(tmp_path) == Delivered()


def test_kept_files_survive_deleting_and_replacing_the_original(tmp_path: Path) -> None:
    source = tmp_path / "checkpoint"
    (source / "deep").mkdir(parents=True)
    (source / "deep/weights").write_text("first")
    spool = Spool(tmp_path / "run")
    fields = spool.keep(source)
    spool.append("artifact", {**fields, "artifact_path": None})
    shutil.rmtree(source)
    again = reopen(spool)
    assert (again.folder / fields["path"] / "deep/weights").read_text() == "first"
    assert Path(fields["source"]) == source
    again.release(records(again)[0])
    assert not (again.folder / fields["outbox"]).exists()
    again.close()


def test_kept_links_to_files_are_kept_as_files(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("content")
    (tmp_path / "link").symlink_to("target")
    spool = Spool(tmp_path / "run")
    fields = spool.keep(tmp_path / "link")
    (tmp_path / "target").unlink()
    assert fields["path"].endswith("/link")
    assert (spool.folder / fields["path"]).read_text() == "content"
    spool.close()


def test_files_nobody_waits_for_are_dropped_on_opening(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    spool = Spool(tmp_path / "run")
    sent, waiting, unrecorded = (spool.keep(tmp_path / "file") for _ in range(3))
    spool.append("artifact", {**sent, "artifact_path": None})
    spool.mark_sent(Delivered(spool.size, "uri", "id"))
    spool.append("artifact", {**waiting, "artifact_path": None})
    again = reopen(spool)
    assert [(again.folder / box["outbox"]).exists() for box in (sent, waiting, unrecorded)] == [False, True, False]
    again.close()


def test_a_file_that_is_not_there_cannot_be_recorded(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(TrackingError, match=r"gone\.png cannot be recorded: there is no such file or folder"):
        spool.keep(tmp_path / "gone.png")
    spool.close()


def test_the_runs_identifier_stays_and_others_keep_their_entries(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"mine": 1}')
    spool = Spool(tmp_path)
    uid = spool.uid
    again = reopen(spool)
    assert again.uid == uid
    assert json.loads((tmp_path / "run.json").read_text()) == {"mine": 1, "run_uid": uid}
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(TrackingError, match=r"run\.json is not JSON; delete it"):
        _ = again.uid
    again.close()


@pytest.mark.kills
def test_one_process_at_a_time_until_it_is_killed(tmp_path: Path) -> None:
    code = "import time, pathlib, legan.platform.tracking.spool as m; s = m.Spool(pathlib.Path()); print(1); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-uc", code], cwd=tmp_path, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RecordTakenError, match="is being recorded by another process"):
            Spool(tmp_path, wait_s=0.0)
        holder.send_signal(signal.SIGKILL)
    Spool(tmp_path, wait_s=60.0).close()
