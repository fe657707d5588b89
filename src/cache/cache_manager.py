"""The scanner's side of the cache: everything that writes, but refresh requests.

One process per database (`cache.scan_lock`), any number of scans at once in it, each of another (cluster, kind).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from cache.api_usage import add_usage
from cache.cleanup import (
    CleanupReport,
    Spare,
    clean_up,
    forget_cluster,
    forget_freshness,
    forget_history,
    nothing_spared,
    remove_unowned_rows,
)
from cache.connection import immediate
from cache.database_file import DatabaseFile
from cache.delta import Delta, DeltaOutcome, ObjectChange
from cache.delta_apply import DeltaApply
from cache.freshness import WHOLE_CLUSTER, Freshness
from cache.freshness_rows import read_freshness
from cache.gone_namespaces import gone_scopes
from cache.history_scrub import scrub_outdated
from cache.kind_tables import ensure_kind_tables
from cache.refresh_requests import RefreshRequest
from cache.scan_lock import ScanLock
from cache.scan_scope import scan_scope
from cache.staging import BATCH_SIZE, Staged, Staging
from cache.swap import ScanOutcome, Swap
from cache.tables import CacheMetadata, ClusterModel, RefreshRequestModel, ScannerModel
from cache.ttl_manager import TtlPolicy, freshness_class
from configuration.errors import ConfigurationError
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
_FREE_PAGES_A_RUN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterIdentity:
    """`cluster` is the context's name, `uid` that of the kube-system namespace, `api_server` its URL.

    An empty uid means that the credentials may not read it: then the address alone tells clusters apart.
    """

    cluster: str
    uid: str
    server_version: str = ""
    api_server: str = ""


class CacheManager:
    """Opens the database, creating or migrating it. A damaged file is moved aside, never overwritten.

    Raises ConfigurationError for a path that cannot be used, CacheTooNew, CacheBusy. `moved_aside` names the damaged
    file that a new one has replaced. Safe to call from several threads. `batch_size` is how many objects are compared and
    staged by one statement. `lock`, where there is one, is made sure of before each write: LockHeld when it was lost.
    """

    def __init__(
        self,
        path: Path,
        *,
        policy: TtlPolicy,
        clock: Callable[[], float] = time.time,
        kinds: Mapping[str, Kind] = KINDS,
        batch_size: int = BATCH_SIZE,
        lock: ScanLock | None = None,
    ) -> None:
        self.path = path
        self._policy = policy
        self._batch_size = batch_size
        self._clock = clock
        self._kinds = dict(kinds)
        self._started_at = clock()
        self._looked_at_history = False
        self._file = DatabaseFile(path, self._make_tables, clock, lock)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> CacheManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def moved_aside(self) -> Path | None:
        return self._file.moved_aside

    def reopen_if_replaced(self) -> bool:
        """Whether somebody removed or replaced the file meanwhile; then what is there now is used, or a new one."""
        return self._file.reopen_if_replaced()

    # --- clusters and scans

    def register_cluster(self, identity: ClusterIdentity) -> None:
        """Make a cluster known; its API server has answered. Another cluster under the same name drops all of the old one.

        Its history goes first: should this process be killed meanwhile, the next one starts over. What is visible
        changes in one transaction; rows that it leaves count as never scanned, and are removed after it.
        """
        with self._file.errors():
            with self._file.read() as connection:
                replaced = _why_another(connection, identity)
            if replaced:
                logger.warning("%s %s: what the cache held under that name is dropped", identity.cluster, replaced)
                forget_history(self._file.write, identity.cluster)
            with self._file.write() as connection:
                another = bool(_why_another(connection, identity))
                if another:
                    forget_freshness(connection, identity.cluster)
                _register(connection, identity, int(self._clock()), another=another)
            if replaced:
                remove_unowned_rows(self._file.read, self._file.write, identity.cluster)

    def stage(
        self, cluster: str, kind: Kind, *, scope: str = WHOLE_CLUSTER, redaction: str = "", started_at: float | None = None
    ) -> Staging:
        """Begin a scan of one kind. The data counts as of `started_at`: when the first page was asked for, by default now.

        `scope` limits it to a namespace. `redaction` identifies redactor version and key: when it differs from what is
        stored, every row is written again, and redacted values do not count as changes.
        """
        with self._file.errors():
            self._ensure_kind(kind)
            with ExitStack() as stack:
                connection = stack.enter_context(self._file.own_connection())
                scan = scan_scope(
                    connection,
                    cluster=cluster,
                    kind=kind,
                    scope=scope,
                    redaction=redaction,
                    started_at=int(self._clock() if started_at is None else started_at),
                    ttl_seconds=self._policy.ttl_seconds(kind),
                )
                if scan.may_have_unowned_rows:
                    remove_unowned_rows(self._file.read, self._file.write, cluster, [kind.name])
                swap = Swap(connection, scan, self._file.write_on, self._clock)
                scrub = partial(self._scrub_after, cluster, kind)
                return Staging(connection, scan, swap, self._file.errors, self._batch_size, scrub, stack)

    def apply(self, cluster: str, deltas: Sequence[Delta]) -> list[DeltaOutcome]:
        """Write what changed since the stored state of these kinds, all in one short transaction; an outcome for each.

        A delta that does not fit the stored state is not applied, and the others are. One without changes costs one row.
        """
        if not deltas:
            return []
        with self._file.errors(), self._file.own_connection() as connection:
            work = DeltaApply(connection, cluster, self._file.write_on, self._policy)
            return work.run(deltas, now=self._clock(), started_at=self._started_at)

    def record_counted(self, cluster: str, targets: Iterable[tuple[str, str]], at: float) -> None:
        """The number of stored objects equalled the API server's at `at` (epoch seconds), for these (kind name, scope)."""
        rows = [{"of_kind": kind, "of_scope": scope} for kind, scope in targets]
        model = CacheMetadata
        of_target = model.kind == bindparam("of_kind"), model.scope == bindparam("of_scope")
        counted = update(model).where(model.cluster == cluster, *of_target)
        if rows:
            with self._file.errors(), self._file.write() as connection:
                connection.execute(counted.values(last_counted_at=int(at)), rows)

    def record_usage(
        self, cluster: str, at: float, usage: Mapping[str, tuple[int, int]], watches_held: int | None = None
    ) -> None:
        """Add what a cluster's API server was asked for since the last call: (requests, bytes) by verb, up to `at`."""
        with self._file.errors(), self._file.write() as connection:
            add_usage(connection, cluster, at, usage, watches_held)

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
        with self._file.errors(), self._file.write() as connection:
            connection.execute(statement)

    def drop_gone_namespaces(self, cluster: str, kind: Kind, scopes: Iterable[str]) -> set[str]:
        """Those of the scopes whose namespace is known to be gone: their objects count as deleted, the scopes are forgotten."""
        with self._file.errors(), self._file.read() as connection:
            gone = gone_scopes(connection, cluster, kind.name, scopes)
        for scope, redaction in gone.items():
            with self.stage(cluster, kind, scope=scope, redaction=redaction) as staging:
                staging.finish(resource_version="")
        model = CacheMetadata
        forgotten = delete(model).where(model.cluster == cluster, model.kind == kind.name, model.scope.in_(gone))
        if gone:
            with self._file.errors(), self._file.write() as connection:
                connection.execute(forgotten)
        return set(gone)

    def freshness_all(self, cluster: str | None = None, kind: str | None = None) -> list[Freshness]:
        """Every (cluster, kind, scope) that was tried: like CacheReader's, on connections that are open anyway."""
        with self._file.errors(), self._file.read() as connection:
            return read_freshness(connection, cluster, kind)

    # --- housekeeping

    def cleanup(
        self, *, looking_since: float | None = None, spare: Spare = nothing_spared, trust_clock: bool = False
    ) -> CleanupReport:
        """Purge, forget old history, return free space; in small transactions.

        `looking_since`: from when on every kind had the chance to be scanned, by default since this was opened; -inf
        where nothing but the age of the rows is to count. What is to be spared is not purged. History that is old only
        by a clock that has just jumped is kept, unless `trust_clock`.
        """
        with self._file.errors():
            report = clean_up(
                self._file.read,
                self._file.write,
                self._policy,
                now=self._clock(),
                looking_since=self._started_at if looking_since is None else looking_since,
                spare=spare,
                trust_clock=trust_clock,
            )
            report.scrubbed = self._scrub()
            with self._file.exclusive() as connection, immediate(connection):
                # fetchall, since the statement frees a page each time it is stepped
                connection.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES_A_RUN})").fetchall()
        return report

    def forget_cluster(self, cluster: str) -> int:
        """Remove all that is stored of a cluster, its history too; the number of objects. Raises ConfigurationError."""
        with self._file.errors():
            with self._file.read() as connection:
                known = connection.execute(select(ClusterModel.name).order_by(ClusterModel.name)).scalars().all()
            if cluster not in known:
                held = ", ".join(known) or "none"
                raise ConfigurationError(f"the cache holds no cluster {cluster!r}; those that it holds: {held}")
            return forget_cluster(self._file.read, self._file.write, cluster)

    def _scrub_after(self, cluster: str, kind: Kind, settled: bool) -> None:
        """After a list; the first time all that is stored is looked at, since a process before may have been interrupted."""
        if not self._looked_at_history:
            self._scrub()
        elif not settled:
            self._scrub((cluster, kind.name))
        self._looked_at_history = True

    def _scrub(self, only: tuple[str, str] | None = None) -> int:
        return scrub_outdated(self._file.read, self._file.write, self._kinds, only)

    def waiting_requests(self, clusters: Collection[str], kinds: Collection[str]) -> list[RefreshRequest]:
        """The requests of these clusters and kinds that nobody has served yet, oldest first."""
        model = RefreshRequestModel
        fields = (model.id, model.cluster, model.kind, model.namespace, model.reason, model.requested_at)
        waiting = select(*fields).where(model.served_at.is_(None)).order_by(model.id)
        with self._file.errors(), self._file.read() as connection:
            rows = connection.execute(waiting).all()
        return [RefreshRequest(*row) for row in rows if row.cluster in clusters and row.kind in kinds]

    def mark_served(self, ids: Collection[int]) -> None:
        """What these requests asked for has been done."""
        model = RefreshRequestModel
        served = update(model).where(model.id.in_(ids)).values(served_at=int(self._clock()))
        with self._file.errors(), self._file.write() as connection:
            connection.execute(served)

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
        with self._file.errors(), self._file.write() as connection:
            connection.execute(statement)

    # --- tables, and the state that a scan builds on

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        for name in ensure_kind_tables(connection, self._kinds.values()):
            logger.info("the table of %s has a new form; it is filled by the next scan", name)

    def _ensure_kind(self, kind: Kind) -> None:
        """A kind that was switched on by name gets its table when it is first scanned."""
        if self._kinds.get(kind.name) is kind:
            return
        with self._file.exclusive() as connection:
            ensure_kind_tables(connection, [kind])
            self._kinds[kind.name] = kind


