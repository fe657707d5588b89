"""An object that is too long for an answer: its largest parts are left out, of many small ones the first are kept.

A note stands where something is missing, with the path by which it can be asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import orjson

from mcp_tools.answer_budget import estimate_json
from mcp_tools.object_parts import NOTE_START, Range, Steps, path_text

NOTE_KEY = f"{NOTE_START} the rest›"
"""The key of the note in a mapping of which the first members are kept."""
_IDENTITY: frozenset[Steps] = frozenset(
    {("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace"), ("metadata", "uid")}
)
"""Never left out: an answer says what it is about."""
_WORTH_LEAVING_OUT = 160
"""Bytes of JSON; a note about less would save nothing."""
_MOST_NOTES = 60
_MOST_NOTES_IN_BEGINNING = 8
_MANY = 4
_LONGEST_PATH = 900
"""Characters; tools take 1,000."""
_LONGEST_IN_ROW = 200
"""Bytes of a column."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part that a note stands for. `tokens`: about what it takes by itself. Before a range stand `shown` of `total` members."""

    path: str
    tokens: int
    shown: int | None = None
    total: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def words(self) -> str:
        of = f"{self.shown} of {self.total} shown, " if self.total is not None else ""
        return f"{self.path} ({of}{self.tokens} tokens)"

    def note(self) -> str:
        of = f" {self.shown} of {self.total} shown," if self.total is not None else ""
        return f"{NOTE_START}{of} about {self.tokens} tokens, path={self.path}›"


Share = Callable[[Any, list[LeftOut]], float]
"""The share of the budget that an answer with this value and these notes takes: at most 1 when it fits."""


def shortened(value: Any, fits: Share, under: Steps = ()) -> tuple[Any, list[LeftOut]]:
    """The value with its largest parts replaced by notes until it fits; what was replaced, with the path of each.

    `under` is the value's own path. Where notes do not help, as among very many parts, the first of the value's own members
    are kept.
    """
    if fits(value, []) <= 1:
        return value, []
    return _with_notes(orjson.loads(orjson.dumps(value)), fits, under) or _beginning(value, fits, under)


def _with_notes(value: Any, fits: Share, under: Steps) -> tuple[Any, list[LeftOut]] | None:
    """Changes the value in place. None when that does not make it fit."""
    gone: dict[Steps, LeftOut] = {}
    while (share := fits(value, list(gone.values()))) > 1:
        size = len(orjson.dumps(value))
        found = _to_leave_out(value, size * (1 - 1 / share), under, _MOST_NOTES - len(gone))
        if found is None:
            return None
        owner, key, steps = found
        part = owner[key]
        inside = [gone.pop(one) for one in list(gone) if one[: len(steps)] == steps]
        whole = LeftOut(path_text(steps), estimate_json(part) + sum(one.tokens for one in inside))
        if inside or not _many_small(part) or not _keep_first(owner, key, steps, lambda: fits(value, list(gone.values())), gone):
            owner[key] = whole.note()
            gone[steps] = whole
    return value, list(gone.values())


def _keep_first(owner: Any, key: Any, steps: Steps, share: Callable[[], float], gone: dict[Steps, LeftOut]) -> bool:
    """Keep as many of the first members of `owner[key]` as there is room for. False, and nothing changed, when that is none."""
    members = _Members(owner[key], steps)

    def put(count: int) -> bool:
        owner[key], gone[members.rest(count)] = members.first(count)
        fit = share() <= 1
        del gone[members.rest(count)]
        return fit

    count = _most(len(members) - 1, put)
    owner[key] = members.whole
    if count:
        owner[key], gone[members.rest(count)] = members.first(count)
    return count > 0


class _Members:
    """A list or a mapping, of which the first can be taken; its path may be a range already."""

    def __init__(self, whole: Any, steps: Steps) -> None:
        self.whole = whole
        last = steps[-1] if steps else None
        self.base, self.start, self.stop = steps, 0, None
        if isinstance(last, Range):
            self.base, self.start, self.stop = steps[:-1], last.start, last.stop
        items = whole.items() if isinstance(whole, dict) else enumerate(whole, self.start)
        self.items: list[tuple[Any, Any]] = list(items)
        self._ends = [0, *accumulate(len(orjson.dumps(item)) + len(str(key)) for key, item in self.items)]
        self._tokens = estimate_json(whole)

    def __len__(self) -> int:
        return len(self.items)

    def path(self, at: int) -> Steps:
        return (*self.base, self.items[at][0])

    def rest(self, count: int) -> Steps:
        return (*self.base, Range(self.start + count, self.stop))

    def left_out(self, count: int) -> LeftOut:
        tokens = 1 + self._tokens * (self._ends[-1] - self._ends[count]) // max(1, self._ends[-1])
        return LeftOut(path_text(self.rest(count)), tokens, count, len(self))

    def first(self, count: int, instead: Mapping[int, Any] | None = None) -> tuple[Any, LeftOut]:
        """The first members and a note about the others; `instead` stands for some of them."""
        left_out = self.left_out(count)
        kept = [(key, (instead or {}).get(at, item)) for at, (key, item) in enumerate(self.items[:count])]
        if isinstance(self.whole, dict):
            return dict(kept) | {NOTE_KEY: left_out.note()}, left_out
        return [*(item for _, item in kept), left_out.note()], left_out


