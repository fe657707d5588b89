"""Guarded SQL: what works, what is refused, and that each guard is what refuses it."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cache import sql_functions, sql_guard, sql_views
from cache.cache_manager import CacheManager, ClusterIdentity
from cache.sql_guard import QueryLimits, QueryResult, describe_schema, run_query
from cache.sql_size import expanded_size
from cache_fixtures import CLUSTER, START, Clock, api_object, delta, pods, scan, staged
from configuration.errors import CacheMissing, NeverScanned, NotPermitted, QueryRefused
from kinds.registry import KINDS

Query = Callable[..., QueryResult]


@pytest.fixture
def filled(manager: CacheManager) -> CacheManager:
    """Pods in two clusters; in the first also a service, and a pod and a change that are history."""
    manager.register_cluster(ClusterIdentity(cluster="other", uid="other-uid"))
    scan(manager, "pods", staged("pods", api_object("pods", "secret-1", "theirs")), cluster="other")
    scan(manager, "services", staged("services", api_object("services", "web", labels={"app.kubernetes.io/name": "web"})))
    scan(manager, "pods", pods(10))
    scan(manager, "pods", pods(9))
    return manager


@pytest.fixture
def query(filled: CacheManager, clock: Clock) -> Query:
    def run(sql: str, **limits: float) -> QueryResult:
        return run_query(filled.path, sql, cluster=CLUSTER, limits=QueryLimits(**limits), clock=clock)  # type: ignore[arg-type]

    return run


# --- what works


def test_a_select_answers_with_columns_rows_and_the_freshness_of_every_table(query: Query, clock: Clock) -> None:
    clock.now += 60
    result = query(
        "SELECT p.name AS pod, count(*) AS n FROM pods p JOIN containers c ON c.pod_uid = p.uid GROUP BY 1 ORDER BY 1 LIMIT 2"
    )
    assert result.columns == ("pod", "n")
    assert result.rows == [("web-00000", 2), ("web-00001", 2)]
    (freshness,) = result.freshness
    assert (freshness.kind, freshness.cluster, freshness.as_of, freshness.age_seconds) == ("pods", CLUSTER, START, 60)
    assert (freshness.fresh, freshness.complete, freshness.shown, freshness.more) == (True, True, 2, False)
    clock.now += 300
    assert query("SELECT count(*) FROM pods").freshness[0].fresh is False


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("-- how many?\nSELECT count(*) /* all */ FROM pods;", [(9,)]),
        ("WITH w AS (SELECT name FROM pods WHERE namespace = 'team-1') SELECT count(*) FROM w", [(2,)]),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n", [(15,)]),
        ("SELECT count(*) FROM all_pods", [(10,)]),
        ("SELECT DISTINCT cluster FROM all_pods ORDER BY 1", [(CLUSTER,), ("other",)]),
        ("SELECT count(*) FROM labels WHERE kind = 'pods' AND key = 'app' AND value = 'web'", [(9,)]),
        ("""SELECT labels->>'$."app.kubernetes.io/name"' FROM services""", [("web",)]),
        ("SELECT j.key FROM services, json_each(services.labels) j", [("app.kubernetes.io/name",)]),
        ("SELECT name FROM deleted_objects WHERE kind = 'pods'", [("web-00009",)]),
        ("SELECT datetime(created_at, 'unixepoch') FROM services", [("2026-01-02 03:04:05",)]),
        ("SELECT replace('aXbX', 'X', '--'), instr('hello', 'll'), instr('a', NULL)", [("a--b--", 3, None)]),
        ("SELECT name FROM clusters", [(CLUSTER,)]),
        ("SELECT ceil(1.2), floor(1.8), mod(7, 4), pow(2, 3), sqrt(9)", [(2.0, 1.0, 3.0, 8.0, 3.0)]),
        ("SELECT kind, item_count FROM cache_metadata ORDER BY 1", [("pods", 9), ("services", 1)]),
        ("SELECT rank() OVER (ORDER BY name) FROM services", [(1,)]),
    ],
)
def test_these_statements_work(sql: str, answer: list[tuple[object, ...]], query: Query) -> None:
    assert query(sql).rows == answer


def test_the_plain_names_show_the_chosen_cluster_only(filled: CacheManager) -> None:
    for table in ("pods", "containers", "labels", "clusters", "cache_metadata"):
        column = "name" if table == "clusters" else "cluster"
        found = run_query(filled.path, f"SELECT DISTINCT {column} FROM {table}", cluster="other").rows
        assert found == [("other",)], table


def test_the_top_level_workload_is_found_over_the_owners(manager: CacheManager) -> None:
    replicaset = api_object("replicasets", "web-abc", owner=("Deployment", "web", "d-uid"))
    owner = ("ReplicaSet", "web-abc", replicaset["metadata"]["uid"])
    scan(manager, "replicasets", staged("replicasets", replicaset))
    scan(manager, "jobs", [])
    owned = api_object("pods", "web-abc-1", owner=owner)
    bound = api_object("pods", "db-0", owner=("StatefulSet", "db", "s-uid"))
    scan(manager, "pods", staged("pods", owned, bound, api_object("pods", "alone")))
    found = run_query(manager.path, "SELECT pod, workload_kind, workload FROM pod_workloads ORDER BY 1", cluster=CLUSTER)
    assert found.rows == [("alone", "Pod", "alone"), ("db-0", "StatefulSet", "db"), ("web-abc-1", "Deployment", "web")]
    assert {envelope.kind for envelope in found.freshness} == {"pods", "replicasets", "jobs"}


# --- three kinds of nothing


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM nodes",
        "SELECT count(*) FROM all_nodes",
        "SELECT * FROM pods JOIN nodes ON nodes.name = pods.node",
        "WITH n AS (SELECT name FROM nodes) SELECT count(*) FROM n",
        "SELECT (SELECT count(*) FROM nodes)",
        "SELECT count(*) FROM pod_workloads",
        "SELECT count(*) FROM labels WHERE kind = 'nodes'",
        "SELECT count(*) FROM changes WHERE kind IN ('pods', 'nodes')",
    ],
)
def test_a_table_that_was_never_scanned_is_an_error_and_never_zero_rows(sql: str, query: Query) -> None:
    with pytest.raises(NeverScanned, match="never scanned"):
        query(sql)


def test_not_permitted_unknown_cluster_and_missing_file_are_said(filled: CacheManager, tmp_path: Path) -> None:
    filled.record_failure(CLUSTER, KINDS["nodes"], "nodes is forbidden", permitted=False)
    with pytest.raises(NotPermitted, match="nodes is forbidden"):
        run_query(filled.path, "SELECT count(*) FROM nodes", cluster=CLUSTER)
    with pytest.raises(NeverScanned, match=f"the cache holds: {CLUSTER}, other"):
        run_query(filled.path, "SELECT count(*) FROM pods", cluster="nowhere'")
    with pytest.raises(CacheMissing):
        run_query(tmp_path / "none.db", "SELECT 1", cluster=CLUSTER)


def test_a_table_over_all_clusters_names_the_clusters_that_it_misses(query: Query) -> None:
    first, missing = query("SELECT count(*) FROM all_services").freshness
    assert (first.cluster, first.complete) == (CLUSTER, True)
    assert (missing.cluster, missing.complete, missing.fresh) == ("other", False, False)
    assert "never scanned" in missing.note


def test_a_table_of_all_kinds_is_as_old_as_its_oldest_and_names_what_it_misses(
    query: Query, filled: CacheManager, clock: Clock
) -> None:
    clock.now += 100
    assert filled.apply(CLUSTER, [delta("services", until="100", checked_at=clock.now)])[0].applied
    (labels,) = query("SELECT count(*) FROM labels").freshness
    assert (labels.kind, labels.as_of, labels.complete) == ("labels", START, False)
    assert "pods" in labels.note
    assert "nodes" in labels.note


# --- what is refused

BYPASSES = {
    "the stored table": "SELECT * FROM main.pods",
    "a CTE with the name of the view": "WITH pods AS (SELECT * FROM main.pods) SELECT name FROM pods",
    "a CTE that is only counted": "WITH pods AS (SELECT * FROM main.pods) SELECT count(*) FROM pods",
    "a subquery with the name of the view": "SELECT name FROM (SELECT * FROM main.pods) AS pods",
    "counting the stored table": "SELECT count(*) FROM main.pods",
    "a table without a view": "SELECT * FROM refresh_requests",
    "counting a table without a view": "SELECT count(*) FROM kind_tables",
    "the schema": "SELECT sql FROM sqlite_master",
    "counting the schema": "SELECT count(*) FROM sqlite_master",
    "the schema, qualified": "SELECT name FROM main.sqlite_schema",
    "the names of the inner views": "SELECT name FROM sqlite_temp_master",
    "counting the inner views": "SELECT count(*) FROM sqlite_temp_schema",
    "pragma functions": "SELECT * FROM pragma_table_info('pods')",
    "a pragma function about files": "SELECT file FROM pragma_database_list",
    "virtual tables over pages": "SELECT * FROM dbstat",
    "a write behind a CTE": "WITH x AS (SELECT 1) DELETE FROM main.pods",
    "an insert behind a CTE": "WITH x AS (SELECT 1) INSERT INTO main.refresh_requests SELECT * FROM x",
    "an update behind a CTE": "WITH x AS (SELECT 1) UPDATE main.pods SET name = 'x'",
}


@pytest.mark.parametrize("sql", BYPASSES.values(), ids=BYPASSES)
def test_nothing_but_the_views_can_be_reached(sql: str, query: Query) -> None:
    with pytest.raises(QueryRefused):
        query(sql)


@pytest.mark.parametrize(
    "name",
    [
        "the stored table",
        "a CTE with the name of the view",
        "a table without a view",
        "the schema",
        "the names of the inner views",
    ],
)
def test_it_is_the_authorizer_that_holds_them_back(name: str, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_guard._Guard, "authorize", lambda *_: sqlite3.SQLITE_OK)
    assert query(BYPASSES[name]).columns


def test_the_random_names_hold_the_cte_back(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the inner views had names that one can know, a CTE of that name could read every cluster."""
    monkeypatch.setattr(sql_views.secrets, "token_hex", lambda _: "known")
    known = "WITH known_pods AS (SELECT * FROM main.pods) SELECT DISTINCT cluster FROM known_pods"
    assert ("other",) in query(known).rows
    monkeypatch.undo()
    with pytest.raises(QueryRefused):
        query(known)


