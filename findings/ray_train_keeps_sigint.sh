#!/usr/bin/env bash
# Ray Train 2.60.0 (V2): fit() puts a SIGINT handler of its own into the driver's process and leaves it there. A program that
# trains first and then does something long has lost its own Ctrl-C.
# Expected: after fit() the handler of before is in place again.
# Seen: signal.getsignal(SIGINT) is a function of Ray Train after fit() has returned; the program's own handler is never called.
# This script fails if that changes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet 'ray[train]==2.60.0'
export RAY_USAGE_STATS_ENABLED=0 RAY_TRAIN_V2_ENABLED=1

cat > "$work/shown.py" << 'PY'
import os
import signal
import sys
import time

from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

heard = []


def own(number, frame):
    heard.append(number)


signal.signal(signal.SIGINT, own)
trainer = DataParallelTrainer(
    lambda: None, scaling_config=ScalingConfig(num_workers=1), run_config=RunConfig(storage_path=sys.argv[1])
)
trainer.fit()
after = signal.getsignal(signal.SIGINT)
print(f"before fit(): {own.__module__}.{own.__qualname__}; after: {after.__module__}.{after.__qualname__}")
assert after is not own
assert after.__module__.startswith("ray.train")

try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
except BaseException as error:
    print(f"Ctrl-C after fit(): {type(error).__name__}")
print(f"own handler called {len(heard)} times")
assert not heard
PY
"$work/venv/bin/python" "$work/shown.py" "$work/storage"
echo "Ray Train 2.60.0: its SIGINT handler stays in the driver after fit()"
