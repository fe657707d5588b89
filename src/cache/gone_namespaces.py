"""Scopes whose namespace is known to be deleted: with it went everything that was in it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, column, select, table

from cache.freshness import WHOLE_CLUSTER
from cache.tables import CacheMetadata

_NAMESPACES = "namespaces"


def gone_scopes(connection: Connection, cluster: str, kind: str, scopes: Iterable[str]) -> dict[str, str]:
    """Of these scopes of a kind those whose namespace is gone, with the redaction that their rows were stored by.

    Only a complete list of the namespaces that is as new as the scope proves it; without one nothing is known.
    """
    model = CacheMetadata
    listed = select(model.last_checked_at).where(
        model.cluster == cluster,
        model.kind == _NAMESPACES,
        model.scope == WHOLE_CLUSTER,
        model.complete == 1,
        model.permitted == 1,
        model.last_full_at.is_not(None),
    )
    listed_at = connection.execute(listed).scalar()
    if listed_at is None:
        return {}
    stored = select(model.scope, model.redaction).where(
        model.cluster == cluster,
        model.kind == kind,
        model.scope.in_([scope for scope in scopes if scope]),
        model.last_checked_at <= listed_at,
    )
    candidates = {scope: redaction for scope, redaction in connection.execute(stored)}  # noqa: C416  -- rows are no tuples
    namespaces = table(_NAMESPACES, column("cluster"), column("name"))
    existing = select(namespaces.c.name).where(namespaces.c.cluster == cluster, namespaces.c.name.in_(candidates))
    return {scope: candidates[scope] for scope in candidates.keys() - set(connection.execute(existing).scalars())}
