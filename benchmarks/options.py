"""The command line of a benchmark: whole numbers, each with its default."""

import argparse


def numbers(about: str | None, **defaults: int) -> argparse.Namespace:
    """What was given as ``--name N``, else the defaults; ``about`` is the script's docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()
