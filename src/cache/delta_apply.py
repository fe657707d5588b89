"""Deltas of one cluster into the database, all in one short write transaction.

Rows and field changes are worked out before it, from what is stored then. The transaction writes a delta only if its
kind's resourceVersion and generation are still the same, and so a LIST that ended meanwhile wins; one that is still
running sees the new generation and refuses its own swap.
"""

# ruff: noqa: S608  -- only column names are put into SQL; values are always bound
from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cache.connection import snapshot
from cache.delta import Delta, DeltaOutcome, Refusal
from cache.delta_fold import DeltaFold
from cache.object_rows import ObjectRows, StoredObjects
from cache.staged_writes import StagedWrites
from cache.staging_tables import StagingTables
from cache.ttl_manager import TtlPolicy
from kinds.record import sort_key

SUCCESS_NOTED_SECONDS = 10
"""A cluster's last_success_at moves at most so often: an idle cluster then costs one page of the log, not two."""

_ON_TARGET = "cluster = ? AND kind = ? AND scope = ?"
_IS_NEWS = ":checked_at > max(coalesce(last_checked_at, 0), coalesce(last_error_at, 0) - 1)"
"""A watch that nothing came from says nothing: neither that the API server answers, nor that a failure is over."""
_ADVANCE = (  # max() of two arguments is a scalar function in SQLite
    "UPDATE main.cache_metadata SET resource_version = :until, last_checked_at = max(coalesce(last_checked_at, 0), :checked_at), "
    "expires_at = max(coalesce(last_checked_at, 0), :checked_at) + :ttl, ttl_seconds = :ttl, item_count = item_count + :growth, "
    f"permitted = CASE WHEN {_IS_NEWS} THEN 1 ELSE permitted END, "
    f"last_error = CASE WHEN {_IS_NEWS} THEN NULL ELSE last_error END, "
    f"last_error_at = CASE WHEN {_IS_NEWS} THEN NULL ELSE last_error_at END, "
    "strategy = :strategy, generation = generation + :touched "
    "WHERE cluster = :cluster AND kind = :kind AND scope = :scope AND generation = :generation AND resource_version = :since"
)


@dataclass(slots=True)
class _Prepared:
    """A delta with what was stored when it was worked out; `fold` and `tables` are None when there is nothing to write."""

    delta: Delta
    generation: int = 0
    item_count: int = 0
    why: Refusal = ""
    fold: DeltaFold | None = None
    tables: StagingTables | None = None


class DeltaApply:
    """`write` is the manager's write transaction; `now` and `started_at` are epoch seconds."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        cluster: str,
        write: Callable[[sqlite3.Connection], AbstractContextManager[None]],
        policy: TtlPolicy,
    ) -> None:
        self._connection = connection
        self._cluster = cluster
        self._write = write
        self._policy = policy

    def run(self, deltas: Sequence[Delta], *, now: float, started_at: float) -> list[DeltaOutcome]:
        """One outcome for each delta, in order."""
        with snapshot(self._connection):  # the guards and the rows that they guard belong together
            cluster_uid = self._cluster_uid()
            prepared: list[_Prepared] = []
            for number, delta in enumerate(deltas):
                taken = {self._target(other.delta) for other in prepared if not other.why}
                again = self._target(delta) in taken
                prepared.append(_Prepared(delta, why="conflict") if again else self._prepare(delta, number))
        for one in prepared:
            if one.fold is not None and one.tables is not None:
                one.tables.create(self._connection)
                one.tables.fill_alone(self._connection, one.fold.result)
        if all(one.why for one in prepared):
            return [self._outcome(one) for one in prepared]
        with self._write(self._connection):
            if self._cluster_uid() != cluster_uid:
                return [DeltaOutcome(one.delta.kind.name, one.delta.scope, applied=False, why="never listed") for one in prepared]
            for one in prepared:
                self._apply(one, int(now))
            if heard_at := [int(one.delta.checked_at) for one in prepared if not one.why]:
                self._note_success(max(heard_at), int(started_at))
        return [self._outcome(one) for one in prepared]

    def _prepare(self, delta: Delta, number: int) -> _Prepared:
        prepared = _Prepared(delta)
        stored = self._connection.execute(
            "SELECT generation, resource_version, redaction, last_full_at, item_count FROM main.cache_metadata "
            f"WHERE {_ON_TARGET}",
            self._target(delta),
        ).fetchone()
        if stored is None or stored[3] is None:
            prepared.why = "never listed"
            return prepared
        prepared.generation, version, redaction, _, prepared.item_count = stored
        if redaction != delta.redaction:
            prepared.why = "redaction"
        elif not version or version != delta.since:
            prepared.why = "conflict"
        elif delta.changes:
            self._fold(prepared, number)
        return prepared

    def _fold(self, prepared: _Prepared, number: int) -> None:
        delta = prepared.delta
        rows = ObjectRows(delta.kind)
        stored = StoredObjects(self._connection, self._cluster, rows)
        records = [change.staged.record for change in delta.changes if change.staged is not None]
        holders = stored.holders({sort_key(record.namespace, record.name) for record in records})
        uids = dict.fromkeys([*(change.uid for change in delta.changes), *holders.values()])
        fold = DeltaFold(rows, stored.objects(list(uids)), holders)
        fold.run(delta.changes)
        if fold.result.rows or fold.result.removed or fold.result.changes:
            prepared.fold, prepared.tables = fold, StagingTables(delta.kind, number)

    def _apply(self, one: _Prepared, now: int) -> None:
        if one.why:
            return
        fold = one.fold
        growth = 0 if fold is None else fold.added - fold.removed
        if self._connection.execute(_ADVANCE, self._advanced(one, growth)).rowcount != 1:
            one.why = "conflict"
            return
        one.item_count += growth
        if one.tables is not None:
            writes = StagedWrites(self._connection, self._cluster, one.tables)
            writes.remove(now)
            writes.store(now)
            writes.record_changes(now)

    def _advanced(self, one: _Prepared, growth: int) -> dict[str, object]:
        delta = one.delta
        return {
            "until": delta.until,
            "checked_at": int(delta.checked_at),
            "ttl": self._policy.ttl_seconds(delta.kind),
            "growth": growth,
            "strategy": delta.strategy,
            "touched": int(one.fold is not None),
            "cluster": self._cluster,
            "kind": delta.kind.name,
            "scope": delta.scope,
            "generation": one.generation,
            "since": delta.since,
        }

    def _note_success(self, heard_at: int, started_at: int) -> None:
        """As of when the API server was heard, which may be long ago: a poll of a dead watch fails only minutes later."""
        self._connection.execute(
            "UPDATE main.clusters SET last_success_at = ? WHERE name = ? AND coalesce(last_success_at, 0) < ?",
            (heard_at, self._cluster, min(heard_at, max(started_at, heard_at - SUCCESS_NOTED_SECONDS))),
        )

    def _cluster_uid(self) -> str | None:
        found = self._connection.execute("SELECT uid FROM main.clusters WHERE name = ?", (self._cluster,)).fetchone()
        return found[0] if found else None

    def _target(self, delta: Delta) -> tuple[str, str, str]:
        return self._cluster, delta.kind.name, delta.scope

    @staticmethod
    def _outcome(one: _Prepared) -> DeltaOutcome:
        kind, scope = one.delta.kind.name, one.delta.scope
        if one.why:
            return DeltaOutcome(kind, scope, applied=False, total=one.item_count, why=one.why)
        fold = one.fold
        counts = (0, 0, 0) if fold is None else (fold.added, fold.changed, fold.removed)
        return DeltaOutcome(kind, scope, True, *counts, total=one.item_count)
