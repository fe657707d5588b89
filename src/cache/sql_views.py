"""What guarded SQL sees: one view for each table, limited to a cluster, and `all_<table>` over all of them.

Every view is doubled. The inner one has a random name that lives as long as the connection, and only it may read the
stored table: SQLite tells an authorizer merely the name through which a table is read, and a query can give a CTE any
name that it knows (`WITH pods AS (SELECT * FROM main.pods)`), but not one that it cannot know.
"""

# ruff: noqa: S608  -- names of stored tables and columns, quoted; a view cannot bind the cluster, so it is quoted too
from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

OBJECTS_OF_ALL_KINDS = ("labels", "annotations", "deleted_objects", "changes")
"""Tables with a `kind` column."""
_ABOUT_THE_CACHE = ("clusters", "cache_metadata")
_HIDDEN = frozenset({"manifest", "sort_key", "redaction", "generation"})
WORKLOADS = "pod_workloads"

_WORKLOADS_SQL = """SELECT p.cluster, p.uid AS pod_uid, p.namespace, p.name AS pod,
 CASE WHEN p.owner_uid IS NULL THEN 'Pod' WHEN r.owner_uid IS NOT NULL THEN r.owner_kind
      WHEN j.owner_uid IS NOT NULL THEN j.owner_kind ELSE p.owner_kind END AS workload_kind,
 CASE WHEN p.owner_uid IS NULL THEN p.name WHEN r.owner_uid IS NOT NULL THEN r.owner_name
      WHEN j.owner_uid IS NOT NULL THEN j.owner_name ELSE p.owner_name END AS workload
 FROM {pods} p LEFT JOIN {replicasets} r ON r.cluster = p.cluster AND r.uid = p.owner_uid
 LEFT JOIN {jobs} j ON j.cluster = p.cluster AND j.uid = p.owner_uid"""
"""The top-level workload is never stored: it can change without the pod changing."""


@dataclass(frozen=True, slots=True)
class BaseTable:
    """A stored table; `kind` is the kind whose freshness is the table's, "" for tables of all kinds and of the cache."""

    name: str
    kind: str


@dataclass(slots=True)
class Views:
    """`columns` by visible name; `inner` by random name: the stored table, and whether all clusters are seen."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inner: dict[str, tuple[BaseTable, bool]] = field(default_factory=dict)

    reserved: frozenset[str] = frozenset()
    """Names of everything stored in the file and of SQLite's virtual tables."""

    def is_view(self, name: str) -> bool:
        return name in self.columns or name in self.inner

    def is_harmless(self, name: str) -> bool:
        """Whether an unqualified name can only be a view, or something that the statement itself defines."""
        return self.is_view(name) or not (name in self.reserved or name.startswith(("sqlite_", "pragma_")))

    def plain_names(self) -> list[str]:
        return sorted(name for name in self.columns if not name.startswith("all_"))


def stored_tables(connection: sqlite3.Connection) -> list[BaseTable]:
    """The tables of the file that have something to show."""
    tables = [BaseTable(name, "") for name in (*_ABOUT_THE_CACHE, *OBJECTS_OF_ALL_KINDS)]
    for kind, sides in connection.execute("SELECT name, side_tables FROM main.kind_tables ORDER BY name"):
        tables += [BaseTable(kind, kind), *(BaseTable(side, kind) for side in json.loads(sides))]
    return tables


def create_views(connection: sqlite3.Connection, cluster: str) -> Views:
    """Create them on this connection. `cluster` must be one that the file knows.

    Every view has a condition on a column: else `count(*)` would be flattened into a read of the stored table that looks
    like a direct one.
    """
    stored = {
        row[0] for row in connection.execute("SELECT name FROM main.sqlite_master UNION SELECT name FROM pragma_module_list")
    }
    views, prefix = Views(reserved=frozenset(stored)), secrets.token_hex(16)
    tables = stored_tables(connection)
    for table in tables:
        columns = tuple(
            row[1] for row in connection.execute(f"PRAGMA main.table_info({_name(table.name)})") if row[1] not in _HIDDEN
        )
        column = "name" if table.name == "clusters" else "cluster"
        selected = f"SELECT {', '.join(map(_name, columns))} FROM main.{_name(table.name)}"
        for visible, condition in (
            (table.name, f" WHERE {column} = {_text(cluster)}"),
            (f"all_{table.name}", f" WHERE {column} <> ''"),
        ):
            inner = f"{prefix}_{visible}"
            connection.execute(f"CREATE TEMP VIEW {_name(inner)} AS {selected}{condition}")
            connection.execute(f"CREATE TEMP VIEW {_name(visible)} AS SELECT * FROM temp.{_name(inner)}")
            views.inner[inner] = (table, visible != table.name)
            views.columns[visible] = columns
    _create_workloads(connection, views, {table.name for table in tables})
    return views


def _create_workloads(connection: sqlite3.Connection, views: Views, tables: Iterable[str]) -> None:
    needed = ("pods", "replicasets", "jobs")
    if not set(needed) <= set(tables):
        return
    for prefix in ("", "all_"):
        names: Mapping[str, str] = {table: f"temp.{prefix}{table}" for table in needed}
        connection.execute(f"CREATE TEMP VIEW {prefix}{WORKLOADS} AS {_WORKLOADS_SQL.format(**names)}")
        cursor = connection.execute(f"SELECT * FROM temp.{prefix}{WORKLOADS} LIMIT 0")
        views.columns[f"{prefix}{WORKLOADS}"] = tuple(column[0] for column in cursor.description)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
