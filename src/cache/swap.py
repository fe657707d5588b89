"""The end of a scan: what was staged becomes what is stored, in one short transaction.

Only a first fill commits in chunks, under complete=0; readers of a kind that was scanned before see the old state or
the new one.
"""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from cache.history_scrub import rules_of
from cache.object_rows import ObjectRows, StoredObjects, removed_row
from cache.scan_scope import ScanScope
from cache.staged_writes import StagedWrites
from cache.staging_tables import REMOVED_COLUMNS, StagedRows, StagingTables, State, insert, quoted
from cache.ttl_manager import freshness_class
from configuration.errors import CacheError

FIRST_FILL_CHUNK = 2000
_NOTHING_RECORDED = (None,) * (len(REMOVED_COLUMNS) - 1)


@dataclass(frozen=True, slots=True)
class ScanOutcome:
    """What a finished scan did to the stored rows; `total` objects exist now in the scanned scope."""

    added: int
    changed: int
    removed: int
    unchanged: int
    total: int


class Swap:
    """`write` is the manager's write transaction; `clock` gives epoch seconds.

    `history_settled`: nothing of the kind's history is stored by other redaction rules than this scan's.
    """

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
        self.history_settled = scope.history_settled
        self.tables = StagingTables(scope.kind)
        self._writes = StagedWrites(connection, scope.cluster, self.tables)
        self._dropped: set[str] = set()

    def drop(self, uids: Iterable[str]) -> None:
        """Of these nothing may stay stored, though they exist: unless they are staged, their rows go without a trace."""
        self._dropped.update(uids)

    def run(self, *, resource_version: str, malformed: int, duration_ms: int | None, strategy: str) -> ScanOutcome:
        removed = self._stage_removed()
        self._forget_displaced()
        staged = dict(self._execute(f"SELECT state, count(*) FROM {self.tables.objects} GROUP BY state").fetchall())
        added, changed, unchanged = (staged.get(state, 0) for state in (State.NEW, State.CHANGED, State.SAME))
        last = self._fill_in_chunks() if self._scope.first_fill else 0
        now = int(self._clock())
        with self._write(self._connection):
            self._check_untouched()
            self._writes.remove(now)
            self._writes.store(now, last)
            self._writes.record_changes(now)
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
            self._note_rules()
        return ScanOutcome(added, changed, removed, unchanged, total)

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, parameters)

    def _stage_removed(self) -> int:
        """Rows whose object was not seen, as JSON; read before the write transaction, to keep that one short.

        How many of them are deletions.
        """
        where, parameters = "m.cluster = ?", [self._scope.cluster]
        if self._scope.scope:
            where, parameters = where + " AND m.namespace = ?", [*parameters, self._scope.scope]
        cursor = self._execute(
            f"SELECT m.uid FROM main.{quoted(self._scope.kind.name)} m WHERE {where} "
            f"AND NOT EXISTS (SELECT 1 FROM {self.tables.objects} s WHERE s.uid = m.uid)",
            parameters,
        )
        rows = ObjectRows(self._scope.kind)
        stored = StoredObjects(self._connection, self._scope.cluster, rows)
        count = 0
        while uids := [uid for (uid,) in cursor.fetchmany(500)]:
            gone = [uid for uid in uids if uid not in self._dropped]
            count += len(gone)
            removed = StagedRows(removed=[removed_row(rows, last, None) for last in stored.objects(gone).values()])
            removed.removed += [(uid, *_NOTHING_RECORDED) for uid in uids if uid in self._dropped]
            self.tables.fill(self._connection, removed)
        return count

    def _forget_displaced(self) -> None:
        """Changes of objects whose name another one has taken while the pages came."""
        changed = f"SELECT uid FROM {self.tables.objects} WHERE state = {State.CHANGED:d}"
        self._execute(f"DELETE FROM {self.tables.changes} WHERE uid NOT IN ({changed})")

    def _fill_in_chunks(self) -> int:
        """Store all but the last chunk, each in its own transaction; the staged position up to which it got."""
        positions = [
            row[0]
            for row in self._execute(
                f"SELECT position FROM {self.tables.objects} WHERE state <> ? ORDER BY position", (State.SAME,)
            )
        ]
        last = 0
        for count in range(FIRST_FILL_CHUNK, len(positions), FIRST_FILL_CHUNK):
            upto = positions[count - 1]
            with self._write(self._connection):
                self._check_untouched()
                self._writes.remove(int(self._clock()))  # what an interrupted first fill left may hold the names of these
                self._writes.store(int(self._clock()), last, upto)
                self._set_metadata(
                    # rows that other rules redacted are still there: if this breaks off, the next scan has to write them again
                    redaction="" if self._scope.rewrite else self._scope.redaction,
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
        who = "SELECT coalesce(nullif(uid, ''), api_server) FROM main.clusters WHERE name = ?"
        cluster = self._execute(who, (scope.cluster,)).fetchone()
        stored = self._execute(
            "SELECT generation FROM main.cache_metadata WHERE cluster = ? AND kind = ? AND scope = ?",
            (scope.cluster, scope.kind.name, scope.scope),
        ).fetchone()
        if cluster != (scope.cluster_uid,) or (stored[0] if stored else None) != self._generation:
            raise CacheError(f"{scope.kind.name} of {scope.cluster} changed in the cache while being listed; scan again")

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
        if scope.scope:
            # the rows of the whole cluster are no longer those of one resourceVersion: no delta may build on them
            self._execute(
                "UPDATE main.cache_metadata SET resource_version = '', generation = generation + 1 "
                "WHERE cluster = ? AND kind = ? AND scope = ''",
                (scope.cluster, scope.kind.name),
            )
        else:
            self._execute(
                "DELETE FROM main.cache_metadata WHERE cluster = ? AND kind = ? AND scope <> ''", (scope.cluster, scope.kind.name)
            )

    def _note_rules(self) -> None:
        """Without history, what comes of these rows will be of their rules; else somebody has to look (`history_scrub`).

        Rows of other rules that have just gone into the history make it one of no known rules.
        """
        scope = self._scope
        of_kind = (scope.cluster, scope.kind.name)
        into = "INTO main.history_rules (cluster, kind, rules)"
        if scope.other_rules:
            self._execute(f"INSERT OR REPLACE {into} VALUES (?, ?, '')", of_kind)
        elif not self.history_settled and not scope.scope:
            none = "NOT EXISTS (SELECT 1 FROM main.{} WHERE cluster = ? AND kind = ?)"
            noted = self._execute(
                f"INSERT OR IGNORE {into} SELECT ?, ?, ? WHERE {none.format('deleted_objects')} AND {none.format('changes')}",
                (*of_kind, rules_of(scope.redaction), *of_kind, *of_kind),
            )
            self.history_settled = noted.rowcount == 1

    def _note_success(self, now: int) -> None:
        self._execute("UPDATE main.clusters SET last_success_at = ? WHERE name = ?", (now, self._scope.cluster))
