"""Says where the checkout's folders are, and the reference data beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
TESTS = ROOT / "tests"
SHARED = ROOT.parent / "shared"
"""Reference data that are not part of the repository; tests that need them skip without them."""