@pytest.mark.parametrize(
    "sql",
    ["PRAGMA user_version", "ATTACH 'x.db' AS x", "VACUUM", "INSERT INTO pods (name) VALUES ('x')", "UPDATE pods SET name = 'x'",
     "DELETE FROM pods", "DROP TABLE pods", "CREATE TABLE t (a)", "BEGIN", "EXPLAIN SELECT 1", "VALUES (1)",
     "", "  -- nothing\n", "/* */;"],
)  # fmt: skip
def test_only_a_select_is_run(sql: str, query: Query) -> None:
    with pytest.raises(QueryRefused, match="only one SELECT"):
        query(sql)


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DELETE FROM pods", "SELECT 1;;--x\nDROP TABLE pods"])
def test_only_one_statement_is_run(sql: str, query: Query, filled: CacheManager) -> None:
    with pytest.raises(QueryRefused, match="only one statement"):
        query(sql)
    assert query("SELECT count(*) FROM pods").rows == [(9,)]


def test_no_statement_can_write_even_past_the_first_check_and_the_authorizer(
    query: Query, filled: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_guard, "_check_statement", lambda *_: None)
    for statement in ("DELETE FROM main.pods", "PRAGMA main.user_version=7", "ATTACH ':memory:' AS x", "DROP TABLE main.pods"):
        with pytest.raises(QueryRefused, match="only reading"):
            query(statement)
    monkeypatch.setattr(sql_guard._Guard, "authorize", lambda *_: sqlite3.SQLITE_OK)
    for statement in ("DELETE FROM main.pods", "DROP TABLE main.pods", "CREATE TABLE main.t (a)", "CREATE TEMP TABLE t (a)"):
        with pytest.raises(QueryRefused, match="readonly"):
            query(statement)


