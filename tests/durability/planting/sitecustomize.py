"""Run by every Python process that starts beside it, and plants the bug it is told.

A server and its worker are processes of their own; both find it by their PYTHONPATH.
"""

import os
import sys
from pathlib import Path

if bug := os.environ.get("PLANTED_BUG"):  # noqa: TID251 - it runs before anything has settings
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import planted

    bugs = planted.BUGS
    if bug not in bugs:
        sys.path.insert(0, str(Path(__file__).parent.parent.parent))
        import planted_cluster

        bugs = planted_cluster.BUGS
    bugs[bug]()
