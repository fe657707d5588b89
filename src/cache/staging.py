"""One scan of one kind on its way into the cache.

Pages go to TEMP tables, a file of their own, so that no write transaction waits for the network. What differs from the
stored rows by (uid, resourceVersion) is swapped in at the end, in one short transaction (`cache.swap`).
"""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from types import TracebackType
from typing import Any

import orjson

from cache import staging_tables
from cache.change_history import UNTRACKED_KINDS, row_changes, side_changes
from cache.kind_tables import owner_column
from cache.rows import RecordEncoder, storable
from cache.staging_tables import CHANGES, STAGED, State, insert, quoted, staged_side
from cache.swap import ScanOutcome, ScanScope, Swap
from kinds.record import Record, sort_key

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
_FASTEST = 1
SideRows = Mapping[str, list[list[Any]]]


@dataclass(frozen=True, slots=True)
class Staged:
    """One object of a page: its record, and its redacted manifest as JSON bytes."""

    record: Record
    manifest: bytes


@dataclass(slots=True)
class _Page:
    """What one page adds to the TEMP tables."""

    same: list[tuple[Any, ...]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    sides: dict[str, list[list[Any]]] = field(default_factory=dict)
    changes: list[tuple[Any, ...]] = field(default_factory=list)


class Staging:
    """Context manager made by `CacheManager.stage`. Leaving it without `finish` discards everything.

    Not for several threads at once, but it may move between threads.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        scope: ScanScope,
        swap: Swap,
        errors: Callable[[], AbstractContextManager[None]],
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._swap = swap
        self._errors = errors
        self._batch_size = batch_size
        self._kind = scope.kind
        self._encoder = RecordEncoder(self._kind.columns)
        self._sides = tuple((side, RecordEncoder(side.columns)) for side in self._kind.side_tables)
        self._owner = owner_column(self._kind)
        self._unstorable = 0
        self._finished = False
        names = ["sort_key", "state", *self._encoder.names, "manifest"]
        self._insert_row = insert(STAGED, names, replace=True)
        self._insert_same = insert(STAGED, ("uid", "sort_key", "name", "resource_version", "state"), replace=True)
        self._insert_sides = {
            side.name: insert(staged_side(side.name), (self._owner, "position", *encoder.names)) for side, encoder in self._sides
        }
        staging_tables.create(connection, self._kind)

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def add(self, records: Iterable[Staged]) -> None:
        """Stage objects, of any number of pages. An object seen twice counts once, as it was seen last."""
        with self._errors():
            iterator = iter(records)
            while page := list(islice(iterator, self._batch_size)):
                self._add_page({staged.record.uid: staged for staged in page})

    def keep(self, uids: Sequence[str]) -> None:
        """These objects exist but could not be read: what is stored of them stays, they are not taken to be deleted.

        Not so when it was redacted by other rules: then nothing of it is kept.
        """
        if not uids or self._scope.rewrite:
            return
        with self._errors():
            self._connection.execute(
                f"INSERT OR IGNORE INTO {STAGED} (uid, sort_key, name, resource_version, state) "
                f"SELECT uid, sort_key, name, resource_version, ? FROM main.{quoted(self._kind.name)} "
                "WHERE cluster = ? AND uid IN (SELECT value FROM json_each(?))",
                (State.SAME, self._scope.cluster, _json(uids)),
            )

    def finish(
        self, *, resource_version: str, malformed: int = 0, duration_ms: int | None = None, strategy: str = "list"
    ) -> ScanOutcome:
        """Swap the staged state in. Only after the last page: what was not staged is taken to be deleted.

        Raises CacheError when somebody else changed the stored rows meanwhile; then scan again.
        """
        if self._finished:
            raise RuntimeError("finish() was called twice")
        self._finished = True
        with self._errors():
            return self._swap.run(
                resource_version=resource_version,
                malformed=malformed + self._unstorable,
                duration_ms=duration_ms,
                strategy=strategy,
            )

    def _add_page(self, page: Mapping[str, Staged]) -> None:
        stored = self._stored_versions(page)
        differing = [uid for uid, version in stored.items() if not self._is_same(page[uid].record, version)]
        old_rows, old_sides = self._stored_rows(differing)
        result = _Page(sides={side.name: [] for side, _ in self._sides})
        for uid, staged in page.items():
            record = staged.record
            key = sort_key(record.namespace, record.name)
            encoded = None if uid in stored and uid not in old_rows else self._encode(record)
            if encoded is None:
                if uid in stored:  # unchanged, or not to be stored: either way its stored row stays
                    result.same.append((uid, key, record.name, stored[uid], State.SAME))
                continue
            row, sides = encoded
            state = State.CHANGED if uid in stored else State.NEW
            result.rows.append([key, state, *row, zlib.compress(staged.manifest, _FASTEST)])
            for name, rows in sides.items():
                result.sides[name] += [[uid, position, *values] for position, values in enumerate(rows)]
            if uid in old_rows:
                result.changes += self._changes(uid, (old_rows[uid], old_sides.get(uid, {})), encoded)
        self._write(page, result)

    def _is_same(self, record: Record, stored_version: str) -> bool:
        """An empty resourceVersion says nothing; other redaction rules change an object without the cluster."""
        return not self._scope.rewrite and bool(stored_version) and record.resource_version == stored_version

    def _stored_versions(self, page: Iterable[str]) -> dict[str, str]:
        return dict(
            self._connection.execute(
                f"SELECT uid, resource_version FROM main.{quoted(self._kind.name)} "
                "WHERE cluster = ? AND uid IN (SELECT value FROM json_each(?))",
                (self._scope.cluster, _json(page)),
            )
        )

    def _stored_rows(self, uids: list[str]) -> tuple[dict[str, list[Any]], dict[str, SideRows]]:
        """The stored rows of objects that differ, and their side rows, both by uid."""
        if not uids:
            return {}, {}
        parameters = (self._scope.cluster, _json(uids))
        names = ", ".join(map(quoted, self._encoder.names))
        at = self._encoder.names.index("uid")
        found = self._connection.execute(
            f"SELECT {names} FROM main.{quoted(self._kind.name)} WHERE cluster = ? AND uid IN (SELECT value FROM json_each(?))",
            parameters,
        )
        rows = {row[at]: list(row) for row in found}
        sides: dict[str, dict[str, list[list[Any]]]] = {}
        for side, encoder in self._sides:
            selected = ", ".join(map(quoted, (self._owner, *encoder.names)))
            for uid, *values in self._connection.execute(
                f"SELECT {selected} FROM main.{quoted(side.name)} WHERE cluster = ? AND {quoted(self._owner)} IN "
                f"(SELECT value FROM json_each(?)) ORDER BY {quoted(self._owner)}, position",
                parameters,
            ):
                sides.setdefault(uid, {}).setdefault(side.name, []).append(values)
        return rows, dict(sides)

    def _encode(self, record: Record) -> tuple[list[Any], SideRows] | None:
        """The stored form; None for a record that SQLite cannot hold, which then costs only itself."""
        try:
            sides = {side.name: [encoder.encode(row) for row in getattr(record, side.attribute)] for side, encoder in self._sides}
            return self._encoder.encode(record), sides
        except (TypeError, ValueError) as error:
            self._unstorable += 1
            logger.warning("%s %s/%s cannot be stored: %s", self._kind.name, record.namespace or "-", record.name, error)
            return None

    def _changes(
        self, uid: str, old: tuple[list[Any], SideRows], new: tuple[list[Any], SideRows]
    ) -> list[tuple[str, str, str | None, str | None]]:
        version = self._encoder.names.index("resource_version")
        if self._kind.name in UNTRACKED_KINDS or old[0][version] == new[0][version]:
            return []
        rewrite = self._scope.rewrite
        found = [
            *row_changes(self._kind.columns, old[0], new[0], ignore_redacted=rewrite),
            *side_changes(self._kind, old[1], new[1], ignore_redacted=rewrite),
        ]
        return [(uid, change.field, change.old, change.new) for change in found]

    def _write(self, page: Iterable[str], result: _Page) -> None:
        try:
            self._write_page(page, result)
        except (OverflowError, UnicodeEncodeError):
            result.rows = [storable(row) for row in result.rows]
            result.sides = {name: [storable(row) for row in rows] for name, rows in result.sides.items()}
            self._write_page(page, result)

    def _write_page(self, page: Iterable[str], result: _Page) -> None:
        """One transaction on the TEMP database alone: it locks nothing that another process can see."""
        connection = self._connection
        connection.execute("BEGIN")
        try:
            again = [row[0] for row in connection.execute(
                f"SELECT uid FROM {STAGED} WHERE uid IN (SELECT value FROM json_each(?))", (_json(page),)
            )]  # fmt: skip
            if again:
                self._forget(again)
            connection.executemany(self._insert_same, result.same)
            connection.executemany(self._insert_row, result.rows)
            for name, rows in result.sides.items():
                connection.executemany(self._insert_sides[name], rows)
            connection.executemany(insert(CHANGES, ("uid", "field", "old", "new")), result.changes)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _forget(self, uids: list[str]) -> None:
        condition = "IN (SELECT value FROM json_each(?))"
        self._connection.execute(f"DELETE FROM {CHANGES} WHERE uid {condition}", (_json(uids),))
        for side, _ in self._sides:
            self._connection.execute(
                f"DELETE FROM {staged_side(side.name)} WHERE {quoted(self._owner)} {condition}", (_json(uids),)
            )


def _json(uids: Iterable[str]) -> str:
    return orjson.dumps(list(uids)).decode()
