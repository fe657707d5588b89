"""What is forgotten, and when. Every step is a small transaction, so that nobody waits for it."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import orjson
from sqlalchemy import Connection, column, delete, select, table, text

from cache import api_usage
from cache.freshness import WHOLE_CLUSTER
from cache.freshness_rows import read_freshness
from cache.history_limits import forget_beyond, oldest_kept
from cache.tables import (
    Annotation,
    ApiUsage,
    CacheMetadata,
    Change,
    ClusterModel,
    DeletedObject,
    Finding,
    HistoryRules,
    Label,
    RefreshRequestModel,
)
from cache.ttl_manager import TtlPolicy

BATCH = 500
_SERVED_REQUESTS_KEPT_SECONDS = 86_400

Transaction = Callable[[], AbstractContextManager[Connection]]
Spare = Callable[[str, str], bool]
"""Whether a (cluster, kind name) is not to be purged now, however old: it is just being listed."""


@dataclass(slots=True)
class CleanupReport:
    """What one run removed. `purged` names (cluster, kind, scope); the rest are numbers of rows.

    `scrubbed` entries of the history lost their text, since they were stored under other redaction rules.
    """

    purged: list[tuple[str, str, str]] = field(default_factory=list)
    rows: int = 0
    deleted_objects: int = 0
    changes: int = 0
    findings: int = 0
    refresh_requests: int = 0
    scrubbed: int = 0


def nothing_spared(_cluster: str, _kind: str) -> bool:
    """Nobody is looking at any kind now."""
    return False


def clean_up(
    read: Transaction,
    write: Transaction,
    policy: TtlPolicy,
    *,
    now: float,
    looking_since: float,
    spare: Spare,
    trust_clock: bool = False,
) -> CleanupReport:
    """Purge what is too old (`TtlPolicy.may_purge`) and not to be spared, and forget old history.

    History that is old only by a clock that has just jumped stays (`oldest_kept`), unless somebody who `trust_clock` asks.
    """
    report = CleanupReport()
    limit = policy.history_limit(now)
    with read() as connection:
        kept_since = limit if trust_clock else oldest_kept(connection, now, policy.history_retention)
        old = _purgeable(connection, policy, now=now, looking_since=looking_since, spare=spare)
    if old:
        with write() as connection:  # looked at again: what was scanned meanwhile is not old any more
            report.purged = _purgeable(connection, policy, now=now, looking_since=looking_since, spare=spare)
            for cluster, kind, scope in report.purged:
                model = CacheMetadata
                connection.execute(delete(model).where(model.cluster == cluster, model.kind == kind, model.scope == scope))
    for cluster, name in _unowned(read):
        report.rows += remove_unowned_rows(read, write, cluster, [name])
    report.deleted_objects = _delete_older(write, DeletedObject.__tablename__, "deleted_at", kept_since)
    report.changes = _delete_older(write, Change.__tablename__, "seen_at", kept_since)
    beyond = forget_beyond(read, write, policy.history_max_bytes)
    report.deleted_objects += beyond[DeletedObject.__tablename__]
    report.changes += beyond[Change.__tablename__]
    report.findings = _delete_older(write, Finding.__tablename__, "resolved_at", kept_since)
    served = int(now) - _SERVED_REQUESTS_KEPT_SECONDS
    report.refresh_requests = _delete_older(write, RefreshRequestModel.__tablename__, "served_at", served)
    report.refresh_requests += _delete_older(
        write, RefreshRequestModel.__tablename__, "requested_at", limit
    )  # nobody serves them
    with write() as connection:
        connection.execute(delete(ApiUsage).where(ApiUsage.hour < int(now) - api_usage.KEPT_SECONDS))
    return report


def _purgeable(
    connection: Connection, policy: TtlPolicy, *, now: float, looking_since: float, spare: Spare
) -> list[tuple[str, str, str]]:
    statement = select(ClusterModel.name, ClusterModel.last_success_at)
    reachable = {name: at for name, at in connection.execute(statement)}  # noqa: C416  -- rows are no tuples to dict()
    return [
        (row.cluster, row.kind, row.scope)
        for row in read_freshness(connection)
        if policy.may_purge(row, now, reachable_at=reachable.get(row.cluster), looking_since=looking_since)
        and not spare(row.cluster, row.kind)
    ]


def _unowned(read: Transaction) -> list[tuple[str, str]]:
    """(cluster, kind) with rows for which no freshness is known: purged just now, or left by a process that was killed."""
    with read() as connection:
        scanned = {(row.cluster, row.kind) for row in read_freshness(connection) if row.scope == WHOLE_CLUSTER and row.scanned}
        clusters = connection.execute(select(ClusterModel.name)).scalars().all()
        candidates = [(cluster, name) for name in stored_kinds(connection) for cluster in clusters]
        return [one for one in candidates if one not in scanned and _unowned_uids(connection, *one, 1)]


def stored_kinds(connection: Connection, kinds: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """Every kind with a table, also one that is switched off now: its side tables, each with the column of the object's uid.

    Only those of the given names, where there are any.
    """
    found = connection.execute(text("SELECT name, side_tables FROM kind_tables ORDER BY name")).all()
    return {
        name: {side: _owner_column(connection, side) for side in orjson.loads(sides)}
        for name, sides in found
        if kinds is None or name in kinds
    }


def _owner_column(connection: Connection, side: str) -> str:
    """It is the second one, after `cluster` (`kind_tables`)."""
    return str(connection.execute(text("SELECT name FROM pragma_table_info(:side) WHERE cid = 1"), {"side": side}).scalar_one())


def remove_unowned_rows(read: Transaction, write: Transaction, cluster: str, kinds: Collection[str] | None = None) -> int:
    """Delete the rows in scopes that have no freshness: purged, or of another cluster that had this name before.

    Readers do not see them anyway: a kind without freshness counts as never scanned. Each batch looks again, since a
    scan may have begun to fill the kind. None: of all kinds that are stored.
    """
    with read() as connection:
        stored = stored_kinds(connection, kinds)
        unowned = [name for name in stored if _unowned_uids(connection, cluster, name, 1)]
    return sum(_remove_unowned(write, cluster, name, stored[name]) for name in unowned)


def _remove_unowned(write: Transaction, cluster: str, kind: str, sides: Mapping[str, str]) -> int:
    total = 0
    while True:
        with write() as connection:
            uids = _unowned_uids(connection, cluster, kind, BATCH)
            if uids:
                _delete_objects(connection, cluster, kind, sides, uids)
        total += len(uids)
        if len(uids) < BATCH:
            return total


def _unowned_uids(connection: Connection, cluster: str, kind: str, limit: int) -> list[str]:
    model = CacheMetadata
    scanned = select(model.scope).where(model.cluster == cluster, model.kind == kind, model.last_checked_at.is_not(None))
    scopes = list(connection.execute(scanned).scalars())
    if WHOLE_CLUSTER in scopes:
        return []
    main = table(kind, column("cluster"), column("uid"), column("namespace"))
    unowned = select(main.c.uid).where(main.c.cluster == cluster)
    if scopes:
        unowned = unowned.where(main.c.namespace.not_in(scopes))
    return list(connection.execute(unowned.limit(limit)).scalars())


def _delete_objects(connection: Connection, cluster: str, kind: str, sides: Mapping[str, str], uids: list[str]) -> None:
    for name, owner in sides.items():
        side = table(name, column("cluster"), column(owner))
        connection.execute(delete(side).where(side.c.cluster == cluster, side.c[owner].in_(uids)))
    for model in (Label, Annotation):
        connection.execute(delete(model).where(model.cluster == cluster, model.kind == kind, model.uid.in_(uids)))
    main = table(kind, column("cluster"), column("uid"))
    connection.execute(delete(main).where(main.c.cluster == cluster, main.c.uid.in_(uids)))


def forget_cluster(read: Transaction, write: Transaction, cluster: str) -> int:
    """Remove all that is stored under a name; the number of objects. What was begun is gone on with by the next cleanup."""
    forget_history(write, cluster)
    with write() as connection:
        forget_freshness(connection, cluster)
    rows = remove_unowned_rows(read, write, cluster)
    with write() as connection:  # last: cleanup looks at known clusters only
        connection.execute(delete(ClusterModel).where(ClusterModel.name == cluster))
    return rows


def forget_history(write: Transaction, cluster: str) -> None:
    """Remove what is known of the past under a cluster's name, in small transactions."""
    for history in (DeletedObject.__tablename__, Change.__tablename__):
        _delete_in_batches(write, history, "cluster = :value", cluster)


def forget_freshness(connection: Connection, cluster: str) -> None:
    """From here on nothing counts as scanned under this name; its rows are unowned."""
    for model in (CacheMetadata, RefreshRequestModel, Finding, HistoryRules, ApiUsage):
        connection.execute(delete(model).where(model.cluster == cluster))


def _delete_older(write: Transaction, table_name: str, time: str, limit: int) -> int:
    return _delete_in_batches(write, table_name, f"{time} < :value", limit)


def _delete_in_batches(write: Transaction, table_name: str, condition: str, value: int | str) -> int:
    statement = text(f"DELETE FROM {table_name} WHERE rowid IN (SELECT rowid FROM {table_name} WHERE {condition} LIMIT {BATCH})")
    total = 0
    while True:
        with write() as connection:
            deleted = connection.execute(statement, {"value": value}).rowcount
        total += deleted
        if deleted < BATCH:
            return total
