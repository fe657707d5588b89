"""What was staged becomes what is stored: the statements that a LIST and a delta share, for use in a write transaction."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from cache.staging_tables import KEYED_DETAILS, StagingTables, State, detail_tables, quoted
from kinds.kind import Kind

_WITHOUT_MANIFEST = frozenset({"events"})
"""Deleted objects of these kinds keep their row only: they are many, and their columns say it all."""


class StagedWrites:
    """For one kind of one cluster. `now` is the epoch second at which this was seen."""

    def __init__(self, connection: sqlite3.Connection, cluster: str, tables: StagingTables) -> None:
        self._connection = connection
        self._cluster = cluster
        self._tables = tables
        self._kind: Kind = tables.kind
        self._table = f"main.{quoted(self._kind.name)}"

    def remove(self, now: int) -> None:
        """Move the removed objects to `deleted_objects`, with their last state; not those that have none."""
        staged, kind = self._tables.removed, self._kind
        manifest = "NULL" if kind.name in _WITHOUT_MANIFEST else "coalesce(r.manifest, m.manifest)"
        self._execute(
            "INSERT OR REPLACE INTO main.deleted_objects (cluster, kind, uid, namespace, name, resource_version, created_at, "
            "first_seen_at, deleted_at, row, manifest) SELECT ?, ?, r.uid, r.namespace, r.name, r.resource_version, "
            f"r.created_at, coalesce(m.first_seen_at, ?), ?, r.row, {manifest} FROM {staged} r LEFT JOIN {self._table} m "
            "ON m.cluster = ? AND m.uid = r.uid WHERE r.row IS NOT NULL AND (m.uid IS NOT NULL OR r.manifest IS NOT NULL)",
            (self._cluster, kind.name, now, now, self._cluster),
        )
        gone = f"SELECT uid FROM {staged}"
        for table in detail_tables(kind):
            self._delete_details(table, gone)
        self._execute(f"DELETE FROM {self._table} WHERE cluster = ? AND uid IN ({gone})", (self._cluster,))

    def store(self, now: int, after: int = 0, upto: int | None = None) -> None:
        """Write the staged objects with a position in (after, upto] that are new or changed."""
        window = "s.position > ?" + ("" if upto is None else " AND s.position <= ?")
        bounds: tuple[int, ...] = (after,) if upto is None else (after, upto)
        objects = self._tables.objects
        for bit, table in enumerate(detail_tables(self._kind)):
            differing = f"s.state = {State.CHANGED:d} AND s.details & {1 << bit} AND {window}"
            self._delete_details(table, f"SELECT s.uid FROM {objects} s WHERE {differing}", bounds)
        self._store_objects(f"FROM {objects} s WHERE s.state <> {State.SAME:d} AND {window} ORDER BY s.position", now, bounds)
        for bit, table in enumerate(detail_tables(self._kind)):
            self._store_details(table, f"s.state <> {State.SAME:d} AND s.details & {1 << bit} AND {window}", bounds)
        self._execute(
            "DELETE FROM main.deleted_objects WHERE cluster = ? AND kind = ? AND uid IN "
            f"(SELECT s.uid FROM {objects} s WHERE s.state = {State.NEW:d} AND {window})",
            (self._cluster, self._kind.name, *bounds),
        )

    def record_changes(self, now: int) -> None:
        """Add the staged field changes to the history, in the order in which they came."""
        self._execute(
            "INSERT INTO main.changes (cluster, kind, namespace, name, uid, field, old, new, seen_at, resource_version, manager) "
            "SELECT ?, ?, c.namespace, c.name, c.uid, c.field, c.old, c.new, ?, c.resource_version, c.manager "
            f"FROM {self._tables.changes} c ORDER BY c.rowid",
            (self._cluster, self._kind.name, now),
        )

    def _store_objects(self, source: str, now: int, bounds: tuple[int, ...]) -> None:
        names = [*(column.name for column in self._kind.columns), "sort_key", "manifest"]
        updates = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in names if name != "uid")
        self._execute(
            f"INSERT INTO {self._table} (cluster, first_seen_at, {', '.join(map(quoted, names))}) "
            f"SELECT ?, ?, {', '.join('s.' + quoted(name) for name in names)} {source} "
            f"ON CONFLICT (cluster, uid) DO UPDATE SET {updates}",
            (self._cluster, now, *bounds),
        )

    def _store_details(self, table: str, written: str, bounds: tuple[int, ...]) -> None:
        objects = self._tables.objects
        if table in KEYED_DETAILS:
            self._execute(
                f"INSERT INTO main.{table} (cluster, kind, uid, key, value) SELECT ?, ?, s.uid, j.key, j.value "
                f"FROM {objects} s, json_each(s.{table}) j WHERE {written}",
                (self._cluster, self._kind.name, *bounds),
            )
            return
        owner = self._tables.owner
        columns = [quoted(name) for name in self._tables.side_columns(table)]
        self._execute(
            f"INSERT INTO main.{quoted(table)} (cluster, {', '.join(columns)}) "
            f"SELECT ?, {', '.join(f'c.{column}' for column in columns)} FROM {objects} s "
            f"JOIN {self._tables.side(table)} c ON c.{owner} = s.uid WHERE {written}",
            (self._cluster, *bounds),
        )

    def _delete_details(self, table: str, uids: str, parameters: Sequence[Any] = ()) -> None:
        """Rows of a detail table that belong to the objects which the subquery names."""
        of_kind, owner = "", self._tables.owner
        kind: tuple[str, ...] = ()
        if table in KEYED_DETAILS:
            of_kind, owner, kind = " AND kind = ?", "uid", (self._kind.name,)
        self._execute(
            f"DELETE FROM main.{quoted(table)} WHERE cluster = ?{of_kind} AND {owner} IN ({uids})",
            (self._cluster, *kind, *parameters),
        )

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.execute(sql, parameters)
