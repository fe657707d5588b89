"""Objects of one kind in the form in which they are stored: made from records, and read back."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cache.kind_tables import owner_column
from cache.rows import IN_JSON_LIST, RecordEncoder, json_list
from cache.staging_tables import KEYED_DETAILS, quoted
from kinds.kind import Kind
from kinds.record import Record

SideRows = Mapping[str, Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`row` in the order of the kind's columns; `sides` by name of the side table, in the order of its columns."""

    row: Sequence[Any]
    sides: SideRows


class ObjectRows:
    """The columns of one kind with its side tables. Holds no connection."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._encoder = RecordEncoder(kind.columns)
        self._sides = tuple((side, RecordEncoder(side.columns)) for side in kind.side_tables)
        self._types = {column.name: column.type for column in kind.columns}
        self.names = self._encoder.names

    def encode(self, record: Record) -> StoredObject:
        """Raises TypeError or ValueError for a record that SQLite cannot hold."""
        sides = {side.name: [encoder.encode(row) for row in getattr(record, side.attribute)] for side, encoder in self._sides}
        return StoredObject(self._encoder.encode(record), sides)

    def value(self, stored: StoredObject, name: str) -> Any:
        return stored.row[self.names.index(name)]

    def differing_details(self, old: StoredObject, new: StoredObject) -> int:
        """Which detail tables have other rows afterwards: a bit for each of `detail_tables`."""
        pairs = [(self.value(old, table), self.value(new, table)) for table in KEYED_DETAILS]
        pairs += [(_tuples(old.sides.get(side.name, ())), _tuples(new.sides.get(side.name, ()))) for side, _ in self._sides]
        return sum(1 << bit for bit, (before, after) in enumerate(pairs) if before != after)

    def as_json(self, stored: StoredObject) -> str:
        """One JSON object, side tables as lists of objects: JSON columns nested, times as epoch seconds."""
        plain = {name: _plain(value, self._types[name]) for name, value in zip(self.names, stored.row, strict=True)}
        for side, encoder in self._sides:
            types = [column.type for column in side.columns]
            plain[side.name] = [
                {name: _plain(value, type_) for name, value, type_ in zip(encoder.names, row, types, strict=True)}
                for row in stored.sides.get(side.name, ())
            ]
        return orjson.dumps(plain).decode()


class StoredObjects:
    """What the database holds of one kind of one cluster."""

    def __init__(self, connection: sqlite3.Connection, cluster: str, rows: ObjectRows) -> None:
        self._connection = connection
        self._cluster = cluster
        self._rows = rows
        self._table = f"main.{quoted(rows.kind.name)}"

    def versions(self, uids: Iterable[str]) -> dict[str, str]:
        """The resourceVersion of each of these objects that is stored."""
        sql = f"SELECT uid, resource_version FROM {self._table} WHERE cluster = ? AND uid {IN_JSON_LIST}"
        return dict(self._connection.execute(sql, (self._cluster, json_list(uids))))

    def objects(self, uids: Sequence[str]) -> dict[str, StoredObject]:
        if not uids:
            return {}
        names = ", ".join(map(quoted, self._rows.names))
        at = self._rows.names.index("uid")
        sql = f"SELECT {names} FROM {self._table} WHERE cluster = ? AND uid {IN_JSON_LIST}"
        found = {row[at]: row for row in self._connection.execute(sql, (self._cluster, json_list(uids)))}
        sides = self._side_rows(found)
        return {uid: StoredObject(row, sides.get(uid, {})) for uid, row in found.items()}

    def holders(self, sort_keys: Iterable[bytes]) -> dict[bytes, str]:
        """Which uid has each of these names now."""
        sql = f"SELECT uid FROM {self._table} WHERE cluster = ? AND sort_key = ?"
        found = {key: self._connection.execute(sql, (self._cluster, key)).fetchone() for key in sort_keys}
        return {key: row[0] for key, row in found.items() if row}

    def _side_rows(self, uids: Iterable[str]) -> dict[str, dict[str, list[list[Any]]]]:
        owner = quoted(owner_column(self._rows.kind))
        parameters = (self._cluster, json_list(uids))
        sides: dict[str, dict[str, list[list[Any]]]] = {}
        for side in self._rows.kind.side_tables:
            selected = ", ".join([owner, *(quoted(column.name) for column in side.columns)])
            for uid, *values in self._connection.execute(
                f"SELECT {selected} FROM main.{quoted(side.name)} WHERE cluster = ? AND {owner} {IN_JSON_LIST} "
                f"ORDER BY {owner}, position",
                parameters,
            ):
                sides.setdefault(uid, {}).setdefault(side.name, []).append(values)
        return sides


def _tuples(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


def removed_row(rows: ObjectRows, last: StoredObject, manifest: bytes | None) -> tuple[Any, ...]:
    """The last state of an object that is gone, in the order of `REMOVED_COLUMNS`."""
    uid, namespace, name, version, created = (
        rows.value(last, column) for column in ("uid", "namespace", "name", "resource_version", "created_at")
    )
    return uid, namespace, name, version, created, rows.as_json(last), manifest


def _plain(value: Any, type_: str) -> Any:
    if value is None:
        return None
    if type_ == "json":
        return orjson.loads(value)
    return bool(value) if type_ == "boolean" else value