@pytest.mark.parametrize(
    "call",
    ["printf('%.*c', 2000000000, 'x')", "format('%.*c', 2000000000, 'x')", "zeroblob(2000000000)", "randomblob(2000000000)",
     "load_extension('/tmp/x.so')", "sqlite_source_id()", "hex('x')", "fts3_tokenizer('simple')", "random()",
     "sqlite_compileoption_get(1)"],
)  # fmt: skip
def test_functions_outside_the_list_are_refused_at_once(call: str, query: Query) -> None:
    started = time.monotonic()
    with pytest.raises(QueryRefused, match=r"not available|no such function|not authorized"):
        query(f"SELECT {call}")
    assert time.monotonic() - started < 1


def test_printf_is_held_back_by_the_function_list(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_functions, "ALLOWED", sql_functions.ALLOWED | {"printf"})
    assert query("SELECT printf('%.*c', 10, 'x')").rows == [("xxxxxxxxxx",)]


LONG = "WITH RECURSIVE d(x) AS (SELECT 'aaaaaaaa' UNION ALL SELECT x || x FROM d WHERE length(x) < {size}) SELECT max(x) FROM d"


@pytest.mark.parametrize(
    "sql",
    ["WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r",
     "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r WHERE x < 0",
     "SELECT count(*) FROM pods a, pods b, pods c, pods d, pods e, pods f, pods g, pods h, labels i, labels j"],
    ids=["recursion", "recursion without rows", "cross join"],
)  # fmt: skip
def test_a_runaway_is_stopped_in_time(sql: str, query: Query) -> None:
    started = time.monotonic()
    with pytest.raises(QueryRefused, match=r"stopped after 0\.3 s"):
        query(sql, timeout_seconds=0.3)
    assert time.monotonic() - started < 1.5


