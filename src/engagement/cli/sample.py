"""The command that generates sample data."""

import sys
from typing import Annotated

import typer

from engagement.cli.output import AsJson


def sample(
    devices: Annotated[int, typer.Option(min=1, help="How many devices report.")] = 100,
    days: Annotated[int, typer.Option(min=1, help="How many days they report.")] = 7,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print realistic batches as NDJSON, ready for `engagement import -`."""
    # Straight from the sample, not through operations, which would load the whole service.
    from engagement.sample.population import generate

    del as_json  # the batches are JSON in any case
    write = sys.stdout.buffer.write
    for line in generate(devices=devices, days=days, seed=seed):
        write(line)
        if not line.endswith(b"\n"):
            write(b"\n")
    sys.stdout.buffer.flush()