def _why_another(connection: Connection, identity: ClusterIdentity) -> str:
    """Why the known cluster of this name has to be taken for another one; "" when there is none or it is the same.

    Where a uid is unknown, another address counts as another cluster: to fill a cache anew costs little, to mix two
    clusters tells lies.
    """
    stored = select(ClusterModel.uid, ClusterModel.api_server).where(ClusterModel.name == identity.cluster)
    known = connection.execute(stored).first()
    if known is None:
        return ""
    if known.uid and identity.uid:
        return "is another cluster than before" if known.uid != identity.uid else ""
    before, now = _address(known.api_server), _address(identity.api_server)
    if not before or not now or before == now:
        return ""
    return (
        f"was at {before} and is at {now}, and nothing else tells whether it is the same cluster "
        "(allow `get` on namespace kube-system, and its uid will)"
    )


def _address(url: str) -> str:
    """Without what may differ for the same API server: spelling, and a user whose mark depends on the redaction key."""
    scheme, _, rest = url.strip().rstrip("/").lower().rpartition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    default_port = {"https": ":443", "http": ":80"}.get(scheme, "\0")
    return f"{scheme}://{host.removesuffix(default_port)}{slash}{path}" if host else ""


def _register(connection: Connection, identity: ClusterIdentity, now: int, *, another: bool) -> None:
    values = {"server_version": identity.server_version, "api_server": identity.api_server, "last_success_at": now}
    statement = insert(ClusterModel).values(name=identity.cluster, uid=identity.uid, registered_at=now, **values)
    known_uid = {"uid": identity.uid} if identity.uid or another else {}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values | known_uid))
