#!/usr/bin/env bash
# MLflow 3.17.2: within one process, the files of a run go to the place that was seen first for its run id, whichever store a
# client belongs to. A store was copied, and the copy's tables were corrected to name the copy's own folder. The copy's client
# reads the corrected place with get_run, and yet writes the file into the original store's folder.
# Expected: a client of store b writes where store b says.
# Seen: the file lies below a, none below b. A new process writes it below b.
# This script fails if that changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet mlflow==3.17.2
export MLFLOW_DISABLE_TELEMETRY=true

cat > "$work/shown.py" << 'PY'
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient

work = Path(sys.argv[1])


def written(run: str) -> list[str]:
    return sorted(f"{store}/{path.name}" for store in "ab" for path in (work / store).rglob("*.txt"))


if len(sys.argv) == 3:  # the new process
    MlflowClient(f"sqlite:///{work}/b/tables.db").log_text(sys.argv[2], "x", "third.txt")
    sys.exit()

(work / "a").mkdir()
first = MlflowClient(f"sqlite:///{work}/a/tables.db")
experiment = first.create_experiment("e", (work / "a" / "files").as_uri())
run = first.create_run(experiment).info.run_id
first.log_text(run, "x", "first.txt")

shutil.copytree(work / "a", work / "b")
(path,) = (work / "b").rglob("first.txt")
path.unlink()
with sqlite3.connect(work / "b" / "tables.db") as tables:
    for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
        tables.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (f"{work}/a/", f"{work}/b/"))

second = MlflowClient(f"sqlite:///{work}/b/tables.db")
print("store b names:  ", second.get_run(run).info.artifact_uri.replace(str(work), "WORK"))
second.log_text(run, "x", "second.txt")
subprocess.run([sys.executable, __file__, str(work), run], check=True)
print("files are in:   ", *written(run))
assert second.get_run(run).info.artifact_uri.startswith((work / "b").as_uri())
assert written(run) == ["a/first.txt", "a/second.txt", "b/third.txt"], written(run)
PY
"$work/venv/bin/python" "$work/shown.py" "$work" 2> "$work/log" || { cat "$work/log"; exit 1; }
echo "mlflow 3.17.2: the second text of one process went into the store that it was not written to"
