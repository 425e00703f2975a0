"""Names the libraries whose frames an export can be read as."""

from typing import Literal

FrameKind = Literal["polars", "pandas", "arrow"]
