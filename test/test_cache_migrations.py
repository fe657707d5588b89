"""Databases of earlier schemas, with something in every table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache.connection import connect_writer, immediate
from cache.migrations.runner import SCHEMA_VERSION
from cache.migrations.steps import MIGRATIONS
from cache_fixtures import CLUSTER, Clock, api_object, delta, scan, staged
from configuration.errors import CacheMissing

KIND = "widgets"
"""One that no declaration knows: what is declared is rebuilt instead of being migrated."""
EARLIER = "an-earlier-cluster"
VALUES = {"cluster": EARLIER, "name": EARLIER, "kind": KIND, "redaction": "7/key", "row": "{}", "side_tables": "[]", "scope": ""}


def make_database(path: Path, schema: int) -> dict[str, dict[str, Any]]:
    """A database of that schema with a row in each of its tables: those rows, by table."""
    path.touch()
    rows: dict[str, dict[str, Any]] = {}
    with closing(connect_writer(path)) as connection, immediate(connection):
        for step in MIGRATIONS[:schema]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={schema}")
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}
            rows[table] = {name: value_for(table, name, type_) for name, type_ in columns.items()}
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(rows[table].values()))
    return rows


def value_for(table: str, column: str, type_: str) -> Any:
    if table == "kind_tables" and column == "name":
        return KIND
    if column in VALUES:
        return VALUES[column]
    return {"TEXT": f"a {column}", "INTEGER": 1, "BLOB": b"\x00\xff"}[type_]


def read_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        tables = [row[0] for row in connection.execute(sql)]
        return {table: [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')] for table in tables}


@pytest.mark.parametrize("schema", range(1, SCHEMA_VERSION + 1))
def test_every_row_of_an_earlier_schema_is_there_afterwards(
    schema: int, database: Path, open_manager: Callable[..., CacheManager]
) -> None:
    before = make_database(database, schema)
    if schema < SCHEMA_VERSION:
        with pytest.raises(CacheMissing, match="scanner scan"):
            CacheReader(database)
    open_manager(register=False)
    after = read_rows(database)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rebuilt = {"kind_tables", "labels", "annotations", "cache_metadata"}  # a kind's rows can be scanned again
    for table in before.keys() - rebuilt:
        (row,) = after[table]
        assert {name: row[name] for name in before[table]} == before[table], table
        assert {row[name] for name in row.keys() - before[table].keys()} <= {None}, table


@pytest.mark.parametrize("schema", range(SCHEMA_VERSION + 1))
def test_a_scanner_works_on_an_earlier_schema(
    schema: int, database: Path, open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    if schema:
        make_database(database, schema)
    manager = open_manager()
    scan(manager, "pods", staged("pods", api_object("pods", "web-1")))
    change = delta("pods", ("MODIFIED", api_object("pods", "web-1", version=2, node="node-2")))
    assert manager.apply(CLUSTER, [change])[0].changed == 1
    clock.now += 100_000_000
    assert manager.cleanup(trust_clock=True).changes == 1 + bool(schema)


def test_history_of_the_first_schema_counts_as_stored_under_the_rules_of_its_kind(
    database: Path, open_manager: Callable[..., CacheManager]
) -> None:
    make_database(database, 1)
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(cache_metadata)")]
        others = ", ".join(name for name in columns if name not in ("kind", "scope", "redaction"))
        for kind, scope, redaction in (("gears", "a", "7/x"), ("gears", "b", "8/x"), ("bolts", "a", "8"), ("bolts", "b", "8")):
            connection.execute(
                f"INSERT INTO cache_metadata ({others}, kind, scope, redaction) SELECT {others}, ?, ?, ? "
                "FROM cache_metadata WHERE kind = ?",
                (kind, scope, redaction, KIND),
            )
    open_manager(register=False)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT cluster, kind, rules FROM history_rules ORDER BY kind").fetchall() == [
            (EARLIER, "bolts", "8"),
            (EARLIER, KIND, "7"),
        ]


def test_a_migration_that_is_interrupted_leaves_the_earlier_schema(
    database: Path, open_manager: Callable[..., CacheManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_database(database, 1)
    broken = (*MIGRATIONS[1], "INSERT INTO no_such_table VALUES (1)")
    with monkeypatch.context() as patched:
        patched.setattr("cache.migrations.runner.MIGRATIONS", (MIGRATIONS[0], broken))
        with pytest.raises(Exception, match="no_such_table"):
            open_manager(register=False)
    after = read_rows(database)
    assert {table: rows[0] for table, rows in after.items()} == before
    open_manager(register=False)
    assert "api_usage" in read_rows(database)
