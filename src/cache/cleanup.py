"""What is forgotten, and when. Every step is a small transaction, so that nobody waits for it."""

# ruff: noqa: S608  -- the names put into SQL are those of declared tables and columns; values are always bound
from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, delete, select, text, true

from cache.connection import connect_writer, immediate
from cache.engine import transaction
from cache.freshness import WHOLE_CLUSTER
from cache.freshness_rows import read_freshness
from cache.kind_tables import kind_tables, owner_column
from cache.tables import Annotation, CacheMetadata, Change, ClusterModel, DeletedObject, Finding, Label, RefreshRequestModel
from cache.ttl_manager import TtlPolicy
from kinds.kind import Kind

BATCH = 500
_SERVED_REQUESTS_KEPT_SECONDS = 86_400
_FREE_PAGES_A_RUN = 2000


@dataclass(slots=True)
class CleanupReport:
    """What one run removed. `purged` names (cluster, kind, scope); the rest are numbers of rows."""

    purged: list[tuple[str, str, str]] = field(default_factory=list)
    rows: int = 0
    deleted_objects: int = 0
    changes: int = 0
    findings: int = 0
    refresh_requests: int = 0


def clean_up(
    engine: Engine, reading: Engine, path: Path, kinds: Iterable[Kind], policy: TtlPolicy, *, now: float, started_at: float
) -> CleanupReport:
    """Purge what is too old (`TtlPolicy.may_purge`), forget old history, give free pages back to the disk."""
    report = CleanupReport()
    kinds = list(kinds)
    for cluster, kind, scope in _purgeable(reading, path, policy, now=now, started_at=started_at):
        with transaction(engine, path) as connection:
            connection.execute(
                delete(CacheMetadata).where(
                    CacheMetadata.cluster == cluster, CacheMetadata.kind == kind, CacheMetadata.scope == scope
                )
            )
        report.purged.append((cluster, kind, scope))
    clusters = {cluster for cluster, _, _ in report.purged}
    for cluster in clusters:
        report.rows += remove_unowned_rows(engine, path, cluster, kinds)
    limit = policy.history_limit(now)
    report.deleted_objects = _delete_older(engine, path, DeletedObject.__tablename__, "deleted_at", limit)
    report.changes = _delete_older(engine, path, Change.__tablename__, "seen_at", limit)
    report.findings = _delete_older(engine, path, Finding.__tablename__, "resolved_at", limit)
    report.refresh_requests = _delete_older(
        engine, path, RefreshRequestModel.__tablename__, "served_at", int(now) - _SERVED_REQUESTS_KEPT_SECONDS
    )
    _give_back_free_pages(path)
    return report


def _give_back_free_pages(path: Path) -> None:
    """A connection of its own: the statement frees a page each time it is stepped, which SQLAlchemy does once."""
    with closing(connect_writer(path)) as connection, immediate(connection):
        connection.execute(f"PRAGMA incremental_vacuum({_FREE_PAGES_A_RUN})").fetchall()


def _purgeable(engine: Engine, path: Path, policy: TtlPolicy, *, now: float, started_at: float) -> list[tuple[str, str, str]]:
    with transaction(engine, path) as connection:
        statement = select(ClusterModel.name, ClusterModel.last_success_at)
        reachable = {name: at for name, at in connection.execute(statement)}  # noqa: C416  -- rows are no tuples to dict()
        rows = read_freshness(connection)
    return [
        (row.cluster, row.kind, row.scope)
        for row in rows
        if policy.may_purge(row, now, reachable_at=reachable.get(row.cluster), started_at=started_at)
    ]


def remove_unowned_rows(engine: Engine, path: Path, cluster: str, kinds: Iterable[Kind]) -> int:
    """Delete the rows in scopes that have no freshness: purged, or of another cluster that had this name before.

    Readers do not see them anyway: a kind without freshness counts as never scanned. Each batch looks again, since a
    scan may have begun to fill the kind.
    """
    return sum(_remove_unowned(engine, path, cluster, kind) for kind in kinds)


def _remove_unowned(engine: Engine, path: Path, cluster: str, kind: Kind) -> int:
    tables, owner = kind_tables(kind), owner_column(kind)
    total = 0
    while True:
        with transaction(engine, path) as connection:
            scanned = select(CacheMetadata.scope).where(
                CacheMetadata.cluster == cluster, CacheMetadata.kind == kind.name, CacheMetadata.last_checked_at.is_not(None)
            )
            scopes = list(connection.execute(scanned).scalars())
            if WHOLE_CLUSTER in scopes:
                return total
            main = tables.main
            unowned = select(main.c.uid).where(main.c.cluster == cluster, main.c.namespace.not_in(scopes) if scopes else true())
            uids = list(connection.execute(unowned.limit(BATCH)).scalars())
            if not uids:
                return total
            for side in tables.sides.values():
                connection.execute(delete(side).where(side.c.cluster == cluster, side.c[owner].in_(uids)))
            for model in (Label, Annotation):
                connection.execute(delete(model).where(model.cluster == cluster, model.kind == kind.name, model.uid.in_(uids)))
            connection.execute(delete(main).where(main.c.cluster == cluster, main.c.uid.in_(uids)))
            total += len(uids)


def forget_cluster(engine: Engine, path: Path, cluster: str, kinds: Iterable[Kind]) -> None:
    """Remove everything that is known under a cluster's name, history too: the name means another cluster now."""
    with transaction(engine, path) as connection:
        connection.execute(delete(CacheMetadata).where(CacheMetadata.cluster == cluster))
        connection.execute(delete(RefreshRequestModel).where(RefreshRequestModel.cluster == cluster))
        connection.execute(delete(Finding).where(Finding.cluster == cluster))
    remove_unowned_rows(engine, path, cluster, kinds)
    for table in (DeletedObject.__tablename__, Change.__tablename__):
        _delete_in_batches(engine, path, table, "cluster = :value", cluster)


def _delete_older(engine: Engine, path: Path, table: str, column: str, limit: int) -> int:
    return _delete_in_batches(engine, path, table, f"{column} < :value", limit)


def _delete_in_batches(engine: Engine, path: Path, table: str, condition: str, value: int | str) -> int:
    statement = text(f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {condition} LIMIT {BATCH})")
    total = 0
    while True:
        with transaction(engine, path) as connection:
            deleted = connection.execute(statement, {"value": value}).rowcount
        total += deleted
        if deleted < BATCH:
            return total
