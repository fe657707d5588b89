"""An argument that may be `-`, for standard input."""

from __future__ import annotations

import sys
from typing import IO

from configuration.errors import ConfigurationError


def read_text(argument: str, *, what: str, stdin: IO[str] | None = None) -> str:
    """The argument itself, or standard input for `-`. Raises ConfigurationError when nothing is left."""
    text = (stdin or sys.stdin).read() if argument == "-" else argument
    if not text.strip():
        raise ConfigurationError(f"{what} is empty; give it as an argument, or - to read it from standard input")
    return text.strip()
