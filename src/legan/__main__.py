"""``python -m legan`` is ``legan``."""

from legan.cli import main

if __name__ == "__main__":
    main()
