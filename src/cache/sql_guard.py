"""SQL that a model or a person wrote, run so that it can read the cache, and nothing else, for a bounded time.

Read-only file, an authorizer that allows reading the views of `cache.sql_views` and the functions of
`cache.sql_functions`, limits on time, rows and lengths. The answer carries the freshness of every table that it read; a
table that was never scanned is an error, never zero rows. Standard library only.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache import sql_functions
from cache.connection import connect_reader, database_errors
from cache.match_text import search_first
from cache.migrations.runner import require_current
from cache.query_freshness import QueryFreshness
from cache.sql_errors import explain_sql_error
from cache.sql_schema import describe_schema
from cache.sql_size import expanded_size
from cache.sql_views import Views, create_views
from configuration.errors import K8sMcpError, QueryRefused
from kinds.envelope import Envelope

__all__ = ["QueryLimits", "QueryResult", "describe_schema", "run_query"]

_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*([A-Za-z]*)", re.DOTALL)
_UNQUOTED_JSON_KEY = re.compile(r"""(?:->>?\s*|,\s*)('\$\.[^'"]*/[^'"]*')|->>?\s*('[^'$"]*[./][^'"]*')""")
_INSTRUCTIONS_BETWEEN_CHECKS = 2000
_LARGEST_STATEMENT = 20_000
"""Tokens after expansion: prepared in well under a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """Seconds, rows, bytes of result, and characters of one value and of the statement."""

    timeout_seconds: float = 5.0
    max_rows: int = 1000
    max_result_bytes: int = 4_000_000
    max_value_length: int = 1_000_000
    max_sql_length: int = 20_000


@dataclass(frozen=True, slots=True)
class QueryResult:
    """`truncated`: a limit on rows or bytes cut the answer short. `freshness`: an envelope for every table read."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    freshness: tuple[Envelope, ...]
    truncated: bool
    elapsed_seconds: float


def run_query(
    path: Path,
    sql: str,
    *,
    cluster: str,
    limits: QueryLimits = QueryLimits(),
    clock: Callable[[], float] = time.time,
) -> QueryResult:
    """Run one SELECT. `cluster` is what `pods` and the other plain names show; `all_pods` shows every cluster.

    Raises QueryRefused (not allowed, too slow, or wrong: with what would be right), NeverScanned, NotPermitted,
    CacheMissing and the other cache errors.
    """
    _check_statement(sql, limits)
    with database_errors(path), closing(connect_reader(path)) as connection:
        require_current(connection, path)
        connection.execute("BEGIN")  # rows and freshness come from one snapshot
        freshness = QueryFreshness.load(connection, cluster)
        views = create_views(connection, cluster, sql)
        if expanded_size(sql, views.sizes) > _LARGEST_STATEMENT:
            raise QueryRefused("the statement uses its CTEs too many times over; use each once or twice, or split the question")
        return _run(connection, sql, _Guard(views, freshness, sql), limits, clock)


def _check_statement(sql: str, limits: QueryLimits) -> None:
    if len(sql) > limits.max_sql_length:
        raise QueryRefused(f"the statement is {len(sql)} characters long; at most {limits.max_sql_length} are accepted")
    if "\0" in sql:
        raise QueryRefused("the statement contains a NUL character")
    found = _FIRST_WORD.match(sql)
    word = found[1].upper() if found else ""
    if word not in ("SELECT", "WITH"):
        raise QueryRefused(f"only one SELECT (or WITH … SELECT) can be run, not {word or 'an empty statement'}")
    unquoted = _UNQUOTED_JSON_KEY.search(sql)
    if unquoted:
        raise QueryRefused(
            f"{unquoted[1] or unquoted[2]} is no JSON path: SQLite splits a key at its dots and would find nothing; "
            """quote the key, as in labels->>'$."app.kubernetes.io/name"', or use the labels table"""
        )


