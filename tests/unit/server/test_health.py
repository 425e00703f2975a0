"""Tests what is said of a server that could serve, and whose clock has moved."""

import asyncio
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engagement.server.health import readyz
from engagement.server.recent_look import RecentLook
from engagement.server.state_look import look_at_state
from engagement.testing import StoppedClock, open_test_runtime


def test_a_clock_that_jumped_is_told_and_stops_nothing(tmp_path: Path) -> None:
    clock = StoppedClock()
    with open_test_runtime(tmp_path / "home", clock=clock) as runtime:
        context: Any = SimpleNamespace(runtime=runtime)

        def ask() -> dict[str, object]:
            context.state_look = RecentLook(lambda: look_at_state(runtime))
            return asyncio.run(readyz(context))

        clock.advance(timedelta(days=1))
        runtime.running_time.look()
        assert "clock" not in ask()

        clock.now += timedelta(days=9)
        runtime.running_time.look()

        answer = ask()
        assert answer["status"] == "ready"
        assert answer["clock"] == "moved by 777600 seconds that were not seen running"
