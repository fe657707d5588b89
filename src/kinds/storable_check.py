"""Whether a record holds what its columns declare.

The API server validates types, simulations and other people's servers may not; a value of the wrong type would stop the
statement that stores it, and with it the whole kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

from kinds.kind import Column, ColumnType, Kind
from kinds.record import Record

_LEAST, _MOST = -(2**63), 2**63 - 1
"""What SQLite holds as an integer."""
_ACCEPTED: dict[ColumnType, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "real": (float, int),
    "boolean": (bool,),
    "time": (int,),
}


class StorableCheck:
    """Made once for a page; `complaint` costs a few microseconds an object."""

    def __init__(self, kind: Kind) -> None:
        self._columns = _checked(kind.columns)
        self._sides = [(side.name, attrgetter(side.attribute), _checked(side.columns)) for side in kind.side_tables]

    def complaint(self, record: Record) -> str:
        """What is wrong, with the column's name; "" when all is well."""
        if found := _complaint(self._columns, record):
            return found
        for name in ("labels", "annotations"):
            if not _is_text_map(getattr(record, name)):
                return f"{name} is no map of text to text"
        for name, rows, columns in self._sides:
            for row in rows(record):
                if found := _complaint(columns, row):
                    return f"{name}: {found}"
        return ""


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and _ONLY_TEXT.issuperset(map(type, value.values()))


_ONLY_TEXT = frozenset({str})
_Values = Callable[[Any], tuple[Any, ...]]
_MOST_SHAPES = 4096


@dataclass(frozen=True, slots=True)
class _Checked:
    """The columns of one record. `seen`: types of whole rows that were found to fit; most rows are of few shapes."""

    read: _Values
    accepted: tuple[frozenset[type], ...]
    names: tuple[str, ...]
    read_numbers: _Values
    number_names: tuple[str, ...]
    seen: set[tuple[type, ...]] = field(default_factory=set)


def _checked(columns: Sequence[Column]) -> _Checked:
    return _compiled(tuple((column.name, column.type, column.nullable) for column in columns if column.type != "json"))


@cache
def _compiled(columns: tuple[tuple[str, ColumnType, bool], ...]) -> _Checked:
    names = tuple(name for name, _, _ in columns)
    accepted = tuple(frozenset(_ACCEPTED[type_]) | ({type(None)} if nullable else set()) for _, type_, nullable in columns)
    numbers = tuple(name for name, type_, _ in columns if type_ in ("integer", "time"))
    return _Checked(_values(names), accepted, names, _values(numbers), numbers)


def _values(names: Sequence[str]) -> _Values:
    """Like attrgetter, but always a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda row: tuple(getattr(row, name) for name in names)


def _complaint(checked: _Checked, row: object) -> str:
    shape = tuple(map(type, checked.read(row)))
    if shape not in checked.seen:
        for found, types, name in zip(shape, checked.accepted, checked.names, strict=True):
            if found not in types:
                return f"{name} is {found.__name__}, which its column cannot hold"
        if len(checked.seen) < _MOST_SHAPES:
            checked.seen.add(shape)
    numbers = checked.read_numbers(row)
    known = [value for value in numbers if value is not None]
    if known and (min(known) < _LEAST or max(known) > _MOST):
        name = next(
            name
            for value, name in zip(numbers, checked.number_names, strict=True)
            if value is not None and not _LEAST <= value <= _MOST
        )
        return f"{name} is a number beyond 64 bits, which its column cannot hold"
    return ""
