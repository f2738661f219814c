"""Images a second that one core draws, by size; ``--sheet FILE`` also writes the contact sheet of the documentation."""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from legan.platform.data.rendered.render import EXPRESSIONS, LIGHTINGS, render_faces

FLOOR = 300


def rate(size: int, people: int) -> tuple[float, float]:
    """Images a second by the processor's time and by the clock, over all 120 combinations of ``people`` people."""
    render_faces(0, size=size)
    cpu, clock = time.process_time(), time.perf_counter()
    for person in range(people):
        render_faces(person, size=size)
    images = people * len(EXPRESSIONS) * len(LIGHTINGS)
    return images / (time.process_time() - cpu), images / (time.perf_counter() - clock)


def sheet(path: Path, tile: int = 76) -> None:
    """30 people; the five moved expressions of four; the twenty lightings of one."""
    people = [
        render_faces(i, size=tile, expressions=("neutral",), lightings=("left_slight",)).images[0, 0] for i in range(24, 54)
    ]
    faces = [
        render_faces(i, size=tile, expressions=EXPRESSIONS[1:], lightings=("right_slight",)).images[:, 0]
        for i in (33, 10, 11, 63)
    ]
    lit = render_faces(9, size=tile, expressions=("neutral",)).images[0]
    tiles = np.concatenate([people, *faces, lit]).reshape(7, 10, tile, tile, 3)
    picture = Image.fromarray(tiles.transpose(0, 2, 1, 3, 4).reshape(7 * tile, 10 * tile, 3))
    picture.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print("| image size | images/s, one core (processor time) | images/s, one core (clock) |\n|---|---|---|")
    for size in (64, 128, 256):
        by_cpu, by_clock = rate(size, options.people)
        print(f"| {size} | {by_cpu:.0f} | {by_clock:.0f} |")
        if size == 128:
            claim = {
                "benchmark": "render",
                "size": size,
                "images_per_s": round(by_cpu),
                "by_clock": round(by_clock),
                "floor": FLOOR,
            }
    print(json.dumps(claim))
    if options.sheet:
        sheet(options.sheet)


if __name__ == "__main__":
    main()