def _run(connection: sqlite3.Connection, sql: str, guard: _Guard, limits: QueryLimits, clock: Callable[[], float]) -> QueryResult:
    started = time.monotonic()
    deadline = started + limits.timeout_seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _INSTRUCTIONS_BETWEEN_CHECKS)
    try:
        statement, guard.found = search_first(connection, sql)
        _protect(connection, guard, limits)
        cursor = connection.execute(statement)
        rows, truncated = _fetch(cursor, limits)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _explain(error, guard, sql, limits, late=time.monotonic() > deadline) from None
    elapsed = time.monotonic() - started
    columns = tuple(column[0] for column in cursor.description or ())
    envelopes = guard.freshness.envelopes(guard.read, clock(), shown=len(rows), more=truncated)
    return QueryResult(columns, rows, envelopes, truncated, elapsed)


def _protect(connection: sqlite3.Connection, guard: _Guard, limits: QueryLimits) -> None:
    """From here on the connection obeys the guard. The views exist already; nothing can be added."""
    sql_functions.install(connection, limits.max_value_length)
    connection.execute("PRAGMA query_only=ON")
    for limit, value in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.max_value_length),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, limits.max_sql_length * 4),  # bytes
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
        (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 100),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(limit, value)
    connection.set_authorizer(guard.authorize)


def _fetch(cursor: sqlite3.Cursor, limits: QueryLimits) -> tuple[list[tuple[Any, ...]], bool]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        if len(rows) >= limits.max_rows or size > limits.max_result_bytes:
            return rows, True
        rows.append(row)
    return rows, False


class _Guard:
    """The authorizer: allows what it knows, and remembers what was read and why something was refused."""

    def __init__(self, views: Views, freshness: QueryFreshness, sql: str) -> None:
        self.views = views
        self.freshness = freshness
        self.read: set[tuple[str, str, bool]] = set()
        """(table, kind, all clusters) of every stored table that the statement reads."""
        self.refusal: str | K8sMcpError = ""
        self.found: frozenset[str] = frozenset()
        """TEMP tables with random names: what each MATCH has found."""
        self._sql = sql

    def authorize(self, action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            return self._function((second or "").lower())
        if action == sqlite3.SQLITE_READ:
            return self._read(first or "", second or "", database, source)
        return self._refuse("only reading is allowed")

    def _function(self, name: str) -> int:
        if name in sql_functions.ALLOWED:
            return sqlite3.SQLITE_OK
        return self._refuse(f"the function {name} is not available; available are: {', '.join(sorted(sql_functions.ALLOWED))}")

    def _read(self, table: str, column: str, database: str | None, source: str | None) -> int:
        if database == "temp" and (self.views.is_view(table) or table in self.found):
            return sqlite3.SQLITE_OK
        if database == "main" and source in self.views.inner and self.views.inner[source][0].name == table:
            base, every_cluster = self.views.inner[source]
            return self._scanned(base.name, base.kind, every_cluster)
        if table in sql_functions.TABLE_VALUED and database in ("main", None):
            return sqlite3.SQLITE_OK
        if database is None and not column and self.views.is_harmless(table):
            return sqlite3.SQLITE_OK  # a CTE of which no column is used, as in count(*)
        return self._refuse(f"{table} cannot be read directly; the tables are: {', '.join(self.views.plain_names())}")

    def _scanned(self, table: str, kind: str, every_cluster: bool) -> int:
        self.read.add((table, kind, every_cluster))
        try:
            self.freshness.require(table, kind, every_cluster, self._sql)
        except K8sMcpError as error:
            self.refusal = self.refusal or error
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _refuse(self, reason: str) -> int:
        self.refusal = self.refusal or reason
        return sqlite3.SQLITE_DENY


def _explain(error: Exception, guard: _Guard, sql: str, limits: QueryLimits, *, late: bool) -> Exception:
    if isinstance(guard.refusal, K8sMcpError):
        return guard.refusal
    if guard.refusal:
        return QueryRefused(f"refused: {guard.refusal}")
    if late:
        return QueryRefused(
            f"stopped after {limits.timeout_seconds:g} s (AGENT_CACHE_QUERY_TIMEOUT); "
            "select fewer rows: filter by an indexed column (namespace, name, status, node …) or aggregate less"
        )
    return explain_sql_error(error, guard.views, sql, limits.max_value_length)
