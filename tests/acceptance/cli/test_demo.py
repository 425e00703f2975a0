"""Runs the demonstration."""

from pathlib import Path

from engagement.model.exports import ExportType
from support.command_line import Shell


def test_the_demonstration_verifies_an_export_of_each_type(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path)

    outcomes = shell.json("demo", "--devices", "20", "--days", "3")
    output = shell.run("demo", "--devices", "20", "--days", "3").stdout.decode()

    assert {outcome["exportType"] for outcome in outcomes} == {each.value for each in ExportType}
    assert all(outcome["rows"] > 0 and outcome["comparedWithLake"] for outcome in outcomes)
    tries, console = output.split("Try next:\n")[1].split("See it in the console")
    assert len(tries.splitlines()) == 3
    assert [line.split()[-1] for line in console.splitlines()[1:]] == ["serve", "console"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    assert shell.error("demo", "--output", "mine", status=2)[0] == "BadInput"
    assert (tmp_path / "mine" / "file").is_file()
