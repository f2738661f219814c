"""``python -m legan`` is ``legan``."""

from legan.cli import main

main()
