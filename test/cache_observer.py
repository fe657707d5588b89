"""Reads a cache over and over while others write it, and says when it ever claims something that never was."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from cluster_ledger import Ledger, Version, state_hash

POLL_SECONDS = 0.005
_SQL = "SELECT kind, complete, item_count, last_full_at FROM cache_metadata WHERE cluster = ? AND scope = ''"


class CacheObserver:
    """Context manager: polls in a thread. `violations` stays empty while the cache is right.

    At any moment, per kind that was listed as a whole: item_count is the number of rows; the rows are a state that the
    cluster was in, and no earlier one than before; nothing is both there and deleted; nothing was moved to
    deleted_objects before its deletion was asked for.
    """

    def __init__(self, database: Path, cluster: str, kinds: Sequence[str], ledger: Ledger) -> None:
        self.violations: list[str] = []
        self.polls = 0
        self.states_seen = 0
        self.seen: dict[str, set[str]] = {kind: set() for kind in kinds}
        """Every uid that the cache ever showed."""
        self.is_withheld: Callable[[], bool] = lambda: False
        """Whether an event was kept from the scanner: then what it holds need not have been a state."""
        self.may_forget = False
        """On once the clock went so far that rows past their grace may be purged."""
        self._database = database
        self._cluster = cluster
        self._kinds = tuple(kinds)
        self._ledger = ledger
        self._positions = dict.fromkeys(kinds, 0)
        self._last_states: dict[str, int] = {}
        self._deleted: set[tuple[str, str]] = set()
        self._filled: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="observer", daemon=True)

    def __enter__(self) -> CacheObserver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _poll(self) -> None:
        with ExitStack() as stack:
            db: sqlite3.Connection | None = None
            version = None
            while not self._stop.wait(POLL_SECONDS) and not self.violations:
                if db is None and self._database.exists():
                    db = stack.enter_context(closing(self._connected()))
                if db is None:
                    continue
                try:
                    before, version = version, db.execute("PRAGMA data_version").fetchone()
                    if version != before:  # somebody has written
                        self._look(db)
                except sqlite3.OperationalError as error:
                    version = None
                    if "no such table" not in str(error):  # it is just being created
                        self.violations.append(f"the cache cannot be read: {error}")

    def _connected(self) -> sqlite3.Connection:
        uri = f"file:{self._database}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False)

    def look(self) -> None:
        """One look, in one read transaction."""
        with closing(self._connected()) as db:
            self._look(db)

    def _look(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN")
        try:
            metadata = {kind: rest for kind, *rest in db.execute(_SQL, (self._cluster,))}
            rows = {kind: self._versions(db, kind) for kind in self._kinds}
            deleted = set(db.execute("SELECT kind, uid FROM deleted_objects WHERE cluster = ?", (self._cluster,)))
            orphans = list(db.execute(_orphans(self._kinds)))
        finally:
            db.execute("COMMIT")
        self.polls += 1
        self._judge_deletions(deleted, rows)
        if orphans:
            self.violations.append(f"labels without their object: {orphans[:3]}")
        for kind, versions in rows.items():
            complete, item_count, last_full_at = metadata.get(kind, (0, 0, None))
            if complete and last_full_at is not None:
                self._judge_rows(kind, versions, item_count)
            elif kind in self._filled and not self.may_forget:
                self.violations.append(f"{kind}: was complete, and is not any more")

    def _versions(self, db: sqlite3.Connection, kind: str) -> set[Version]:
        """As the ledger knows them. A pod that is deleted gets its deletionTimestamp, and with it a version, in a write of its
        own before it goes, also when no grace is left to it (k8s.io/apiserver, registry/generic/registry/store.go,
        updateForGracefulDeletionAndFinalizers): nobody is told of that version, and it counts as the one before.
        """
        sql = f'SELECT uid, resource_version, deleting_since IS NOT NULL FROM "{kind}" WHERE cluster = ?'
        return {
            (
                uid,
                (self._ledger.last_version(kind, uid) or version)
                if is_going and kind == "pods" and self._ledger.may_be_gone(uid)
                else version,
            )
            for uid, version, is_going in db.execute(sql, (self._cluster,))
        }

    def _judge_deletions(self, deleted: set[tuple[str, str]], rows: dict[str, set[Version]]) -> None:
        for kind, uid in deleted - self._deleted:
            if not self._ledger.may_be_gone(uid):
                self.violations.append(f"{kind} {uid} was moved to deleted_objects while it existed")
        self._deleted |= deleted
        for kind, versions in rows.items():
            if both := {uid for uid, _ in versions if (kind, uid) in deleted}:
                self.violations.append(f"{kind} {sorted(both)[:3]}: in the cache and in deleted_objects at once")

    def _judge_rows(self, kind: str, versions: set[Version], item_count: int) -> None:
        self._filled.add(kind)
        self.seen[kind] |= {uid for uid, _ in versions}
        if item_count != len(versions):
            self.violations.append(f"{kind}: {len(versions)} rows, but item_count {item_count}")
        state = state_hash(versions)
        if self.is_withheld() or self._last_states.get(kind) == state:
            return
        self._last_states[kind] = state
        self.states_seen += 1
        position = self._ledger.position(kind, state, self._positions[kind])
        if position is None:
            if not self.is_withheld():
                self.violations.append(f"{kind}: {self._explained(kind, versions)}")
            return
        self._positions[kind] = position

    def _explained(self, kind: str, versions: set[Version]) -> str:
        earlier = self._ledger.position(kind, state_hash(versions), 0, wait_seconds=0)
        if earlier is not None:
            return f"went back from state {self._positions[kind]} to state {earlier}"
        current = set(self._ledger.current(kind).items())
        only_cache, only_cluster = sorted(versions - current)[:3], sorted(current - versions)[:3]
        return f"holds what the cluster never was; beside its present state: more {only_cache}, less {only_cluster}"


def _orphans(kinds: Sequence[str]) -> str:
    return " UNION ALL ".join(
        f"SELECT kind, uid FROM labels l WHERE kind = '{kind}' "
        f'AND NOT EXISTS (SELECT 1 FROM "{kind}" k WHERE k.cluster = l.cluster AND k.uid = l.uid)'
        for kind in kinds
    )
