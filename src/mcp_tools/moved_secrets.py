"""Values that were redacted where they stood, and would be readable where a change puts them.

What a value is follows from what stands around it: `value` is a secret beside `name: DB_PASSWORD`, an argument is one after
`--password`. A dry run can change the surroundings and leave the value. So whatever was redacted before a change is looked
for in the object after it, by fingerprint: no raw value is needed, or kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mcp_tools.proposed_values import NOTHING, WHOLE, is_same, said_at
from mcp_tools.redaction_marks import MARK, MARK_START

Manifest = dict[str, Any]


def hide_moved(before: Manifest, after: Manifest, marks_of: Callable[[str], frozenset[str]], asked: Any = NOTHING) -> Manifest:
    """`after` with marks for what is marked in `before`; in place. Both are redacted.

    `marks_of` gives the marks that may stand for a text. What the caller says himself (`asked`, see asked_by) stays where he
    says it: hidden, it would tell him that it is what is hidden elsewhere. Where that cannot be told, all that is new is hidden.
    """
    hidden = _Hidden(before, marks_of)
    if hidden.whole or hidden.partly:
        _walk(before, after, hidden, asked)
    return after


class _Hidden:
    """What is redacted in an object: whole values by their mark, and texts of which parts are."""

    def __init__(self, before: Manifest, marks_of: Callable[[str], frozenset[str]]) -> None:
        self._marks_of = marks_of
        self.whole: set[str] = set()
        self.partly: set[str] = set()
        for text in _texts(before):
            (self.whole if MARK.fullmatch(text) else self.partly).add(text)

    def mark_for(self, text: str) -> str | None:
        """What to show instead of a text; None when it was not hidden."""
        if MARK_START in text:
            return None
        if found := self._marks_of(text) & self.whole:
            return min(found)
        return next((hidden for hidden in self.partly if self._fits(hidden, text)), None)

    def mark_of_any(self, text: str) -> str:
        """What to show instead of a text, hidden before or not."""
        return text if MARK.fullmatch(text) else min(self._marks_of(text))

    def _fits(self, hidden: str, text: str) -> bool:
        """Whether a text may be the one that a redacted one was made of."""
        parts = MARK.split(hidden)
        if len(parts) == 2:
            return is_made_of(hidden, text, self._marks_of)
        if not (text.startswith(parts[0]) and text.endswith(parts[-1])):
            return False
        at = 0
        for part in parts:
            at = text.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return True


def is_made_of(redacted: str, text: str, marks_of: Callable[[str], frozenset[str]]) -> bool:
    """Whether a redacted text with one mark in it was made of this one: `-p‹…›` of `-pexample`. Of several marks nobody knows."""
    marks, parts = MARK.findall(redacted), MARK.split(redacted)
    if len(marks) != 1 or len(text) < len(parts[0]) + len(parts[1]):
        return False
    if not (text.startswith(parts[0]) and text.endswith(parts[1])):
        return False
    return marks[0] in marks_of(text[len(parts[0]) : len(text) - len(parts[1])])


def _texts(value: Any) -> Iterator[str]:
    """Every string with a mark in it."""
    if isinstance(value, str):
        if MARK.search(value):
            yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _walk(before: Any, after: Any, hidden: _Hidden, asked: Any) -> None:
    """What reads as it did at the same place is no secret that came there."""
    for key, value in list(after.items() if isinstance(after, dict) else enumerate(after)):
        was = _at(before, key)
        if value == was:
            continue
        said = said_at(asked, after, key)
        if isinstance(value, (dict, list)):
            _walk(was, value, hidden, said)
        elif value is None or isinstance(value, bool):
            continue
        elif said is WHOLE:
            after[key] = hidden.mark_of_any(str(value))
        elif said is NOTHING or not is_same(said, value):
            after[key] = hidden.mark_for(str(value)) or value


def _at(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
