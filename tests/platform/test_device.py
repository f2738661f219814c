import os
import subprocess
import sys

from legan.platform.device import ONE_ARENA

SCRIPT = """
import resource, sys, threading
import numpy as np
from legan.platform.device import keep_freed_memory

def take_and_free():
    if sys.argv[1] == "keep":
        keep_freed_memory()
    faults = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.ones(400_000) for _ in range(60)]
        del blocks
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    print(sum(faults[1:]))

if sys.argv[2] == "thread":
    thread = threading.Thread(target=take_and_free)
    thread.start()
    thread.join()
else:
    take_and_free()
"""


def faults(what: str, where: str, **environment: str) -> int:
    command = [sys.executable, "-c", SCRIPT, what, where]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)
    return int(done.stdout)


def test_freed_memory_is_taken_again_without_new_pages():
    assert faults("keep", "first thread") < 0.2 * faults("give back", "first thread")


def test_threads_keep_theirs_with_one_arena():
    assert faults("keep", "thread", **ONE_ARENA) < 0.2 * faults("keep", "thread")
