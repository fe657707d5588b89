"""Reading `cache_metadata` and `clusters` into the dataclasses that leave this package."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from cache.freshness import FIELDS, Freshness, freshness_from_row
from cache.tables import CacheMetadata, ClusterModel


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster that the cache knows. Times are epoch seconds; `last_success_at`: its API server answered a scan."""

    cluster: str
    uid: str
    server_version: str
    api_server: str
    registered_at: int
    last_success_at: int | None


def read_freshness(connection: Connection, cluster: str | None = None, kind: str | None = None) -> list[Freshness]:
    """All scopes, in order of cluster, kind and scope."""
    statement = select(*(getattr(CacheMetadata, name) for name in FIELDS)).order_by(
        CacheMetadata.cluster, CacheMetadata.kind, CacheMetadata.scope
    )
    if cluster is not None:
        statement = statement.where(CacheMetadata.cluster == cluster)
    if kind is not None:
        statement = statement.where(CacheMetadata.kind == kind)
    return [freshness_from_row(tuple(row)) for row in connection.execute(statement)]


def read_clusters(connection: Connection) -> list[ClusterRow]:
    statement = select(
        ClusterModel.name,
        ClusterModel.uid,
        ClusterModel.server_version,
        ClusterModel.api_server,
        ClusterModel.registered_at,
        ClusterModel.last_success_at,
    ).order_by(ClusterModel.name)
    return [ClusterRow(*row) for row in connection.execute(statement)]
