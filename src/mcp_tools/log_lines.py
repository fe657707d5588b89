"""Log text made fit to show: redacted first, then made plain, then searched, then bounded, newest lines kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from configuration.errors import InvalidArguments
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import Redactor

LINE_CHARACTERS = 2_000
TEXT_CHARACTERS = 60_000
GREP_SECONDS = 2.0


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


def prepare(body: bytes, redactor: Redactor, pattern: str, clock: Callable[[], float] = time.monotonic) -> LogLines:
    """Raises InvalidArguments for a pattern that is wrong or takes too long.

    Redaction comes before the search: else the search would be an oracle for what was redacted.
    """
    text = plain_text(redactor.redact_text(body.decode("utf-8", "replace")))
    lines = text.removesuffix("\n").split("\n") if text else []
    found = _grep(lines, pattern, clock) if pattern else lines
    shown: list[str] = []
    size = 0
    for line in reversed(found):
        line = (
            line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}… ({len(line) - LINE_CHARACTERS} more characters)"
        )
        size += len(line) + 1
        if size > TEXT_CHARACTERS:
            break
        shown.append(line)
    return LogLines(shown[::-1], len(lines), len(found) if pattern else None)


def _grep(lines: list[str], pattern: str, clock: Callable[[], float]) -> list[str]:
    """The standard library's `re` cannot be stopped; `regex` takes a time limit for each search."""
    import regex  # type: ignore[import-untyped]  # ships no types

    try:
        compiled: Any = regex.compile(pattern)
    except regex.error as error:
        raise InvalidArguments(f"grep is not a valid regular expression: {error}") from None
    deadline = clock() + GREP_SECONDS
    try:
        return [line for line in lines if compiled.search(line, timeout=max(deadline - clock(), 0.001))]
    except TimeoutError:
        raise InvalidArguments(
            f"grep took longer than {GREP_SECONDS:.0f} s on {len(lines)} lines; use a simpler pattern (no nested repetition)"
        ) from None
