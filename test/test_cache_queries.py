"""The questions that people ask of 100,000 pods: each goes through an index, in the guarded form that really runs, and is quick.

The bounds on time are generous, for busy machines; script/benchmark measures.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cache.connection import connect_reader
from cache.match_text import search_first
from cache.sql_guard import run_query
from cache.sql_views import create_views
from cache_fixtures import CLUSTER, START
from large_cache import QUESTIONS, fill_large_cache

SECONDS = 1.0


@pytest.fixture(scope="session")
def large_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("large") / "cache.db"
    fill_large_cache(path)
    yield path
    path.unlink()


def plan(path: Path, sql: str) -> list[str]:
    """What SQLite does for the statement as `run_query` gives it to SQLite."""
    with closing(connect_reader(path)) as connection:
        create_views(connection, CLUSTER, sql)
        statement, _ = search_first(connection, sql)
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_goes_through_an_index_and_is_quick(name: str, large_cache: Path) -> None:
    question = QUESTIONS[name]
    steps = plan(large_cache, question.sql)
    assert all(any(index in step for step in steps) for index in question.indexes), steps
    reads = [step for step in steps if " main." in step]
    assert all(step.startswith("SEARCH") for step in reads), steps
    assert not any("(cluster=?)" in step for step in reads), f"all of a cluster is read: {steps}"
    times = []
    for _ in range(3):
        started = time.monotonic()
        result = run_query(large_cache, question.sql, cluster=CLUSTER)
        times.append(time.monotonic() - started)
    assert len(result.rows) == question.rows
    assert min(times) < SECONDS


def test_a_question_without_an_index_would_be_seen(large_cache: Path) -> None:
    assert plan(large_cache, "SELECT name FROM pods WHERE qos_class = 'Burstable'") == ["SCAN main.pods"]


def test_the_planner_would_choose_worse_without_the_stated_statistics(large_cache: Path) -> None:
    sql = QUESTIONS["image"].sql
    with closing(connect_reader(large_cache)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'pods'").fetchone()[0] > 5
        schema = connection.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'containers' AND sql IS NOT NULL").fetchall()
    with closing(sqlite3.connect(":memory:")) as bare:
        for (statement,) in schema:
            bare.execute(statement)
        steps = bare.execute(f"EXPLAIN QUERY PLAN {sql.replace('WHERE', f'WHERE cluster = {CLUSTER!r} AND')}").fetchall()
    assert not any("containers_by_image" in step[3] for step in steps)


def test_the_changes_of_a_window_are_a_range_of_an_index(large_cache: Path) -> None:
    steps = plan(large_cache, f"SELECT * FROM timeline WHERE at BETWEEN {START - 1200} AND {START} ORDER BY at")
    for index in ("changes_in_time_order", "objects_by_creation", "deleted_objects_by_creation", "deleted_objects_in_time_order"):
        assert any(index in step and ">?" in step for step in steps), steps
