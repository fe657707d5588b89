"""Why logs could not be read, said once for all logs that have the same reason."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_tools.log_sources import LogSource

_LONGEST = 400
_NAMED = 3


def trouble_notes(troubles: Sequence[tuple[LogSource, str]]) -> list[str]:
    """`web-1/app: cannot read …; … (the same for 2 others: web-2/app, web-3/app)` for each reason."""
    alike: dict[str, list[tuple[LogSource, str]]] = {}
    for source, words in troubles:
        alike.setdefault(_without_names(source, words), []).append((source, words))
    return [_note(group) for group in alike.values()]


def _without_names(source: LogSource, words: str) -> str:
    for name in sorted((source.pod, source.container), key=len, reverse=True):
        words = words.replace(name, "…") if name else words
    return words


def _note(alike: Sequence[tuple[LogSource, str]]) -> str:
    (first, words), *others = alike
    named = ", ".join(_named(source) for source, _ in others[:_NAMED]) + (" …" if len(others) > _NAMED else "")
    same = f" (the same for {len(others)} other{'s' if len(others) > 1 else ''}: {named})" if others else ""
    return f"{_named(first)}: {words[:_LONGEST]}{same}"


def _named(source: LogSource) -> str:
    return f"{source.pod}/{source.container}"
