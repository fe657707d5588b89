"""Between records and what SQLite stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import orjson

from kinds.kind import Column
from kinds.record import Record, SideRecord

IN_JSON_LIST = "IN (SELECT value FROM json_each(?))"
_LARGEST_INTEGER = 2**63 - 1
_NULL = float("nan")
"""sqlite3_bind_double: "a NaN is stored as NULL" (SQLite's sqlite3VdbeMemSetDouble)."""


class RecordEncoder:
    """Turns records into lists of stored values, in the order of `columns`.

    Maps and lists become JSON text with sorted keys, so that equal values have equal text.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.names = tuple(column.name for column in columns)
        self._json = tuple(index for index, column in enumerate(columns) if column.type == "json")
        self._read = _reader(self.names)

    def encode(self, record: Record | SideRecord) -> list[Any]:
        values = self._read(record)
        for index in self._json:
            if values[index] is not None:
                values[index] = json_text(values[index])
        return values


def _reader(names: Sequence[str]) -> Callable[[object], list[Any]]:
    if len(names) == 1:
        read_one = attrgetter(*names)
        return lambda record: [read_one(record)]
    read = attrgetter(*names)
    return lambda record: list(read(record))


def json_text(value: Any) -> str:
    """Compact JSON with sorted keys."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS).decode()


def json_list(values: Iterable[str]) -> str:
    """The parameter of `IN_JSON_LIST`."""
    return orjson.dumps(list(values)).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def storable(values: Sequence[Any]) -> list[Any]:
    """The same values, with null for an integer beyond 64 bits (a quantity of exbibytes written by mistake)."""
    return [None if isinstance(v, int) and abs(v) > _LARGEST_INTEGER else v for v in values]


def bindable(values: Sequence[Any]) -> list[Any]:
    """The same values for a statement, with not-a-number for None: SQLite stores null for either.

    Python's sqlite3 looks for an adapter of every None (`need_adapt` in its cursor.c), most of a row: without it a page of
    pods is staged in two thirds of the time.
    """
    return [_NULL if value is None else value for value in values]


def decode(column: Column, stored: Any) -> Any:
    """A stored value as the record held it (a boolean stays 0 or 1: `kinds.kind.present` makes it one)."""
    if column.type == "json" and stored is not None:
        return orjson.loads(stored)
    return stored