def doubling(steps: int, name: str = "x{}") -> str:
    names = [name.format(step) for step in range(steps + 1)]
    defined = [f"{after} AS (SELECT count(*) AS n FROM {before} a, {before} b)" for before, after in itertools.pairwise(names)]
    return f"WITH {names[0]} AS (SELECT name FROM pods), {', '.join(defined)} SELECT n FROM {names[-1]}"


@pytest.mark.parametrize("name", ["x{}", '"X{}"', "[x ( {}]", "`x{}`", "'x{}'", "'as{})'"])
def test_ctes_that_double_with_each_step_are_refused_before_they_are_prepared(name: str, query: Query) -> None:
    assert query(doubling(5, name)).rows == [(1,)]
    started = time.monotonic()
    for steps in (14, 40, 200):
        with pytest.raises(QueryRefused, match="uses its CTEs too many times"):
            query(doubling(steps, name))
    assert time.monotonic() - started < 5


def test_preparing_them_would_not_obey_the_time_limit(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_guard, "expanded_size", lambda *_: 0)
    started = time.monotonic()
    with contextlib.suppress(QueryRefused):
        query(doubling(13), timeout_seconds=0.1)
    assert time.monotonic() - started > 0.2


@pytest.mark.parametrize(
    ("sql", "size"),
    [
        ("SELECT 1", 2),
        ("SELECT 'WITH x AS (' -- pods", 2),
        ("SELECT * FROM pods", 23),
        ("WITH x AS (SELECT 1) SELECT * FROM x", 8),
        ("WITH x (a, b) AS NOT MATERIALIZED (SELECT 1) SELECT * FROM x, x", 12),
        ("WITH RECURSIVE r(i) AS (SELECT 1 UNION SELECT i FROM r) SELECT * FROM r", 14),
    ],
)
def test_the_size_of_a_statement_counts_every_copy_of_a_cte(sql: str, size: int) -> None:
    assert expanded_size(sql, {"pods": 20}) == size


def test_instr_and_replace_on_long_text_stay_within_the_time_limit(query: Query) -> None:
    long = "(" + LONG.format(size=500_000) + ")"
    started = time.monotonic()
    query(f"SELECT instr({long}, substr({long}, 1, 250000) || 'b')", timeout_seconds=2)
    query(f"SELECT length(replace({long}, substr({long}, 1, 250000) || 'b', ''))", timeout_seconds=2)
    assert time.monotonic() - started < 2


