"""The command that says how large an export would be."""

from engagement.cli.arguments import AppName
from engagement.cli.backends import choose_backend
from engagement.cli.export_options import TypeName
from engagement.cli.output import AsJson, byte_count, print_fields, print_json
from engagement.cli.profiles import ProfileName, ServerAddress
from engagement.model.export_options import ExportOptions, request_of


def estimate(
    export_type: TypeName,
    app_id: AppName,
    options: ExportOptions,
    server: ServerAddress = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Say how large an export would be, at the most; nothing is read but statistics.

    Bytes are known once an export of the same type, format, compression and fields was made.
    """
    request = request_of(app_id, export_type, "", options)
    found = choose_backend(server, profile).estimate(request)
    if as_json:
        print_json(found)
        return
    size = "not known yet" if found.bytes is None else f"about {byte_count(found.bytes)}"
    print_fields(
        [("rows", f"up to {found.rows:,}"), ("parts", f"up to {found.parts:,}"), ("size", size)]
    )
