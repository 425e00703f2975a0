"""Runs the command line: `engagement …` or `python -m engagement …`."""

import sys

from engagement.cli.entry import run


def main() -> None:
    """Run the command that the process was started with and exit with its status."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