def test_sqlites_own_instr_would_not_stay_within_it(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_warm_up(connection: sqlite3.Connection, _: int) -> None:
        for name in sql_functions.TABLE_VALUED:
            connection.execute(f"SELECT 1 FROM {name}('[]')").fetchall()

    monkeypatch.setattr(sql_functions, "install", only_warm_up)
    long = "(" + LONG.format(size=500_000) + ")"
    started = time.monotonic()
    query(f"SELECT instr({long}, substr({long}, 1, 250000) || 'b')", timeout_seconds=0.2)
    assert time.monotonic() - started > 0.2


@pytest.mark.parametrize(
    "sql",
    [LONG.format(size=10_000_000),
     "SELECT replace(x, 'a', x) FROM (" + LONG.format(size=100_000).replace("max(x)", "max(x) AS x") + ")"],
    ids=["doubling", "replace"],
)  # fmt: skip
def test_a_value_cannot_grow_beyond_its_limit(sql: str, query: Query) -> None:
    with pytest.raises(QueryRefused, match="a value grew over 1000000 characters"):
        query(sql)


def test_rows_and_bytes_of_an_answer_are_limited_and_that_is_said(query: Query) -> None:
    result = query("SELECT name FROM pods ORDER BY name", max_rows=4)
    assert (len(result.rows), result.truncated, result.freshness[0].more) == (4, True, True)
    assert query("SELECT name FROM pods", max_rows=9).truncated is False
    result = query("SELECT annotations || labels || message FROM pods, labels", max_result_bytes=50)
    assert result.truncated or sum(len(str(row)) for row in result.rows) < 500
    result = query("SELECT uid FROM pods", max_result_bytes=100)
    assert (len(result.rows), result.truncated) == (2, True)


def test_a_statement_that_is_too_long_or_holds_nul_is_refused(query: Query) -> None:
    with pytest.raises(QueryRefused, match="at most 20000"):
        query("SELECT '" + "x" * 20_000 + "'")
    with pytest.raises(QueryRefused, match="NUL"):
        query("SELECT 1\0")


def test_manifests_and_keys_of_the_cache_itself_are_not_shown(query: Query) -> None:
    for column in ("manifest", "sort_key"):
        with pytest.raises(QueryRefused, match="no such column"):
            query(f"SELECT {column} FROM pods")
    assert not {"manifest", "sort_key"} & set(query("SELECT * FROM pods").columns)
    assert "manifest" not in query("SELECT * FROM deleted_objects").columns


def test_a_row_with_a_manifest_over_the_length_limit_is_readable(manager: CacheManager) -> None:
    import random

    large = staged("pods", api_object("pods", "web-1"))[0]
    noise = random.Random(1).randbytes(2_000_000)
    scan(manager, "pods", [type(large)(large.record, noise)])
    assert run_query(manager.path, "SELECT name, labels FROM pods", cluster=CLUSTER).rows[0][0] == "web-1"


# --- what errors say


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT * FROM podz", "did you mean pods"),
        ("SELECT * FROM pod", "did you mean pods"),
        ("SELECT * FROM po", "did you mean pods"),
        ("SELECT * FROM zzzzzzz", "the tables are: annotations"),
        ("SELECT restart FROM pods", "did you mean restarts"),
        ("SELECT p.namespce FROM pods p", "did you mean namespace"),
        ("SELECT coalesc(1, 2)", "did you mean coalesce"),
        ("SELECT name FROM pods WHERE", "SQLite: "),
        ("SELECT labels->>'app.kubernetes.io/name' FROM pods", "quote the key"),
        ("SELECT json_extract(labels, '$.app.kubernetes.io/name') FROM pods", "quote the key"),
    ],
)
def test_a_wrong_statement_is_told_what_would_be_right(sql: str, hint: str, query: Query) -> None:
    with pytest.raises(QueryRefused) as refused:
        query(sql)
    assert hint in str(refused.value)


def test_the_schema_describes_every_table_and_column_that_a_query_can_use(query: Query, filled: CacheManager) -> None:
    text, brief = describe_schema(KINDS.values()), describe_schema(KINDS.values(), brief=True)
    for kind in KINDS.values():
        assert f"\n{kind.name}(" in text
        for column in kind.columns:
            assert f"{column.name} {column.type}" in brief
            assert column.doc in text
        for side in kind.side_tables:
            assert f"\n{side.name}(cluster, {kind.kind.lower()}_uid text" in text
    assert len(brief) < len(text) / 2
    with closing(sqlite3.connect(filled.path)) as connection:
        stored = {table.name for table in sql_views.stored_tables(connection)}
    assert all(f"\n{table}(" in text or f"   {table}(" in text for table in stored)
