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

from cache import text_search
from kinds.views import VIEWS, View

OBJECTS_OF_ALL_KINDS = ("labels", "annotations", "deleted_objects", "changes", text_search.OBJECTS)
"""Tables with a `kind` column."""
_ABOUT_THE_CACHE = ("clusters", "cache_metadata")
_HIDDEN = frozenset({"row_id", "manifest", "sort_key", "redaction", "generation"})
_SIZE = 20
"""Of a view over one table, in tokens: it is two subqueries, with all columns of its table."""


@dataclass(frozen=True, slots=True)
class BaseTable:
    """A stored table; `kind` is the kind whose freshness is the table's, "" for tables of all kinds and of the cache."""

    name: str
    kind: str


@dataclass(slots=True)
class Views:
    """`names`: all that a statement may use. The others hold only what the statement mentions, since making a view takes time:
    `columns` and `sizes` (in tokens, for `cache.sql_size`) by visible name; `inner` by random name: the stored table, and
    whether all clusters are seen."""

    names: frozenset[str] = frozenset()
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    inner: dict[str, tuple[BaseTable, bool]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    reserved: frozenset[str] = frozenset()
    """Names of everything stored in the file and of SQLite's virtual tables."""

    def is_view(self, name: str) -> bool:
        return name in self.columns or name in self.inner

    def is_harmless(self, name: str) -> bool:
        """Whether an unqualified name can only be a view, or something that the statement itself defines."""
        return self.is_view(name) or not (name in self.reserved or name.startswith(("sqlite_", "pragma_")))

    def plain_names(self) -> list[str]:
        return sorted(name for name in self.names if not name.startswith("all_"))


def stored_tables(connection: sqlite3.Connection) -> list[BaseTable]:
    """The tables of the file that have something to show."""
    tables = [BaseTable(name, "") for name in (*_ABOUT_THE_CACHE, *OBJECTS_OF_ALL_KINDS)]
    for kind, sides in connection.execute("SELECT name, side_tables FROM main.kind_tables ORDER BY name"):
        tables += [BaseTable(kind, kind), *(BaseTable(side, kind) for side in json.loads(sides))]
    return tables


def create_views(connection: sqlite3.Connection, cluster: str, sql: str) -> Views:
    """Create those that the statement mentions on this connection. `cluster` must be one that the file knows."""
    stored = {
        row[0] for row in connection.execute("SELECT name FROM main.sqlite_master UNION SELECT name FROM pragma_module_list")
    }
    tables = [table for table in stored_tables(connection) if table.name in stored]
    known = {table.name for table in tables}
    declared = [view for view in VIEWS if set(view.reads) <= known]
    known |= {view.name for view in declared}
    maker = _ViewMaker(
        connection, cluster, Views(frozenset(known | {f"all_{name}" for name in known}), reserved=frozenset(stored))
    )
    maker.want(sql, declared)
    for table in tables:
        maker.show_table(table)
    for view in declared:
        maker.show_declared(view)
    return maker.views


class _ViewMaker:
    """Every view has a condition on a column: else `count(*)` would be flattened into a read of the stored table that looks
    like a direct one.
    """

    def __init__(self, connection: sqlite3.Connection, cluster: str, views: Views) -> None:
        self.views = views
        self._connection = connection
        self._cluster = cluster
        self._prefix = secrets.token_hex(16)
        self._wanted: set[str] = set()

    def want(self, sql: str, declared: Iterable[View]) -> None:
        """Every name that occurs anywhere in the statement, and what the views of that name read."""
        lowered = sql.lower()
        self._wanted = {name for name in self.views.names if name.lower() in lowered}
        for view in declared:
            for prefix in ("", "all_"):
                if prefix + view.name in self._wanted:
                    self._wanted |= {prefix + table for table in view.reads}

    def show_table(self, table: BaseTable) -> None:
        if not self._wanted & {table.name, f"all_{table.name}"}:
            return
        info = self._connection.execute(f"PRAGMA main.table_info({_name(table.name)})")
        columns = ", ".join(_name(row[1]) for row in info if row[1] not in _HIDDEN)
        if table.name == text_search.OBJECTS:
            columns = columns.replace('"id", ', "") + ", id AS text"  # what MATCH is given: cache.match_text
        column = "name" if table.name == "clusters" else "cluster"
        for visible, condition in (
            (table.name, f" WHERE {column} = {_text(self._cluster)}"),
            (f"all_{table.name}", f" WHERE {column} <> ''"),
        ):
            if visible in self._wanted:
                inner = f"{self._prefix}_{visible}"
                self._connection.execute(
                    f"CREATE TEMP VIEW {_name(inner)} AS SELECT {columns} FROM main.{_name(table.name)}{condition}"
                )
                self.views.inner[inner] = (table, visible != table.name)
                self._create(visible, f"SELECT * FROM temp.{_name(inner)}", _SIZE)

    def show_declared(self, view: View) -> None:
        for prefix in ("", "all_"):
            if prefix + view.name not in self._wanted:
                continue
            names: Mapping[str, str] = {table: f"temp.{_name(prefix + table)}" for table in view.reads}
            size = len(view.sql.split()) + sum(view.sql.count(f"{{{table}}}") * _SIZE for table in view.reads)
            self._create(prefix + view.name, view.sql.format(**names), size)

    def _create(self, visible: str, sql: str, size: int) -> None:
        self._connection.execute(f"CREATE TEMP VIEW {_name(visible)} AS {sql}")
        cursor = self._connection.execute(f"SELECT * FROM temp.{_name(visible)} LIMIT 0")
        self.views.columns[visible] = tuple(column[0] for column in cursor.description)
        self.views.sizes[visible] = size


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