def _beginning(value: Any, fits: Share, under: Steps) -> tuple[Any, list[LeftOut]]:
    """The first members of a value, a few of them as notes where one alone would be too long."""
    if not isinstance(value, (dict, list)):
        return value, []
    members = _Members(value, under)
    notes: dict[int, LeftOut] = {}

    def render(count: int) -> tuple[Any, list[LeftOut]]:
        told = {at: one for at, one in notes.items() if at < count}
        kept, rest = members.first(count, {at: one.note() for at, one in told.items()})
        if count == len(members):
            kept.pop(NOTE_KEY) if isinstance(kept, dict) else kept.pop()
        said = [*told.values(), *([rest] if count < len(members) else [])]
        return (_identified(kept, value, said) if not under and isinstance(value, dict) else kept), said

    while True:
        count = _most(len(members), lambda number: fits(*render(number)) <= 1)
        if count == len(members) or count > len(notes) or count in notes or len(notes) >= _MOST_NOTES_IN_BEGINNING:
            return render(count)
        item, path = members.items[count][1], path_text(members.path(count))
        if len(orjson.dumps(item)) < _WORTH_LEAVING_OUT or len(path) > _LONGEST_PATH:
            return render(count)
        notes[count] = LeftOut(path, estimate_json(item))


def _identified(kept: dict[str, Any], whole: Mapping[str, Any], said: list[LeftOut]) -> dict[str, Any]:
    """What is kept of an object, with what it is called first."""
    called = {name: whole[name] for name in ("apiVersion", "kind") if isinstance(whole.get(name), str)}
    metadata = whole.get("metadata")
    if isinstance(metadata, dict) and kept.get("metadata") != metadata:
        named = {name: metadata[name] for name in ("name", "namespace", "uid") if name in metadata}
        gone = LeftOut("metadata", estimate_json(metadata))
        said[:] = [*(one for one in said if one.path != gone.path), gone]
        called["metadata"] = named | {NOTE_KEY: gone.note()}
    return called | {name: item for name, item in kept.items() if name not in called}


def _most(total: int, fit: Callable[[int], bool]) -> int:
    """The largest number up to `total` that fits, 0 when none does; never much more than that is tried."""
    low, high = 0, 1
    while high <= total and fit(high):
        low, high = high, 2 * high
    high = min(high, total + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def _many_small(part: Any) -> bool:
    """Whether no member is worth a note of its own."""
    if not isinstance(part, (dict, list)) or len(part) < _MANY:
        return False
    return all(len(orjson.dumps(item)) < _WORTH_LEAVING_OUT for item in (part.values() if isinstance(part, dict) else part))


def _to_leave_out(value: Any, excess: float, under: Steps, notes: int) -> tuple[Any, Any, Steps] | None:
    """The smallest part that is enough by itself, else the largest. None when so many notes will hardly be enough."""
    parts = [part for part in _parts(value, under) if part[0] >= _WORTH_LEAVING_OUT and part[3] not in _IDENTITY]
    if not parts or 2 * sum(heapq.nlargest(notes, (part[0] for part in parts))) < excess:
        return None
    enough = [part for part in parts if part[0] >= excess]
    _, owner, key, steps = min(enough, key=lambda part: part[0]) if enough else max(parts, key=lambda part: part[0])
    return owner, key, steps


def _parts(value: Any, under: Steps, length: int = 0) -> Iterator[tuple[int, Any, Any, Steps]]:
    """(bytes of JSON, owner, key, path) of every part below a value that a path can name, but for the notes."""
    base, start = (under[:-1], last.start) if under and isinstance(last := under[-1], Range) else (under, 0)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        steps = (*base, key + start if isinstance(key, int) else key)
        longer = length + len(str(key)) + 4
        if longer > _LONGEST_PATH or key == NOTE_KEY:
            continue
        if isinstance(item, str):
            if not item.startswith(NOTE_START):
                yield len(item.encode("utf-8", "replace")), value, key, steps
            continue
        if isinstance(item, (dict, list)):
            yield len(orjson.dumps(item)), value, key, steps
            yield from _parts(item, steps, longer)


def short_row(row: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """The columns of an object, the long ones cut, and those that do not fit left out: all of it stands in the object too."""
    kept: dict[str, Any] = {}
    room = max_tokens
    for name, value in row.items():
        short = _short_column(value)
        cost = estimate_json({name: short})
        if cost <= room:
            kept[name] = short
            room -= cost
    if len(kept) < len(row):
        kept[NOTE_KEY] = f"{NOTE_START} {len(kept)} of {len(row)} columns shown, a larger max_tokens shows more›"
    return kept


def _short_column(value: Any) -> Any:
    if isinstance(value, str):
        return cut_text(value, lambda text: len(text.encode("utf-8", "replace")) <= 2 * _LONGEST_IN_ROW)
    if not isinstance(value, (dict, list)) or len(orjson.dumps(value)) <= _LONGEST_IN_ROW:
        return value
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    ends = list(accumulate(len(orjson.dumps(item)) + len(str(key)) for key, item in items))
    count = sum(end <= _LONGEST_IN_ROW for end in ends)
    note = f"{NOTE_START} {count} of {len(items)} shown, a larger max_tokens shows more›"
    return dict(items[:count]) | {NOTE_KEY: note} if isinstance(value, dict) else [*value[:count], note]


def cut_text(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of a long text that fits, saying how much of it that is."""
    if fits(text):
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(_cut(text, middle)) else (low, middle)
    return _cut(text, low)


def _cut(text: str, size: int) -> str:
    return f"{text[:size]}… {NOTE_START} {size} of {len(text)} characters shown, a larger max_tokens shows more›"
