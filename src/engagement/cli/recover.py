"""The command that rebuilds a lost state database from the lake."""

from engagement.cli.output import AsJson, print_fields, print_json, print_note

LOST = (
    "Not in the lake, and lost: clients and their secrets, export tasks, refused records, batches "
    "that were acknowledged and not in the lake yet, which devices were erased, and ids of "
    "tracking messages, of which one that is sent again is kept again."
)


def recover(as_json: AsJson = False) -> None:
    """Rebuild a state database that is gone from the tables of the lake; nothing there changes."""
    from engagement.runtime.recovering import recover_state
    from engagement.settings import Settings

    recovered = recover_state(Settings.from_environment())
    if as_json:
        print_json({"apps": recovered, "lost": LOST})
        return
    for each in recovered:
        key = each.app_key or "as before"
        print_fields(
            [
                ("appId", each.app.app_id),
                ("name", each.app.name),
                ("appKey", key),
                ("tables", str(each.rebuilt.tables)),
                ("rows", str(each.rebuilt.rows)),
                ("batches", str(each.rebuilt.batches)),
                ("sessionsAndJobs", str(each.rebuilt.sessions)),
            ]
        )
        for damage in each.rebuilt.damaged:
            print_note(f"refused: {damage}")
        for path in each.rebuilt.unnamed:
            print_note(f"in no table, and not counted: {path}")
    print_note(LOST)
