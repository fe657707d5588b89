"""The table of a kind, and its side tables, made from the declaration."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from cache.connection import immediate
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

HIDDEN_COLUMNS = frozenset({"manifest", "sort_key"})
"""Columns that mean nothing to somebody who writes SQL."""

_IDENTITY = frozenset({"uid", "name", "resource_version"})


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
    """Columns: cluster, those of the declaration, first_seen_at, sort_key (the API server's list order), manifest."""
    table = Table(
        kind.name,
        metadata,
        Column("cluster", Text, nullable=False),
        *(_column(declared) for declared in kind.columns),
        Column("first_seen_at", Integer, nullable=False),
        Column("sort_key", LargeBinary, nullable=False),
        Column("manifest", LargeBinary, nullable=False),
        PrimaryKeyConstraint("cluster", "uid"),
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
    _add_indexes(table, side.columns)
    return table


def _column(declared: DeclaredColumn) -> Column[Any]:
    """Only what identifies an object is NOT NULL: an odd value in one object must not fail the swap of them all."""
    return Column(declared.name, _TYPES[declared.type], nullable=declared.name not in _IDENTITY)


def _add_indexes(table: Table, columns: Iterable[DeclaredColumn]) -> None:
    for declared in columns:
        if declared.index:
            Index(f"{table.name}_by_{declared.name}", table.c.cluster, table.c[declared.name])


def ensure_kind_tables(connection: sqlite3.Connection, kinds: Iterable[Kind]) -> list[str]:
    """Create the tables that are missing and rebuild those whose declaration changed; the names of the rebuilt ones.

    A rebuilt kind loses its freshness too, and so counts as never scanned.
    """
    known = dict(connection.execute("SELECT name, declaration_hash FROM kind_tables"))
    outdated = [kind for kind in kinds if known.get(kind.name) != kind.declaration_hash]
    for kind in outdated:
        with immediate(connection):
            _drop(connection, kind)
            _create(connection, kind)
    return [kind.name for kind in outdated if kind.name in known]


def _drop(connection: sqlite3.Connection, kind: Kind) -> None:
    found = connection.execute("SELECT side_tables FROM kind_tables WHERE name = ?", (kind.name,)).fetchone()
    names = {kind.name, *(orjson.loads(found[0]) if found else ()), *(side.name for side in kind.side_tables)}
    for name in names:
        connection.execute(f'DROP TABLE IF EXISTS "{name}"')
    for table in ("labels", "annotations", "cache_metadata"):
        connection.execute(f"DELETE FROM {table} WHERE kind = ?", (kind.name,))


def _create(connection: sqlite3.Connection, kind: Kind) -> None:
    tables = kind_tables(kind)
    for table in (tables.main, *tables.sides.values()):
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    connection.execute(
        "INSERT OR REPLACE INTO kind_tables (name, declaration_hash, side_tables) VALUES (?, ?, ?)",
        (kind.name, kind.declaration_hash, orjson.dumps([side.name for side in kind.side_tables]).decode()),
    )
