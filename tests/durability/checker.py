"""Compares what was acknowledged with what an export holds, and trusts neither side.

    python tests/durability/checker.py LOG FOLDER…

It reads the log of `load.py` and a folder of NDJSON an app, and shares no code with the service.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ACKNOWLEDGED = {200, 202}
COME_AGAIN = {429, 503, 507}


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What a run came to; names are those of logs."""

    acknowledged: int = 0
    """Logs of batches that were acknowledged."""
    lost: list[str] = field(default_factory=list)
    """Acknowledged, and not in the export of their app."""
    invented: list[str] = field(default_factory=list)
    """In an export, and never sent."""
    duplicated: list[str] = field(default_factory=list)
    """More than once in an export."""
    astray: list[str] = field(default_factory=list)
    """In the export of another app."""
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each status was answered."""
    unknown: Counter[str] = field(default_factory=Counter)
    """How often no answer came, and why."""
    hasty: int = 0
    """Answers to come again that did not say when."""

    @property
    def damage(self) -> dict[str, int]:
        """How many logs are not where they must be; empty if all is well."""
        found = {
            name: len(getattr(self, name)) for name in ("lost", "invented", "duplicated", "astray")
        }
        return {name: count for name, count in found.items() if count}


def judge(log: Path, exports: Sequence[Path], *, until: float = float("inf")) -> Verdict:
    """What became of the logs that were acknowledged until an instant.

    Args:
        log: What the load wrote down.
        exports: For each app, a folder with what was exported of it.
        until: On the clock of the load; what came later may be there or not.
    """
    verdict = Verdict()
    sent: dict[str, int] = {}
    acknowledged: set[str] = set()
    logs: dict[int, list[str]] = {}
    for at, what, number, *more in map(json.loads, log.read_bytes().splitlines()):
        if what == "sent":
            app, count = more
            logs[number] = [f"{number}.{place}" for place in range(count)]
            sent |= dict.fromkeys(logs[number], app)
        elif what == "answered":
            status, retry_after = more
            verdict.statuses[status] += 1
            verdict.hasty += status in COME_AGAIN and not retry_after
            if status in ACKNOWLEDGED and at <= until:
                acknowledged.update(logs[number])
        else:
            verdict.unknown[more[0]] += 1
    verdict.acknowledged = len(acknowledged)
    there: set[str] = set()
    for app, folder in enumerate(exports):
        found = Counter(_names(folder))
        verdict.invented += found.keys() - sent.keys()
        verdict.astray += [name for name in found if sent.get(name, app) != app]
        verdict.duplicated += [name for name, times in found.items() if times > 1]
        there |= {name for name in found if sent.get(name) == app}
    verdict.lost += acknowledged - there
    return verdict


def _names(folder: Path) -> Iterator[str]:
    for part in folder.rglob("part-*"):
        for line in part.read_bytes().splitlines():
            yield json.loads(line)["name"]


if __name__ == "__main__":
    verdict = judge(Path(sys.argv[1]), [Path(item) for item in sys.argv[2:]])
    sys.stdout.write(f"{verdict}\n")
    sys.exit(bool(verdict.damage))
