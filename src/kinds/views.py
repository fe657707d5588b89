"""Views over the tables of kinds and of their history: what somebody asks for that no single table answers.

Guarded SQL shows them beside the tables (`cache.sql_views`); nothing of them is stored. `{pods}` in the SQL stands for the
table as the reader sees it: one cluster's, or every cluster's in `all_<view>`.
"""

# ruff: noqa: S608  -- made of names of declared columns
from __future__ import annotations

from dataclasses import dataclass

from kinds.events import EVENTS
from kinds.kind import Column, ColumnType


@dataclass(frozen=True, slots=True)
class View:
    """`reads` names the tables that the SQL has in braces: a view is as fresh as they are, and exists where they do."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    """Beside `cluster`, which comes first."""
    reads: tuple[str, ...]
    sql: str


def _column(name: str, type_: ColumnType, doc: str) -> Column:
    return Column(name, type_, nullable=True, doc=doc, index=False)


POD_WORKLOADS = View(
    "pod_workloads",
    "the top-level owner of each pod: Deployment, CronJob, …",
    (
        _column("pod_uid", "text", "pods.uid"),
        _column("namespace", "text", "namespace of both"),
        _column("pod", "text", "pods.name"),
        _column("workload_kind", "text", "Deployment, StatefulSet, CronJob …; Pod when nothing owns it"),
        _column("workload", "text", "name of the workload"),
    ),
    ("pods", "replicasets", "jobs"),
    """SELECT p.cluster, p.uid AS pod_uid, p.namespace, p.name AS pod,
 CASE WHEN p.owner_uid IS NULL THEN 'Pod' WHEN r.owner_uid IS NOT NULL THEN r.owner_kind
      WHEN j.owner_uid IS NOT NULL THEN j.owner_kind ELSE p.owner_kind END AS workload_kind,
 CASE WHEN p.owner_uid IS NULL THEN p.name WHEN r.owner_uid IS NOT NULL THEN r.owner_name
      WHEN j.owner_uid IS NOT NULL THEN j.owner_name ELSE p.owner_name END AS workload
 FROM {pods} p LEFT JOIN {replicasets} r ON r.cluster = p.cluster AND r.uid = p.owner_uid
 LEFT JOIN {jobs} j ON j.cluster = p.cluster AND j.uid = p.owner_uid""",
)
"""Never stored, because it can change without the pod changing."""

_REVISION_COLUMNS = (
    _column("namespace", "text", "namespace of the release"),
    _column("release", "text", "name of the release"),
    _column("revision", "integer", "revision, counted by Helm"),
    _column("status", "text", "deployed, superseded, failed, pending-upgrade, uninstalled …"),
    _column("updated_at", "time", "when Helm last wrote this revision"),
    _column("chart", "text", "always null: it is in the payload, which is never read"),
    _column("secret", "text", "name of the Secret that holds it"),
)
_REVISIONS_SQL = """SELECT s.cluster, s.namespace, s.labels->>'$.name' AS release,
 CAST(s.labels->>'$.version' AS INTEGER) AS revision, s.labels->>'$.status' AS status,
 coalesce(CAST(s.labels->>'$.modifiedAt' AS INTEGER), CAST(s.labels->>'$.createdAt' AS INTEGER), s.created_at) AS updated_at,
 NULL AS chart, s.name AS secret
 FROM {labels} l CROSS JOIN {secrets} s ON s.cluster = l.cluster AND s.uid = l.uid
 WHERE l.kind = 'secrets' AND l.key = 'owner' AND l.value = 'helm' AND s.type = 'helm.sh/release.v1'"""

HELM_REVISIONS = View(
    "helm_revisions",
    "every revision of every Helm release, from the labels of their Secrets",
    _REVISION_COLUMNS,
    ("labels", "secrets"),
    _REVISIONS_SQL,
)
HELM_RELEASES = View(
    "helm_releases",
    "the latest revision of each Helm release, from the labels of their Secrets",
    _REVISION_COLUMNS,
    ("labels", "secrets"),
    f"""SELECT cluster, {", ".join(column.name for column in _REVISION_COLUMNS)} FROM (SELECT *, row_number()
 OVER (PARTITION BY cluster, namespace, release ORDER BY revision DESC) AS place FROM ({_REVISIONS_SQL})) WHERE place = 1""",
)

_GONE = (
    _column("gone", "boolean", "Kubernetes has forgotten it: this is what the scanner kept"),
    _column("gone_at", "time", "when the scanner saw that it was gone; null when it is not"),
)
_EVENT_COLUMNS = tuple(column for column in EVENTS.columns if column.name not in ("resource_version", "deleting_since"))
_OF_DELETED_OBJECTS = frozenset({"namespace", "name", "uid", "created_at"})


def _kept(column: Column) -> str:
    return column.name if column.name in _OF_DELETED_OBJECTS else f"row->>'$.{column.name}' AS {column.name}"


EVENT_HISTORY = View(
    "event_history",
    "events that exist now, and those that Kubernetes has forgotten since",
    (*_EVENT_COLUMNS, *_GONE),
    ("events", "deleted_objects"),
    f"""SELECT cluster, {", ".join(column.name for column in _EVENT_COLUMNS)}, 0 AS gone, NULL AS gone_at FROM {{events}}
 UNION ALL SELECT cluster, {", ".join(map(_kept, _EVENT_COLUMNS))}, 1, deleted_at FROM {{deleted_objects}}
  WHERE kind = 'events'""",
)

TIMELINE = View(
    "timeline",
    "what was created, changed and deleted, in time, also of objects that are gone; events are in event_history",
    (
        _column("at", "time", "created: by the API server's clock; changed and deleted: when the scanner saw it"),
        _column("kind", "text", "plural, e.g. 'pods'"),
        _column("namespace", "text", "null for cluster-scoped objects"),
        _column("name", "text", "name of the object"),
        _column("uid", "text", "uid of the object"),
        _column("what", "text", "created, changed or deleted"),
        _column("field", "text", "what changed: a column, labels.KEY or containers[NAME].COLUMN"),
        _column("old", "text", "its value before; null: there was none"),
        _column("new", "text", "its value after; null: there is none"),
        _column("manager", "text", "who changed it, as its field manager says; null when unknown"),
    ),
    ("changes", "objects", "deleted_objects"),
    """SELECT cluster, seen_at AS at, kind, namespace, name, uid, 'changed' AS what, field, old, new, manager FROM {changes}
 UNION ALL SELECT cluster, created_at, kind, namespace, name, uid, 'created', NULL, NULL, NULL, NULL
  FROM {objects} WHERE created_at IS NOT NULL AND kind <> 'events'
 UNION ALL SELECT cluster, created_at, kind, namespace, name, uid, 'created', NULL, NULL, NULL, NULL
  FROM {deleted_objects} WHERE created_at IS NOT NULL AND kind <> 'events'
 UNION ALL SELECT cluster, deleted_at, kind, namespace, name, uid, 'deleted', NULL, NULL, NULL, NULL
  FROM {deleted_objects} WHERE kind <> 'events'""",
)
"""Creations count by the API server's time: a first scan finds old objects, it does not create them."""

VIEWS = (POD_WORKLOADS, TIMELINE, EVENT_HISTORY, HELM_RELEASES, HELM_REVISIONS)
