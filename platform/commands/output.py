"""How commands answer: lines for people, or JSON for programs."""

import json
from collections.abc import Sequence
from typing import Any


def say(line: str) -> None:
    """A line for whoever waits."""
    print(line, flush=True)


def answer(values: Any, lines: Sequence[str], as_json: bool) -> None:
    """Print ``values`` as JSON where that was asked for, else ``lines``."""
    print(json.dumps(values, indent=1, ensure_ascii=False) if as_json else "\n".join(lines))
