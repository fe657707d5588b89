"""A database of 100,000 pods, made in seconds: a thousand are scanned, SQL makes the others of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cache.cache_manager import CacheManager, ClusterIdentity
from cache.connection import connect_writer, immediate
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, START, api_object, scan, staged

SCANNED = 1000
NODES = 500
CHANGES = 100_000


@dataclass(frozen=True)
class Question:
    """`rows` are what it answers on this database; `indexes` are those that it must go through."""

    sql: str
    rows: int
    indexes: tuple[str, ...]


QUESTIONS: Mapping[str, Question] = {
    "namespace and status": Question(
        "SELECT name, node FROM pods WHERE namespace = 'team-7' AND status = 'CrashLoopBackOff' LIMIT 200",
        200,
        ("pods_by_namespace",),
    ),
    "label": Question(
        "SELECT name FROM pods WHERE uid IN (SELECT uid FROM labels WHERE kind = 'pods' AND key = 'app' AND value = 'app-42')",
        500,
        ("labels_by_value", "sqlite_autoindex_pods_1"),
    ),
    "owner": Question("SELECT name, status FROM pods WHERE owner_uid = 'rs-42'", 500, ("pods_by_owner_uid",)),
    "node": Question("SELECT name, status FROM pods WHERE node = 'node-42'", 200, ("pods_by_node",)),
    "image": Question(
        "SELECT DISTINCT namespace, pod FROM containers WHERE image = 'registry.example/team/app-42:1.2'",
        500,
        ("containers_by_image",),
    ),
    "text": Question(
        "SELECT name, status FROM pods WHERE uid IN (SELECT uid FROM objects WHERE text MATCH 'crashloop app-7 node-107')",
        600,
        ("objects USING INTEGER PRIMARY KEY", "sqlite_autoindex_pods_1"),
    ),
    "what changed in a namespace in 20 minutes": Question(
        "SELECT at, kind, name, field, old, new FROM timeline "
        f"WHERE namespace = 'team-7' AND at BETWEEN {START - 7200} AND {START - 6000} ORDER BY at",
        4,
        ("changes_in_time_order", "objects_by_creation"),
    ),
}

_EACH = """(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies} - 1) SELECT i FROM n)"""


def fill_large_cache(path: Path, *, pods: int = 100_000) -> None:
    """Every pod is in one of 50 namespaces and 200 workloads, on one of 500 nodes; 1 % crash. And 100,000 changes of a week."""
    with CacheManager(path, policy=TtlPolicy(), clock=lambda: START) as manager:
        manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="u"))
        scan(manager, "pods", staged("pods", *map(_pod, range(SCANNED))))
        for kind in ("replicasets", "jobs", "events"):
            scan(manager, kind, [])
    with closing(connect_writer(path)) as connection, immediate(connection):
        _multiply(connection, pods // SCANNED)
        connection.execute(
            f"""INSERT INTO changes (cluster, kind, namespace, name, uid, field, old, new, seen_at, resource_version)
            SELECT '{CLUSTER}', 'pods', 'team-' || (i % 50), 'web-' || i, 'u' || i, 'restarts', '1', '2', {START} - i * 6, '7'
            FROM {_EACH.format(copies=CHANGES + 1)}"""
        )
        connection.execute("UPDATE cache_metadata SET item_count = ? WHERE kind = 'pods'", (pods,))
    with closing(connect_writer(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pod(number: int) -> dict[str, object]:
    waiting = number % 100 == 7
    name = f"app-{number % 200}-{number:04d}"
    pod = api_object(
        "pods",
        name,
        f"team-{number % 50}",
        node=f"node-{number % NODES}",
        labels={"app": f"app-{number % 200}", "tier": ("web", "db", "batch")[number % 3], "version": f"v{number % 7}"},
        owner=("ReplicaSet", f"app-{number % 200}-rs", f"rs-{number % 200}"),
    )
    for container in pod["spec"]["containers"]:
        container["image"] = f"registry.example/team/{container['name']}-{number % 200}:1.2"
    if waiting:
        state = {"waiting": {"reason": "CrashLoopBackOff"}}
        pod["status"]["containerStatuses"] = [{"name": "app", "ready": False, "restartCount": 9, "state": state}]
    return pod


def _multiply(connection: sqlite3.Connection, copies: int) -> None:
    """Copies of every row, each under a name and a uid of its own; node and namespace are spread by the originals."""
    each = _EACH.format(copies=copies)
    renamed = {
        "uid": "t.uid || '-' || n.i", "name": "t.name || '-' || n.i", "pod": "t.pod || '-' || n.i",
        "pod_uid": "t.pod_uid || '-' || n.i", "sort_key": "CAST(CAST(t.sort_key AS TEXT) || '-' || n.i AS BLOB)",
    }  # fmt: skip
    for table, kept in (("pods", ()), ("containers", ("name",)), ("labels", ())):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "row_id"]
        selected = ", ".join(f't."{column}"' if column in kept else renamed.get(column, f't."{column}"') for column in columns)
        connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected} FROM {each} n CROSS JOIN {table} t "
            + (f"WHERE t.row_id <= {SCANNED}" if table == "pods" else "WHERE t.rowid <= 2000" if table == "containers" else "")
        )
