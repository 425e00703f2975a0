"""Measures how much memory a process took at its highest."""

from pathlib import Path

import pytest


class Memory:
    """The memory of a process, from when this was made; tests skip where none can be measured."""

    def __init__(self, process: int) -> None:
        """Let the kernel forget how much it was at its highest."""
        self._folder = Path(f"/proc/{process}")
        forget = self._folder / "clear_refs"
        if not forget.exists():
            pytest.skip("needs a kernel that forgets the highest memory of a process when asked")
        forget.write_text("5")
        self._before = self._bytes("VmRSS")

    def growth(self) -> int:
        """Bytes beyond what there was at first, at its highest."""
        return self._bytes("VmHWM") - self._before

    def _bytes(self, what: str) -> int:
        lines = (self._folder / "status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))
