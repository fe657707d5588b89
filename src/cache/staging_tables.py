"""The TEMP tables through which objects reach the stored ones. They belong to one connection and vanish with it."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from cache.connection import roll_back
from cache.kind_tables import owner_column
from cache.rows import IN_JSON_LIST, bindable, json_list, storable
from kinds.kind import Kind


class State(IntEnum):
    """How a staged object compares with the stored one of the same uid."""

    SAME = 0
    """Only uid and name are staged: the stored row stays untouched."""
    CHANGED = 1
    NEW = 2


KEYED_DETAILS = ("labels", "annotations")
"""Tables with a row for each key of the JSON column of that name."""
ALL_DETAILS = -1


def detail_tables(kind: Kind) -> tuple[str, ...]:
    """The tables with further rows of an object; the position of each is its bit in `details`."""
    return (*KEYED_DETAILS, *(side.name for side in kind.side_tables))


@dataclass(slots=True)
class StagedRows:
    """Rows on their way into the TEMP tables, as tuples in the order of these columns.

    `same`: uid, sort_key, name, resource_version. `rows`: sort_key, state, details, the kind's columns, compressed manifest.
    `sides` by side table: owner's uid, position, its columns. `changes`: `CHANGE_COLUMNS`. `removed`: `REMOVED_COLUMNS`.
    """

    same: list[Sequence[Any]] = field(default_factory=list)
    rows: list[Sequence[Any]] = field(default_factory=list)
    sides: dict[str, list[Sequence[Any]]] = field(default_factory=dict)
    changes: list[Sequence[Any]] = field(default_factory=list)
    removed: list[Sequence[Any]] = field(default_factory=list)

    def add_object(
        self,
        key: bytes,
        uid: str,
        row: Sequence[Any],
        sides: Mapping[str, Sequence[Any]],
        manifest: bytes,
        *,
        state: State = State.NEW,
        details: int = ALL_DETAILS,
    ) -> None:
        """`details` has a bit for each detail table whose rows differ from the stored ones: only those are written."""
        self.rows.append([key, state, details, *row, manifest])
        for name, rows in sides.items():
            self.sides.setdefault(name, []).extend([uid, position, *values] for position, values in enumerate(rows))


CHANGE_COLUMNS = ("uid", "namespace", "name", "field", "old", "new", "resource_version", "manager")
REMOVED_COLUMNS = ("uid", "namespace", "name", "resource_version", "created_at", "row", "manifest")
"""`manifest` null: the stored one is the last. `row` null: nothing says that the object was deleted, its row alone goes."""


class StagingTables:
    """The TEMP tables for one kind. `number` tells apart those of several kinds on the same connection."""

    def __init__(self, kind: Kind, number: int = 0) -> None:
        self.kind = kind
        self.owner = quoted(owner_column(kind))
        self._prefix = f"temp.staged_{number}"
        self.objects = f"{self._prefix}_objects"
        self.changes = f"{self._prefix}_changes"
        self.removed = f"{self._prefix}_removed"
        self._insert_same = insert(self.objects, ("uid", "sort_key", "name", "resource_version", "state"), replace=True)
        self._names = ("sort_key", "state", "details", *(column.name for column in kind.columns), "manifest")
        self._insert_object = insert(self.objects, self._names, replace=True)
        self._insert_change = insert(self.changes, CHANGE_COLUMNS)
        self._insert_removed = insert(self.removed, REMOVED_COLUMNS, replace=True)
        self._insert_sides = {side.name: insert(self.side(side.name), self.side_columns(side.name)) for side in kind.side_tables}

    def side(self, name: str) -> str:
        return f"{self._prefix}_side_{name}"

    def side_columns(self, name: str) -> list[str]:
        """Of the staged side table; the stored one has `cluster` before them."""
        (side,) = (side for side in self.kind.side_tables if side.name == name)
        return [owner_column(self.kind), "position", *(column.name for column in side.columns)]

    def create(self, connection: sqlite3.Connection) -> None:
        """Rows keep the order in which they came; a later one replaces an earlier of the same uid or name."""
        connection.execute("PRAGMA temp.journal_mode=MEMORY")
        connection.execute("PRAGMA temp.cache_size=-8192")
        others = [quoted(column.name) for column in self.kind.columns if column.name != "uid"]
        connection.execute(
            f"CREATE TABLE {self.objects} (position INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, "
            f"sort_key BLOB NOT NULL UNIQUE, state INTEGER NOT NULL, details INTEGER, {', '.join(others)}, manifest BLOB)"
        )
        short = self.objects.removeprefix("temp.")
        connection.execute(f"CREATE INDEX {self.objects}_changed ON {short} (position) WHERE state = {State.CHANGED:d}")
        for side in self.kind.side_tables:
            table = self.side(side.name)
            connection.execute(f"CREATE TABLE {table} ({', '.join(map(quoted, self.side_columns(side.name)))})")
            connection.execute(f"CREATE INDEX {table}_by_owner ON {table.removeprefix('temp.')} ({self.owner})")
        connection.execute(f"CREATE TABLE {self.changes} ({', '.join(CHANGE_COLUMNS)})")
        connection.execute(f"CREATE INDEX {self.changes}_by_uid ON {self.changes.removeprefix('temp.')} (uid)")
        columns = ", ".join(name for name in REMOVED_COLUMNS if name != "uid")
        connection.execute(f"CREATE TABLE {self.removed} (uid TEXT NOT NULL PRIMARY KEY, {columns})")

    def fill(self, connection: sqlite3.Connection, staged: StagedRows) -> None:
        """Add rows, within whatever transaction there is."""
        connection.executemany(self._insert_same, ((*row, State.SAME) for row in staged.same))
        connection.executemany(self._insert_object, map(bindable, staged.rows))
        for name, rows in staged.sides.items():
            connection.executemany(self._insert_sides[name], map(bindable, rows))
        connection.executemany(self._insert_change, staged.changes)
        connection.executemany(self._insert_removed, staged.removed)

    def fill_alone(self, connection: sqlite3.Connection, staged: StagedRows) -> None:
        """Add rows in one transaction on the TEMP database: it locks nothing that another process can see.

        Of objects that were staged before only this last state counts.
        """
        try:
            self._fill_alone(connection, staged)
        except (OverflowError, UnicodeEncodeError):
            staged.rows = [storable(row) for row in staged.rows]
            staged.sides = {name: [storable(row) for row in rows] for name, rows in staged.sides.items()}
            staged.removed = [storable(row) for row in staged.removed]
            self._fill_alone(connection, staged)

    def _fill_alone(self, connection: sqlite3.Connection, staged: StagedRows) -> None:
        connection.execute("BEGIN")
        try:
            self._forget(connection, staged)
            self.fill(connection, staged)
        except BaseException:
            roll_back(connection)
            raise
        connection.execute("COMMIT")

    def _forget(self, connection: sqlite3.Connection, staged: StagedRows) -> None:
        """Further rows of these objects; also of those whose own row is gone, since another one had their name in between."""
        uid = self._names.index("uid")
        uids = json_list([*(row[uid] for row in staged.rows), *(same[0] for same in staged.same)])
        tables = {self.changes: "uid", **{self.side(side.name): self.owner for side in self.kind.side_tables}}
        for table, owner in tables.items():
            connection.execute(f"DELETE FROM {table} WHERE {owner} {IN_JSON_LIST}", (uids,))


def insert(table: str, names: Sequence[str], *, replace: bool = False) -> str:
    """An INSERT with one placeholder for each column."""
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    return f"{verb} INTO {table} ({', '.join(map(quoted, names))}) VALUES ({', '.join('?' * len(names))})"


def quoted(name: str) -> str:
    """A column's name as SQL, whatever word it is."""
    return f'"{name}"'
