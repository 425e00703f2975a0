"""Runs the command line: `engagement …` or `python -m engagement …`."""

import sys

from engagement.cli.entry import run
from engagement.runtime.tuning import relax_garbage_collector, skip_last_collection


def main() -> None:
    """Run the command that the process was started with and exit with its status."""
    relax_garbage_collector()
    status = run(sys.argv[1:])
    skip_last_collection()
    sys.exit(status)


if __name__ == "__main__":
    main()
