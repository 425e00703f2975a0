"""Runs the command line: `engagement …` or `python -m engagement …`."""

import sys

from engagement.runtime.tuning import relax_garbage_collector, skip_last_collection

NOT_INSTALLED = 2
"""The exit status where the libraries of the service are missing; also that of bad input."""


def main() -> None:
    """Run the command that the process was started with and exit with its status."""
    relax_garbage_collector()
    try:
        from engagement.cli.entry import run  # noqa: PLC0415 - its libraries may be missing
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"Commands need the service, of which {error.name} is missing; only the client and "
            "the device agent are installed. Install it: pip install 'engagement-export[server]'\n"
        )
        sys.exit(NOT_INSTALLED)
    status = run(sys.argv[1:])
    skip_last_collection()
    sys.exit(status)


if __name__ == "__main__":
    main()
