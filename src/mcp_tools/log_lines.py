"""Log text made fit to show: redacted first, then made plain, then searched, then bounded, newest lines kept."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_tools.line_search import matching_lines
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import Redactor

LINE_CHARACTERS = 2_000
TEXT_CHARACTERS = 60_000


@dataclass(frozen=True, slots=True)
class LogLines:
    """`read` lines came from the API server, `matched` of them fit the pattern (None: no pattern), `lines` are shown."""

    lines: list[str]
    read: int
    matched: int | None

    @property
    def left_out(self) -> int:
        """Lines that fit the pattern but not the answer."""
        return (self.read if self.matched is None else self.matched) - len(self.lines)


async def prepare(body: bytes, redactor: Redactor, pattern: str) -> LogLines:
    """Raises InvalidArguments for a pattern that is wrong or takes too long.

    Redaction comes before the search: else the search would be an oracle for what was redacted.
    """
    text = plain_text(redactor.redact_text(body.decode("utf-8", "replace")))
    lines = text.removesuffix("\n").split("\n") if text else []
    found = await matching_lines(lines, pattern) if pattern else lines
    return LogLines(_newest(found), len(lines), len(found) if pattern else None)


def _newest(lines: list[str]) -> list[str]:
    """The last lines that fit the answer, each cut to a readable length."""
    shown: list[str] = []
    size = 0
    for line in reversed(lines):
        short = (
            line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}… ({len(line) - LINE_CHARACTERS} more characters)"
        )
        size += len(short) + 1
        if size > TEXT_CHARACTERS:
            break
        shown.append(short)
    return shown[::-1]
