"""One scan of one kind on its way into the cache.

Pages go to TEMP tables, a file of their own, so that no write transaction waits for the network. What differs from the
stored rows by (uid, resourceVersion) is swapped in at the end, in one short transaction (`cache.swap`).
"""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice
from types import TracebackType

from isal import isal_zlib

from cache.change_history import object_changes
from cache.object_rows import ObjectRows, StoredObject, StoredObjects
from cache.rows import IN_JSON_LIST, json_list
from cache.scan_scope import ScanScope
from cache.staging_tables import StagedRows, StagingTables, State, quoted
from cache.swap import ScanOutcome, Swap
from kinds.record import Record, sort_key

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
_FAST = 1


@dataclass(frozen=True, slots=True)
class Staged:
    """One object of a page: its record, and its redacted manifest as JSON bytes.

    `manager` is the field manager that wrote it last, as far as one is known.
    """

    record: Record
    manifest: bytes
    manager: str | None = None

    def compressed(self) -> bytes:
        return isal_zlib.compress(self.manifest, _FAST)


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
        batch_size: int,
        scrub: Callable[[bool], object],
        resources: ExitStack,
    ) -> None:
        """What `resources` holds is let go at the end, the connection above all; left to the caller when this raises.

        `scrub` is told whether the history is settled (`ScanScope`).
        """
        self._connection = connection
        self._scope = scope
        self._swap = swap
        self._errors = errors
        self._batch_size = batch_size
        self._scrub = scrub
        self._rows = ObjectRows(scope.kind)
        self._stored = StoredObjects(connection, scope.cluster, self._rows)
        self._tables: StagingTables = swap.tables
        self._unstorable = 0
        self._finished = False
        self._tables.create(connection)
        self._resources = resources.pop_all()

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._resources.__exit__(kind, error, trace)

    def add(self, records: Iterable[Staged]) -> None:
        """Stage objects, of any number of pages. An object seen twice counts once, as it was seen last."""
        with self._errors():
            iterator = iter(records)
            while page := list(islice(iterator, self._batch_size)):
                self._add_page({staged.record.uid: staged for staged in page})

    def keep(self, uids: Sequence[str]) -> None:
        """These objects exist but could not be read: what is stored of them stays, they are not taken to be deleted.

        Not so when it was redacted by other rules: then its row goes, and still it is not taken to be deleted.
        """
        if self._scope.rewrite:
            self._swap.drop(uids)
            return
        if not uids:
            return
        with self._errors():
            self._connection.execute(
                f"INSERT OR IGNORE INTO {self._tables.objects} (uid, sort_key, name, resource_version, state) "
                f"SELECT uid, sort_key, name, resource_version, ? FROM main.{quoted(self._scope.kind.name)} "
                f"WHERE cluster = ? AND uid {IN_JSON_LIST}",
                (State.SAME, self._scope.cluster, json_list(uids)),
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
            outcome = self._swap.run(
                resource_version=resource_version,
                malformed=malformed + self._unstorable,
                duration_ms=duration_ms,
                strategy=strategy,
            )
            self._scrub(self._swap.history_settled)
            return outcome

    def _add_page(self, page: Mapping[str, Staged]) -> None:
        stored = self._stored.versions(page)
        differing = [uid for uid, version in stored.items() if not self._is_same(page[uid].record, version)]
        old = self._stored.objects(differing)
        result = StagedRows()
        for uid, staged in page.items():
            key = sort_key(staged.record.namespace, staged.record.name)
            encoded = None if uid in stored and uid not in old else self._encode(staged.record)
            if encoded is not None:
                arguments = (key, uid, encoded.row, encoded.sides, staged.compressed())
                if uid in old:
                    details = self._rows.differing_details(old[uid], encoded)
                    result.add_object(*arguments, state=State.CHANGED, details=details)
                    self._add_changes(result, staged, old[uid], encoded)
                else:
                    result.add_object(*arguments)
            elif uid in stored and self._scope.rewrite:  # not to be stored, and what is stored was redacted by other rules
                self._swap.drop([uid])
            elif uid in stored:  # unchanged, or not to be stored: either way its stored row stays
                result.same.append((uid, key, staged.record.name, stored[uid]))
        self._tables.fill_alone(self._connection, result)

    def _is_same(self, record: Record, stored_version: str) -> bool:
        """An empty resourceVersion says nothing; other redaction rules change an object without the cluster."""
        return not self._scope.rewrite and bool(stored_version) and record.resource_version == stored_version

    def _encode(self, record: Record) -> StoredObject | None:
        """The stored form; None for a record that SQLite cannot hold, which then costs only itself."""
        try:
            return self._rows.encode(record)
        except (TypeError, ValueError) as error:
            self._unstorable += 1
            logger.warning("%s %s/%s cannot be stored: %s", self._rows.kind.name, record.namespace or "-", record.name, error)
            return None

    def _add_changes(self, result: StagedRows, staged: Staged, old: StoredObject, new: StoredObject) -> None:
        record = staged.record
        if self._rows.value(old, "resource_version") == record.resource_version:
            return
        result.changes += [
            (
                record.uid,
                record.namespace,
                record.name,
                found.field,
                found.old,
                found.new,
                record.resource_version,
                staged.manager,
            )
            for found in object_changes(self._rows.kind, old, new, ignore_redacted=self._scope.rewrite)
        ]
