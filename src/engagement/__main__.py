"""This module runs the command line: `engagement …` or `python -m engagement …`."""

import os
import sys

from engagement.cli.entry import run


def main() -> None:
    """Run the command that the process was started with and exit with its status."""
    status = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # An interrupted workflow waits in a thread for parts that nobody writes any more, and the
    # interpreter would wait for that thread. Tasks are durable, so ending at once loses nothing.
    os._exit(status)


if __name__ == "__main__":
    main()
