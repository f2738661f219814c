import subprocess
import sys

SCRIPT = """
import resource, sys
import numpy as np
from legan.platform.training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
block = np.ones(30_000_000)
del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block = np.ones(30_000_000)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str) -> int:
    return int(subprocess.run([sys.executable, "-c", SCRIPT, what], check=True, capture_output=True, text=True).stdout)


def test_freed_memory_is_taken_again_without_new_pages():
    assert faults("keep") < 0.2 * faults("give back")
