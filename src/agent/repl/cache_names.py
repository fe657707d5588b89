"""Names for completion, looked up in the cache: never live, never an error, at most one short query a key press."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from configuration.errors import K8sMcpError

MOST = 50
KEEP_SECONDS = 5.0
_NAME_PART = re.compile(r"[A-Za-z0-9.:-]{0,253}")


class CacheNames:
    """Completions for one cache. Called from a thread of its own."""

    def __init__(self, path: Path, cluster: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._cluster = cluster
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, list[str]]] = {}

    def names(self, table: str, prefix: str, namespace: str = "") -> list[str]:
        """Names of objects that begin with `prefix`, of one namespace or of all. `table` is a kind's name."""
        where = f" AND namespace = '{namespace}'" if namespace else ""
        return self._query(table, "name", prefix, namespace, where)

    def values(self, table: str, column: str, prefix: str) -> list[str]:
        """What a filter's column holds, e.g. the statuses that pods have now."""
        return self._query(table, column, prefix, "", "")

    def _query(self, table: str, column: str, prefix: str, namespace: str, where: str) -> list[str]:
        if not _NAME_PART.fullmatch(prefix) or not _NAME_PART.fullmatch(namespace):
            return []  # nothing that Kubernetes would accept as a name, and nothing to put into SQL
        sql = f"SELECT DISTINCT {column} FROM {table} WHERE {column} >= '{prefix}' AND {column} < '{prefix}~'{where} ORDER BY 1 LIMIT {MOST}"  # noqa: S608, E501 (parts are validated)
        return self._cached(sql)

    def _cached(self, sql: str) -> list[str]:
        from cache.sql_guard import run_query

        cluster, now = self._cluster(), self._clock()
        at, known = self._known.get((cluster, sql), (-KEEP_SECONDS, []))
        if now - at < KEEP_SECONDS:
            return known
        try:
            found = [str(row[0]) for row in run_query(self._path, sql, cluster=cluster).rows if row[0] is not None]
        except K8sMcpError:
            found = []
        self._known[cluster, sql] = (now, found)
        return found
