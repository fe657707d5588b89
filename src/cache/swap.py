"""The end of a scan: what was staged becomes what is stored, in one short transaction.

Only a first fill commits in chunks, under complete=0; readers of a kind that was scanned before see the old state or
the new one.
"""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson

from cache.kind_tables import owner_column
from cache.staging_tables import CHANGES, REMOVED, STAGED, State, insert, quoted, staged_side
from cache.ttl_manager import freshness_class
from configuration.errors import CacheError
from kinds.kind import Kind

FIRST_FILL_CHUNK = 2000
_WITHOUT_MANIFEST = frozenset({"events"})
"""Deleted objects of these kinds keep their row only: they are many, and their columns say it all."""


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What a finished scan did to the stored rows; `total` objects exist now in the scanned scope."""

    added: int
    changed: int
    removed: int
    unchanged: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanScope:
    """What is being scanned, and the state of the cache when the scan began.

    `scope` is "" or a namespace; `generation` None when nothing was stored yet; `rewrite` is True when the stored rows
    were redacted by other rules or with another key, so that every row has to be written again.
    """

    cluster: str
    cluster_uid: str
    kind: Kind
    scope: str
    redaction: str
    started_at: int
    ttl_seconds: int
    generation: int | None
    first_fill: bool
    rewrite: bool


class Swap:
    """`write` is the manager's write transaction; `clock` gives epoch seconds."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        scope: ScanScope,
        write: Callable[[sqlite3.Connection], AbstractContextManager[None]],
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._write = write
        self._clock = clock
        self._generation = scope.generation
        self._table = f"main.{quoted(scope.kind.name)}"
        self._owner = quoted(owner_column(scope.kind))
        self._names = [column.name for column in scope.kind.columns]

    def run(self, *, resource_version: str, malformed: int, duration_ms: int | None, strategy: str) -> ScanOutcome:
        removed = self._stage_removed()
        added, changed, unchanged = (self._count(state) for state in (State.NEW, State.CHANGED, State.SAME))
        last = self._fill_in_chunks() if self._scope.first_fill else 0
        now = int(self._clock())
        with self._write(self._connection):
            self._check_untouched()
            self._remove(now)
            self._store(last, None, now)
            self._record_changes(now)
            total = added + changed + unchanged
            self._set_metadata(
                resource_version=resource_version,
                last_full_at=self._scope.started_at,
                expires_at=self._scope.started_at + self._scope.ttl_seconds,
                item_count=total,
                complete=1,
                malformed=malformed,
                duration_ms=duration_ms,
                strategy=strategy,
            )
            self._note_success(now)
        return ScanOutcome(added, changed, removed, unchanged, total)

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)

    def _count(self, state: State) -> int:
        return int(self._execute(f"SELECT count(*) FROM {STAGED} WHERE state = ?", (state,)).fetchone()[0])

    def _stage_removed(self) -> int:
        """Rows whose object was not seen, as JSON; read before the write transaction, to keep that one short."""
        where, parameters = "m.cluster = ?", [self._scope.cluster]
        if self._scope.scope:
            where, parameters = where + " AND m.namespace = ?", [*parameters, self._scope.scope]
        names = ", ".join(f"m.{quoted(name)}" for name in self._names)
        cursor = self._execute(
            f"SELECT {names} FROM {self._table} m WHERE {where} AND NOT EXISTS (SELECT 1 FROM {STAGED} s WHERE s.uid = m.uid)",
            parameters,
        )
        count = 0
        while rows := cursor.fetchmany(500):
            count += len(rows)
            with_sides = self._with_side_rows([dict(zip(self._names, row, strict=True)) for row in rows])
            self._connection.executemany(
                insert(REMOVED, ("uid", "row")), [(row["uid"], _row_json(row, self._scope.kind)) for row in with_sides]
            )
        return count

    def _with_side_rows(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        uids = orjson.dumps([row["uid"] for row in rows]).decode()
        by_uid = {row["uid"]: row for row in rows}
        for side in self._scope.kind.side_tables:
            names = [column.name for column in side.columns]
            selected = ", ".join(map(quoted, names))
            for row in rows:
                row[side.name] = []
            for uid, *values in self._execute(
                f"SELECT {self._owner}, {selected} FROM main.{quoted(side.name)} WHERE cluster = ? AND {self._owner} IN "
                f"(SELECT value FROM json_each(?)) ORDER BY {self._owner}, position",
                (self._scope.cluster, uids),
            ):
                by_uid[uid][side.name].append(dict(zip(names, values, strict=True)))
        return rows

    def _fill_in_chunks(self) -> int:
        """Store all but the last chunk, each in its own transaction; the staged position up to which it got."""
        positions = [
            row[0] for row in self._execute(f"SELECT position FROM {STAGED} WHERE state <> ? ORDER BY position", (State.SAME,))
        ]
        last = 0
        for count in range(FIRST_FILL_CHUNK, len(positions), FIRST_FILL_CHUNK):
            upto = positions[count - 1]
            with self._write(self._connection):
                self._check_untouched()
                self._remove(int(self._clock()))  # what an interrupted first fill left may hold the names of these
                self._store(last, upto, int(self._clock()))
                self._set_metadata(
                    resource_version="",
                    last_full_at=None,
                    expires_at=self._scope.started_at,
                    item_count=count,
                    complete=0,
                    malformed=0,
                    duration_ms=None,
                    strategy="list",
                )
            last = upto
        return last

    def _check_untouched(self) -> None:
        scope = self._scope
        cluster = self._execute("SELECT uid FROM main.clusters WHERE name = ?", (scope.cluster,)).fetchone()
        stored = self._execute(
            "SELECT generation FROM main.cache_metadata WHERE cluster = ? AND kind = ? AND scope = ?",
            (scope.cluster, scope.kind.name, scope.scope),
        ).fetchone()
        if cluster != (scope.cluster_uid,) or (stored[0] if stored else None) != self._generation:
            raise CacheError(f"{scope.kind.name} of {scope.cluster} changed in the cache while being listed; scan again")

    def _remove(self, now: int) -> None:
        scope = self._scope
        manifest = "NULL" if scope.kind.name in _WITHOUT_MANIFEST else "m.manifest"
        self._execute(
            "INSERT OR REPLACE INTO main.deleted_objects (cluster, kind, uid, namespace, name, resource_version, created_at, "
            "first_seen_at, deleted_at, row, manifest) SELECT m.cluster, ?, m.uid, m.namespace, m.name, m.resource_version, "
            f"m.created_at, m.first_seen_at, ?, r.row, {manifest} FROM {REMOVED} r JOIN {self._table} m "
            "ON m.cluster = ? AND m.uid = r.uid",
            (scope.kind.name, now, scope.cluster),
        )
        gone = f"SELECT uid FROM {REMOVED}"
        self._delete_details(gone)
        self._execute(f"DELETE FROM {self._table} WHERE cluster = ? AND uid IN ({gone})", (scope.cluster,))

    def _delete_details(self, uids: str, parameters: Sequence[Any] = ()) -> None:
        """Side rows, labels and annotations of the objects that the subquery names."""
        scope = self._scope
        for side in scope.kind.side_tables:
            self._execute(
                f"DELETE FROM main.{quoted(side.name)} WHERE cluster = ? AND {self._owner} IN ({uids})",
                (scope.cluster, *parameters),
            )
        for table in ("labels", "annotations"):
            self._execute(
                f"DELETE FROM main.{table} WHERE cluster = ? AND kind = ? AND uid IN ({uids})",
                (scope.cluster, scope.kind.name, *parameters),
            )

    def _store(self, after: int, upto: int | None, now: int) -> None:
        """Write the staged rows with a position in (after, upto] that are new or changed."""
        window = "s.position > ?" + ("" if upto is None else " AND s.position <= ?")
        bounds: tuple[int, ...] = (after,) if upto is None else (after, upto)
        cluster, kind = self._scope.cluster, self._scope.kind
        changed = f"SELECT s.uid FROM {STAGED} s WHERE s.state = {State.CHANGED:d} AND {window}"
        self._delete_details(changed, bounds)
        written = f"FROM {STAGED} s WHERE s.state <> {State.SAME:d} AND {window}"
        names = [*self._names, "sort_key", "manifest"]
        updates = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in names if name != "uid")
        self._execute(
            f"INSERT INTO {self._table} (cluster, first_seen_at, {', '.join(map(quoted, names))}) "
            f"SELECT ?, ?, {', '.join('s.' + quoted(name) for name in names)} {written} ORDER BY s.position "
            f"ON CONFLICT (cluster, uid) DO UPDATE SET {updates}",
            (cluster, now, *bounds),
        )
        for side in kind.side_tables:
            columns = ", ".join(["position", *(quoted(column.name) for column in side.columns)])
            selected = ", ".join(["c.position", *(f"c.{quoted(column.name)}" for column in side.columns)])
            self._execute(
                f"INSERT INTO main.{quoted(side.name)} (cluster, {self._owner}, {columns}) SELECT ?, s.uid, {selected} "
                f"FROM {STAGED} s JOIN {staged_side(side.name)} c ON c.{self._owner} = s.uid "
                f"WHERE s.state <> {State.SAME:d} AND {window}",
                (cluster, *bounds),
            )
        for table in ("labels", "annotations"):
            self._execute(
                f"INSERT INTO main.{table} (cluster, kind, uid, key, value) SELECT ?, ?, s.uid, j.key, j.value "
                f"FROM {STAGED} s, json_each(s.{table}) j WHERE s.state <> {State.SAME:d} AND {window}",
                (cluster, kind.name, *bounds),
            )
        self._execute(
            "DELETE FROM main.deleted_objects WHERE cluster = ? AND kind = ? AND uid IN "
            f"(SELECT s.uid FROM {STAGED} s WHERE s.state = {State.NEW:d} AND {window})",
            (cluster, kind.name, *bounds),
        )

    def _record_changes(self, now: int) -> None:
        self._execute(
            "INSERT INTO main.changes (cluster, kind, namespace, name, uid, field, old, new, seen_at, resource_version) "
            "SELECT ?, ?, s.namespace, s.name, s.uid, c.field, c.old, c.new, ?, s.resource_version "
            f"FROM {CHANGES} c JOIN {STAGED} s ON s.uid = c.uid WHERE s.state = {State.CHANGED:d}",
            (self._scope.cluster, self._scope.kind.name, now),
        )

    def _set_metadata(self, **values: Any) -> None:
        scope = self._scope
        self._generation = (self._generation or 0) + 1
        row = {
            "cluster": scope.cluster,
            "kind": scope.kind.name,
            "scope": scope.scope,
            "freshness_class": freshness_class(scope.kind),
            "last_checked_at": scope.started_at,
            "ttl_seconds": scope.ttl_seconds,
            "permitted": 1,
            "last_error": None,
            "last_error_at": None,
            "redaction": scope.redaction,
            "generation": self._generation,
            **values,
        }
        self._execute(insert("main.cache_metadata", tuple(row), replace=True), tuple(row.values()))
        if not scope.scope:
            self._execute(
                "DELETE FROM main.cache_metadata WHERE cluster = ? AND kind = ? AND scope <> ''", (scope.cluster, scope.kind.name)
            )

    def _note_success(self, now: int) -> None:
        self._execute("UPDATE main.clusters SET last_success_at = ? WHERE name = ?", (now, self._scope.cluster))


def _row_json(row: dict[str, Any], kind: Kind) -> str:
    """A row as one JSON object: JSON columns nested, times as epoch seconds, booleans as booleans."""
    types = {column.name: column.type for column in kind.columns}
    sides = {side.name: {column.name: column.type for column in side.columns} for side in kind.side_tables}
    plain = {
        name: [_plain(inner, sides[name]) for inner in value] if name in sides else _plain_value(value, types[name])
        for name, value in row.items()
    }
    return orjson.dumps(plain).decode()


def _plain(row: dict[str, Any], types: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value, types[name]) for name, value in row.items()}


def _plain_value(value: Any, type_: str) -> Any:
    if value is None:
        return None
    if type_ == "json":
        return orjson.loads(value)
    return bool(value) if type_ == "boolean" else value
