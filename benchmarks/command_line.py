"""How long `legan --help` takes, as a whole process; our aim is under a second.

python benchmarks/command_line.py [--rounds 9]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    seconds = sorted(once() for _ in range(rounds + 1))[:-1]  # the slowest one read the files from disk
    median = statistics.median(seconds)
    print(f"legan --help: median {median:.2f} s of {rounds} runs, {seconds[0]:.2f} to {seconds[-1]:.2f} s")
    print(json.dumps({"benchmark": "command_line", "seconds": round(median, 3), "rounds": rounds}))


def once() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "legan.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
