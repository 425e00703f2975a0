"""Shows an example in the help of every command; a test holds that each can be typed so."""

from typing import Any

_DAYS = "--from 2026-11-01 --to 2026-11-26"
_FOLDER = "--container /srv/exports"
EXAMPLES: dict[str, str] = {
    "engagement serve": "engagement serve --host 0.0.0.0 --port 8080",
    "engagement worker": "engagement worker --roles flush,export",
    "engagement migrate": "engagement migrate",
    "engagement cluster status": "engagement cluster status",
    "engagement cluster drain": "engagement cluster drain machine-1234-0a1b2c3d",
    "engagement sample": "engagement sample --devices 50 --days 3 > sample.ndjson",
    "engagement import": "engagement import sample.ndjson --app shop",
    "engagement verify": "engagement verify /srv/exports/Event/0123456789abcdef0123456789abcdef",
    "engagement recover": "engagement recover",
    "engagement console": "engagement console",
    "engagement backup": "engagement backup /srv/backups/monday",
    "engagement restore": "engagement restore /srv/backups/monday",
    "engagement move": "engagement move new-place.env",
    "engagement demo": "engagement demo --output demo-output",
    "engagement audit": "engagement audit --app shop --csv > changes.csv",
    "engagement apps create": "engagement apps create shop --collection default "
    "--resource-group default --subscription default",
    "engagement apps list": "engagement apps list",
    "engagement apps rename": "engagement apps rename shop store",
    "engagement apps delete": "engagement apps delete shop --confirm shop",
    "engagement apps retention": "engagement apps retention shop --days 365",
    "engagement apps keys list": "engagement apps keys list shop",
    "engagement apps keys create": "engagement apps keys create shop android --days 365",
    "engagement apps keys rotate": "engagement apps keys rotate shop android --keep-days 30",
    "engagement apps keys revoke": "engagement apps keys revoke shop 0123456789abcdef",
    "engagement clients create": "engagement clients create reports --role exporter",
    "engagement clients rotate": "engagement clients rotate reports --keep-hours 24",
    "engagement clients revoke": "engagement clients revoke reports",
    "engagement clients list": "engagement clients list",
    "engagement export create": f"engagement export create Event --app shop {_DAYS} {_FOLDER}",
    "engagement export estimate": f"engagement export estimate Event --app shop {_DAYS}",
    "engagement export list": "engagement export list --app shop --limit 10",
    "engagement export show": "engagement export show 0123456789abcdef0123456789abcdef",
    "engagement export wait": "engagement export wait 0123456789abcdef0123456789abcdef",
    "engagement export cancel": "engagement export cancel 0123456789abcdef0123456789abcdef",
    "engagement export retry": "engagement export retry 0123456789abcdef0123456789abcdef "
    "--container-file new-sas.txt",
    "engagement refused list": "engagement refused list --app shop --limit 20",
    "engagement refused count": "engagement refused count --app shop",
    "engagement refused show": "engagement refused show 7",
    "engagement refused replay": "engagement refused replay --app shop",
    "engagement refused drop": "engagement refused drop 7 --yes",
    "engagement upkeep compact": "engagement upkeep compact --app shop",
    "engagement upkeep fold": "engagement upkeep fold --app shop",
    "engagement upkeep vacuum": "engagement upkeep vacuum --app shop",
    "engagement upkeep retain": "engagement upkeep retain --app shop --days 365",
    "engagement upkeep erase": "engagement upkeep erase --app shop --user anna",
    "engagement upkeep check": "engagement upkeep check",
    "engagement upkeep repair": "engagement upkeep repair --app shop --kind event",
    "engagement keys status": "engagement keys status",
    "engagement keys rotate": "engagement keys rotate",
    "engagement keys reset": "engagement keys reset",
}
"""A line for each command by the words that call it."""


def add_examples(command: Any, words: str = "engagement") -> None:
    """Give the help of a command, and of all below it, the examples that there are."""
    for name, item in getattr(command, "commands", {}).items():
        add_examples(item, f"{words} {name}")
    if (example := EXAMPLES.get(words)) is not None:
        command.epilog = f"Example: {example}"
