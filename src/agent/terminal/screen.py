"""Where output goes: results to stdout, everything else to stderr, colour and width only for a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from agent.terminal.grid import Grid, print_grid
from agent.terminal.safe_text import safe_block, safe_line

NARROWEST = 20


class Screen:
    """Two consoles over the same terminal. rich leaves colour out when the stream is no terminal or NO_COLOR is set.

    A session is one conversation on one terminal: with `together`, everything goes to stdout, so that lines which are
    still moving and lines which are printed meanwhile do not run into each other.
    """

    def __init__(self, out: IO[str] | None = None, err: IO[str] | None = None, *, together: bool = False) -> None:
        for stream in (out or sys.stdout, err or sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")
        plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
        self.out = Console(file=out, **plain)
        self.err = self.out if together else Console(file=err, stderr=err is None, **plain)

    @property
    def interactive(self) -> bool:
        """Whether results go to a terminal that can be redrawn."""
        return self.out.is_terminal and not self.out.is_dumb_terminal

    @property
    def width(self) -> int | None:
        """Cells of the terminal; None for a pipe or a file, which take any width."""
        return max(NARROWEST, self.out.width) if self.out.is_terminal else None

    def table(self, grid: Grid, *, wide: bool = False) -> tuple[str, ...]:
        """Print a table; returns the columns that did not fit."""
        printed = print_grid(grid, None if wide else self.width)
        for line in printed.lines:
            self.out.print(line)
        return printed.left_out

    def json(self, value: Any) -> None:
        """One JSON document. Control characters are escaped by JSON itself; ASCII only where the terminal would obey."""
        text = json.dumps(value, ensure_ascii=False, indent=2 if self.out.is_terminal else None, default=str)
        self.out.print(Text(safe_block(text) if self.out.is_terminal else text))

    def text(self, text: str) -> None:
        """Lines from outside, as they are but safe."""
        self.out.print(Text(safe_block(text)))

    def note(self, text: str) -> None:
        """Something about the answer, not part of it: dim, and on stderr."""
        self._say(Text(safe_block(text), style="dim"))

    def warning(self, text: str) -> None:
        self._say(Text(safe_block(text), style="yellow"))

    def error(self, text: str) -> None:
        """One line that says what failed and what to do."""
        self._say(Text.assemble(("error: ", "bold red"), safe_line(text)))

    def _say(self, text: Text) -> None:
        """Wrapped at words on a terminal; a pipe gets the line as it is."""
        self.err.print(text, soft_wrap=not self.err.is_terminal)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            line = Text.assemble((f"{name:<{width}}  ", "bold"), safe_line(value))
            self.out.print(line, soft_wrap=not self.out.is_terminal)
