"""The table of a kind, and its side tables, made from the declaration.

All of it can be scanned again, so none of it is migrated: a table of another declaration or another form is dropped.
"""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text, UniqueConstraint
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from cache import text_search
from cache.connection import immediate
from cache.index_statistics import state_statistics
from kinds.kind import Column as DeclaredColumn
from kinds.kind import ColumnType, Kind, SideTable

_TYPES: Mapping[ColumnType, type[TypeEngine[Any]]] = {
    "text": Text,
    "integer": Integer,
    "real": Float,
    "boolean": Integer,
    "time": Integer,
    "json": Text,
}

FORM = 2
"""Raised when the same declaration makes other tables, indexes or triggers; then everything is scanned anew."""

TABLES_OF_ALL_KINDS = ("labels", "annotations", "changes", "deleted_objects")
_DELETED_AT_ONCE = 1000

_IDENTITY = frozenset({"uid", "name", "resource_version"})


def table_version(kind: Kind) -> str:
    """What is kept beside a table: tells whether this program would make the same one."""
    return f"{FORM}-{kind.declaration_hash}"


def owner_column(kind: Kind) -> str:
    """The column of a side table that holds the object's uid: `pod_uid`."""
    return f"{kind.kind.lower()}_uid"


@dataclass(frozen=True)
class KindTables:
    """The tables of one kind: its own, and those of its side tables by name."""

    main: Table
    sides: Mapping[str, Table]


def kind_tables(kind: Kind) -> KindTables:
    """Build them from the declaration (about a millisecond; keep the result where it is used often)."""
    metadata = MetaData()
    return KindTables(_kind_table(kind, metadata), {side.name: _side_table(kind, side, metadata) for side in kind.side_tables})


def _kind_table(kind: Kind, metadata: MetaData) -> Table:
    """Columns: row_id, cluster, those of the declaration, first_seen_at, sort_key (the API server's list order), manifest."""
    table = Table(
        kind.name,
        metadata,
        Column("row_id", Integer, primary_key=True),  # declared, because SQLite's own would change when the file is vacuumed
        Column("cluster", Text, nullable=False),
        *(_column(declared) for declared in kind.columns),
        Column("first_seen_at", Integer, nullable=False),
        Column("sort_key", LargeBinary, nullable=False),
        Column("manifest", LargeBinary, nullable=False),
        UniqueConstraint("cluster", "uid"),
    )
    # Two objects of one kind never share a name at the same time; a page in name order is a range of this index.
    Index(f"{kind.name}_in_name_order", table.c.cluster, table.c.sort_key, unique=True)
    _add_indexes(table, kind.columns)
    return table


def _side_table(kind: Kind, side: SideTable, metadata: MetaData) -> Table:
    """Columns: cluster, `<kind>_uid`, position (order within the object), and those of the declaration."""
    owner = owner_column(kind)
    table = Table(
        side.name,
        metadata,
        Column("cluster", Text, nullable=False),
        Column(owner, Text, nullable=False),
        Column("position", Integer, nullable=False),
        *(_column(declared) for declared in side.columns),
        PrimaryKeyConstraint("cluster", owner, "position"),
    )
    _add_indexes(table, side.columns, side=True)
    return table


def _column(declared: DeclaredColumn) -> Column[Any]:
    """Only what identifies an object is NOT NULL: an odd value in one object must not fail the swap of them all."""
    return Column(declared.name, _TYPES[declared.type], nullable=declared.name not in _IDENTITY)


def _add_indexes(table: Table, columns: Iterable[DeclaredColumn], *, side: bool = False) -> None:
    indexed = [declared for declared in columns if declared.index]
    names = {declared.name for declared in indexed}
    for declared in indexed:
        column = table.c[declared.name]
        # What is asked most: the objects of a namespace that are in some state. One index serves both questions.
        further = [table.c.status] if declared.name == "namespace" and "status" in names else []
        # In most rows of a side table there is nothing to find, no reason why a container waits: those are left out.
        filled = column.is_not(None) if side and declared.nullable else None
        Index(f"{table.name}_by_{declared.name}", table.c.cluster, column, *further, sqlite_where=filled)


def ensure_kind_tables(connection: sqlite3.Connection, kinds: Iterable[Kind]) -> list[str]:
    """Create the tables that are missing and rebuild those whose declaration or form changed; the names of the rebuilt ones.

    A rebuilt kind loses its freshness too, and so counts as never scanned.
    """
    known = dict(connection.execute("SELECT name, declaration_hash FROM kind_tables"))
    other_form = any(not version.startswith(f"{FORM}-") for version in known.values())
    if other_form or not text_search.has_search(connection):
        with immediate(connection):
            if other_form:
                _drop_all(connection, known)
            text_search.create_search(connection)
            for table in (text_search.OBJECTS, *TABLES_OF_ALL_KINDS):
                state_statistics(connection, table)
    outdated = [kind for kind in kinds if known.get(kind.name) != table_version(kind)]
    for kind in outdated:
        _empty(connection, kind)
        with immediate(connection):
            _drop(connection, kind.name, {side.name for side in kind.side_tables})
            _create(connection, kind)
    return [kind.name for kind in outdated if kind.name in known]


def _drop_all(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Of kinds too that are switched off now: their triggers would not fit the search tables."""
    for name in names:
        _drop(connection, name)
    text_search.drop_search(connection)


def _empty(connection: sqlite3.Connection, kind: Kind) -> None:
    """Take the rows out of what follows them, in small transactions: dropping a table runs no trigger."""
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (kind.name,)).fetchone()
    deleted = _DELETED_AT_ONCE if exists else 0
    while deleted == _DELETED_AT_ONCE:
        with immediate(connection):
            connection.execute("DELETE FROM cache_metadata WHERE kind = ?", (kind.name,))
            deleted = connection.execute(
                f'DELETE FROM "{kind.name}" WHERE row_id IN (SELECT row_id FROM "{kind.name}" LIMIT {_DELETED_AT_ONCE})'
            ).rowcount


def _drop(connection: sqlite3.Connection, kind: str, sides: Iterable[str] = ()) -> None:
    found = connection.execute("SELECT side_tables FROM kind_tables WHERE name = ?", (kind,)).fetchone()
    for name in {kind, *(orjson.loads(found[0]) if found else ()), *sides}:
        connection.execute(f'DROP TABLE IF EXISTS "{name}"')
    for table in ("labels", "annotations", "cache_metadata"):
        connection.execute(f"DELETE FROM {table} WHERE kind = ?", (kind,))
    connection.execute("DELETE FROM kind_tables WHERE name = ?", (kind,))


def _create(connection: sqlite3.Connection, kind: Kind) -> None:
    tables = kind_tables(kind)
    for table in (tables.main, *tables.sides.values()):
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
        state_statistics(connection, table.name)
    text_search.follow(connection, kind)
    connection.execute(
        "INSERT INTO kind_tables (name, declaration_hash, side_tables) VALUES (?, ?, ?)",
        (kind.name, table_version(kind), orjson.dumps([side.name for side in kind.side_tables]).decode()),
    )
