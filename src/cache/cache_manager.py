"""The scanner's side of the cache: everything that writes, but refresh requests.

One process per database (`cache.scan_lock`), any number of scans at once in it, each of another (cluster, kind).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select, update
from sqlalchemy.dialects.sqlite import insert

from cache.cleanup import CleanupReport, clean_up, forget_cluster, remove_unowned_rows
from cache.connection import check_database_path, connect_writer, create_file, database_errors, explain, immediate
from cache.delta import Delta, DeltaOutcome, ObjectChange
from cache.delta_apply import DeltaApply
from cache.engine import open_engine, transaction
from cache.freshness import WHOLE_CLUSTER
from cache.kind_tables import ensure_kind_tables
from cache.migrations.runner import migrate
from cache.refresh_requests import RefreshRequest
from cache.staging import BATCH_SIZE, Staged, Staging
from cache.swap import ScanOutcome, ScanScope, Swap
from cache.tables import CacheMetadata, ClusterModel, RefreshRequestModel, ScannerModel
from cache.ttl_manager import TtlPolicy, freshness_class
from configuration.errors import CacheCorrupt, CacheError
from kinds.kind import Kind
from kinds.registry import KINDS

__all__ = [
    "CacheManager",
    "CleanupReport",
    "ClusterIdentity",
    "Delta",
    "DeltaOutcome",
    "ObjectChange",
    "RefreshRequest",
    "ScanOutcome",
    "Staged",
    "Staging",
]

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterIdentity:
    """`cluster` is the context's name, `uid` that of the kube-system namespace, `api_server` its URL.

    An empty uid means that the credentials may not read it: then nothing is concluded from it.
    """

    cluster: str
    uid: str
    server_version: str = ""
    api_server: str = ""


class CacheManager:
    """Opens the database, creating or migrating it. A damaged file is moved aside, never overwritten.

    Raises ConfigurationError for a path that cannot be used, CacheTooNew, CacheBusy. `moved_aside` names the damaged
    file that a new one has replaced. Safe to call from several threads. `batch_size` is how many objects are compared and
    staged by one statement.
    """

    def __init__(
        self,
        path: Path,
        *,
        policy: TtlPolicy,
        clock: Callable[[], float] = time.time,
        kinds: Mapping[str, Kind] = KINDS,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.path = path
        self.moved_aside: Path | None = None
        self._policy = policy
        self._batch_size = batch_size
        self._clock = clock
        self._kinds = dict(kinds)
        self._started_at = clock()
        self._write_lock = threading.RLock()
        self._file: tuple[int, int] | None = None
        check_database_path(path, create_parent=False)
        try:
            self._prepare()
        except CacheCorrupt:
            self._move_aside()
            self._prepare()
        self._engine: Engine = open_engine(path, read_only=False)
        self._reading: Engine = open_engine(path, read_only=True)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> CacheManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- clusters and scans

    def register_cluster(self, identity: ClusterIdentity) -> None:
        """Make a cluster known; its API server has answered. Another uid under the same name drops the rows of the old one."""
        with self._errors(), self._write_lock:
            now = int(self._clock())
            with transaction(self._engine, self.path) as connection:
                known = connection.execute(select(ClusterModel.uid).where(ClusterModel.name == identity.cluster)).scalar()
            uid = identity.uid or known or ""
            if known and known != uid:
                logger.warning(
                    "%s is another cluster than before: what the cache held under that name is dropped", identity.cluster
                )
                forget_cluster(self._engine, self.path, identity.cluster, self._kinds.values())
            values = {
                "uid": uid,
                "server_version": identity.server_version,
                "api_server": identity.api_server,
                "last_success_at": now,
            }
            statement = insert(ClusterModel).values(name=identity.cluster, registered_at=now, **values)
            with transaction(self._engine, self.path) as connection:
                connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def stage(
        self, cluster: str, kind: Kind, *, scope: str = WHOLE_CLUSTER, redaction: str = "", started_at: float | None = None
    ) -> Staging:
        """Begin a scan of one kind. The data counts as of `started_at`: when the first page was asked for, by default now.

        `scope` limits it to a namespace. `redaction` identifies redactor version and key: when it differs from what is
        stored, every row is written again, and redacted values do not count as changes.
        """
        with self._errors():
            self._ensure_kind(kind)
            scan = self._scan_scope(cluster, kind, scope, redaction, int(self._clock() if started_at is None else started_at))
            connection = connect_writer(self.path)
            try:
                swap = Swap(connection, scan, self._write, self._clock)
                return Staging(connection, scan, swap, self._errors, self._batch_size)
            except BaseException:
                connection.close()
                raise

    def apply(self, cluster: str, deltas: Sequence[Delta]) -> list[DeltaOutcome]:
        """Write what changed since the stored state of these kinds, all in one short transaction; an outcome for each.

        A delta that does not fit the stored state is not applied, and the others are. One without changes costs one row.
        """
        if not deltas:
            return []
        with self._errors(), closing(connect_writer(self.path)) as connection:
            work = DeltaApply(connection, cluster, self._write, self._policy)
            return work.run(deltas, now=self._clock(), started_at=self._started_at)

    def record_counted(self, cluster: str, targets: Iterable[tuple[str, str]], at: float) -> None:
        """The number of stored objects equalled the API server's at `at` (epoch seconds), for these (kind name, scope)."""
        model = CacheMetadata
        with self._errors(), self._write_lock, transaction(self._engine, self.path) as connection:
            for kind, scope in targets:
                counted = update(model).where(model.cluster == cluster, model.kind == kind, model.scope == scope)
                connection.execute(counted.values(last_counted_at=int(at)))

    def record_failure(
        self, cluster: str, kind: Kind, error: str, *, permitted: bool | None = None, scope: str = WHOLE_CLUSTER
    ) -> None:
        """A scan failed; the rows stay. `permitted` False means 403; None leaves what is known about that."""
        now = int(self._clock())
        changed: dict[str, object] = {"last_error": error[:_LONGEST_ERROR], "last_error_at": now}
        if permitted is not None:
            changed["permitted"] = int(permitted)
        statement = insert(CacheMetadata).values(
            cluster=cluster,
            kind=kind.name,
            scope=scope,
            freshness_class=freshness_class(kind),
            resource_version="",
            ttl_seconds=self._policy.ttl_seconds(kind),
            item_count=0,
            complete=0,
            strategy="list",
            malformed=0,
            redaction="",
            generation=0,
            **changed,
        )
        statement = statement.on_conflict_do_update(index_elements=["cluster", "kind", "scope"], set_=changed)
        with self._errors(), self._write_lock, transaction(self._engine, self.path) as connection:
            connection.execute(statement)

    # --- housekeeping

    def cleanup(self) -> CleanupReport:
        """Purge, forget old history, return free space; in small transactions."""
        with self._errors():
            return clean_up(
                self._engine,
                self._reading,
                self.path,
                self._kinds.values(),
                self._policy,
                now=self._clock(),
                started_at=self._started_at,
            )

    def take_refresh_requests(self) -> list[RefreshRequest]:
        """All waiting requests, oldest first; they are marked as served."""
        model = RefreshRequestModel
        fields = (model.id, model.cluster, model.kind, model.namespace, model.reason, model.requested_at)
        waiting = select(*fields).where(model.served_at.is_(None)).order_by(model.id)
        with self._errors(), transaction(self._reading, self.path) as connection:
            if connection.execute(waiting.limit(1)).first() is None:
                return []  # as nearly always, and then nobody is kept from writing
        with self._errors(), self._write_lock, transaction(self._engine, self.path) as connection:
            rows = connection.execute(waiting).all()
            ids = [row.id for row in rows]
            connection.execute(update(model).where(model.id.in_(ids)).values(served_at=int(self._clock())))
        return [RefreshRequest(*row) for row in rows]

    def record_scanner(self, *, mode: str = "daemon", version: str = "", stopped: bool = False) -> None:
        """The heartbeat that `scanner status` shows: who scans, since when, and that it is alive."""
        now = int(self._clock())
        values = {
            "pid": os.getpid(),
            "version": version,
            "mode": mode,
            "started_at": int(self._started_at),
            "last_tick_at": now,
            "stopped_at": now if stopped else None,
        }
        statement = insert(ScannerModel).values(id=1, **values).on_conflict_do_update(index_elements=["id"], set_=values)
        with self._errors(), self._write_lock, transaction(self._engine, self.path) as connection:
            connection.execute(statement)

    # --- opening, and what can go wrong with the file

    def reopen_if_replaced(self) -> bool:
        """Whether somebody removed or replaced the file meanwhile; then what is there now is used, or a new one."""
        with self._errors(), self._write_lock:
            if self._file == _identity(self.path):
                return False
            logger.warning("database %s was removed or replaced; what is missing in it is scanned anew", self.path)
            self._reopen()
            return True

    def _reopen(self) -> None:
        """Let go of the connections to the file that was there before."""
        self._engine.dispose()
        self._prepare()

    def _prepare(self) -> None:
        try:
            create_file(self.path)
        except OSError as error:
            raise CacheError(f"database {self.path} cannot be created ({error.strerror}); check its folder") from None
        self._file = _identity(self.path)
        with database_errors(self.path), closing(connect_writer(self.path)) as connection:
            migrate(connection, self.path)
            for name in ensure_kind_tables(connection, self._kinds.values()):
                logger.info("the table of %s has a new form; it is filled by the next scan", name)

    def _ensure_kind(self, kind: Kind) -> None:
        """A kind that was switched on by name gets its table when it is first scanned."""
        if self._kinds.get(kind.name) is kind:
            return
        with self._write_lock, closing(connect_writer(self.path)) as connection:
            ensure_kind_tables(connection, [kind])
            self._kinds[kind.name] = kind

    def _scan_scope(self, cluster: str, kind: Kind, scope: str, redaction: str, started_at: int) -> ScanScope:
        model = CacheMetadata
        stored = select(model.generation, model.redaction, model.last_full_at, model.last_checked_at).where(
            model.cluster == cluster, model.kind == kind.name, model.scope == scope
        )
        with transaction(self._reading, self.path) as connection:
            uid = connection.execute(select(ClusterModel.uid).where(ClusterModel.name == cluster)).scalar()
            row = connection.execute(stored).first()
        if uid is None:
            raise CacheError(f"cluster {cluster} is not registered in the cache; call register_cluster first")
        if row is None or row.last_checked_at is None:
            remove_unowned_rows(self._engine, self.path, cluster, [kind])
        return ScanScope(
            cluster=cluster,
            cluster_uid=uid,
            kind=kind,
            scope=scope,
            redaction=redaction,
            started_at=started_at,
            ttl_seconds=self._policy.ttl_seconds(kind),
            generation=None if row is None else row.generation,
            first_fill=row is None or row.last_full_at is None,
            rewrite=row is not None and row.last_checked_at is not None and row.redaction != redaction,
        )

    @contextmanager
    def _write(self, connection: sqlite3.Connection) -> Iterator[None]:
        """A scan's write transaction; scans of this process take turns instead of polling SQLite's lock."""
        with self._write_lock, immediate(connection):
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with database_errors(self.path):
                yield
        except CacheCorrupt as error:
            aside = self._move_aside_if_damaged()
            if aside is None:
                raise
            raise CacheCorrupt(f"{error}; it is now at {aside}, and a new one takes its place") from error

    def _move_aside_if_damaged(self) -> Path | None:
        """Whether the file itself is damaged, and not a TEMP table or a connection: then it makes room for a new one."""
        with self._write_lock:
            try:
                with closing(connect_writer(self.path)) as connection:
                    sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            except sqlite3.DatabaseError as error:
                sound = not isinstance(explain(self.path, error), CacheCorrupt)
            if sound:
                return None
            aside = self._move_aside()
            self._reopen()
            return aside

    def _move_aside(self) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        aside = _unused(self.path.with_name(f"{self.path.name}.corrupt-{stamp}"))
        for suffix in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self.moved_aside = aside
        logger.error("database %s is damaged; it was moved to %s, and a new one is filled by the next scan", self.path, aside)
        return aside


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _unused(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number, candidate = number + 1, path.with_name(f"{path.name}-{number}")
    return candidate
