"""What readers get: rows, order, pages, filters, freshness, and three kinds of nothing."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.dialects import sqlite

from cache.cache_manager import CacheManager, ClusterIdentity
from cache.cache_reader import CacheReader
from cache.kind_tables import kind_tables
from cache.list_statements import page_statement, total_statement
from cache_fixtures import CLUSTER, START, Clock, api_object, delta, pods, scan, staged
from configuration.errors import InvalidArguments, NeverScanned, NotPermitted
from kinds import label_selector
from kinds.kind import row
from kinds.list_query import ListQuery
from kinds.record import sort_key
from kinds.registry import KINDS
from kinds.times import to_rfc3339

PODS = KINDS["pods"]


def test_pages_follow_each_other_in_the_api_servers_order(manager: CacheManager, reader: CacheReader) -> None:
    names = [("a", "web"), ("a", "web-1"), ("a-b", "web"), ("a.b", "web"), ("ab", "web"), ("b", "a")]
    page = staged("pods", *(api_object("pods", name, namespace) for namespace, name in names))
    random.Random(1).shuffle(page)
    scan(manager, "pods", page)
    seen, token = [], ""
    while True:
        answer = reader.list(CLUSTER, ListQuery(PODS, limit=2, continue_token=token))
        seen += [(found["namespace"], found["name"]) for found in answer.rows]
        assert answer.envelope.total == 6
        assert answer.envelope.more is bool(answer.continue_token)
        token = answer.continue_token
        if not token:
            break
        assert token.startswith("c1.")
    assert seen == sorted(names, key=lambda name: sort_key(*name))
    assert seen != sorted(names)


def test_a_namespace_is_exactly_that_namespace(manager: CacheManager, reader: CacheReader) -> None:
    page = staged("pods", *(api_object("pods", "web", namespace) for namespace in ("a", "a-b", "a0", "ab", "a.b")))
    scan(manager, "pods", page)
    answer = reader.list(CLUSTER, ListQuery(PODS, namespace="a"))
    assert [(found["namespace"], answer.envelope.total) for found in answer.rows] == [("a", 1)]


@pytest.mark.parametrize(
    "selector",
    ["tier=web", "tier!=web", "tier in (web,db)", "tier notin (web,db)", "tier", "!tier", "tier=web,app", "tier=", "x=y"],
)
def test_label_selectors_select_what_kubernetes_would(selector: str, manager: CacheManager, reader: CacheReader) -> None:
    labels = [{}, {"tier": "web"}, {"tier": "db"}, {"tier": ""}, {"tier": "cache", "app": "x"}, {"app": "x"}]
    page = staged("pods", *(api_object("pods", f"web-{i}", labels=found) for i, found in enumerate(labels)))
    scan(manager, "pods", page)
    requirements = label_selector.parse(selector)
    wanted = [row(PODS, item.record) for item in page if label_selector.matches(requirements, item.record.labels)]
    answer = reader.list(CLUSTER, ListQuery(PODS, selector=selector))
    assert answer.rows == wanted
    assert answer.envelope.total == len(wanted)


def test_labels_of_other_kinds_do_not_select(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", uid="same", labels={})))
    scan(manager, "services", staged("services", api_object("services", "web", uid="same", labels={"tier": "web"})))
    assert reader.list(CLUSTER, ListQuery(PODS, selector="tier=web")).rows == []


@pytest.mark.parametrize(
    "filters",
    [
        {"healthy": True},
        {"healthy": False},
        {"node": "node-2"},
        {"node": "NODE-2"},
        {"status": "Failed", "node": "node-1"},
        {"status": "fAILED"},
        {"phase": "running"},
        {"status": "F%"},
        {"status": "Éteint"},
        {"status": "éteint"},
        {"status": "ÉTEINT"},
    ],
)
def test_filters_select_the_rows_that_a_live_read_would(
    filters: dict[str, str | bool], manager: CacheManager, reader: CacheReader
) -> None:
    page = staged(
        "pods",
        api_object("pods", "web-1"),
        api_object("pods", "web-2", node="node-2"),
        api_object("pods", "web-3", phase="Failed", status={"containerStatuses": []}),
        api_object("pods", "web-4", phase="Failed", status={"containerStatuses": [], "reason": "Éteint"}),
    )
    scan(manager, "pods", page)
    query = ListQuery(PODS, filters=filters)
    assert reader.list(CLUSTER, query).rows == [row(PODS, item.record) for item in page if query.accepts(item.record)]


@pytest.mark.parametrize("asked", ["failed", "FAILED", "Failed"])
def test_a_status_is_found_in_any_case(asked: str, manager: CacheManager, reader: CacheReader) -> None:
    page = staged("pods", api_object("pods", "up"), api_object("pods", "down", phase="Failed", status={"containerStatuses": []}))
    scan(manager, "pods", page)
    answer = reader.list(CLUSTER, ListQuery(PODS, filters={"status": asked}))
    assert [(one["name"], one["status"]) for one in answer.rows] == [("down", "Failed")]
    assert answer.envelope.total == 1


@pytest.mark.parametrize(
    "token",
    ["c1.", "c1.!!!", "c1.AAAA", "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", "c1." + "A" * 40],
    ids=["empty", "no base64", "short", "live", "foreign"],
)
def test_a_token_that_is_not_of_this_list_is_an_error_that_says_what_to_do(
    token: str, manager: CacheManager, reader: CacheReader
) -> None:
    scan(manager, "pods", pods(3))
    with pytest.raises(InvalidArguments, match="continue token"):
        reader.list(CLUSTER, ListQuery(PODS, continue_token=token))


def test_a_token_of_another_list_is_refused(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(3))
    token = reader.list(CLUSTER, ListQuery(PODS, limit=1)).continue_token
    with pytest.raises(InvalidArguments, match="another list"):
        reader.list(CLUSTER, ListQuery(PODS, namespace="team-1", continue_token=token))


def test_the_envelope_tells_age_and_staleness(manager: CacheManager, reader: CacheReader, clock: Clock) -> None:
    scan(manager, "pods", pods(3))
    clock.now += 100
    fresh = reader.list(CLUSTER, ListQuery(PODS, limit=2)).envelope
    assert (fresh.source, fresh.as_of, fresh.age_seconds, fresh.ttl_seconds) == ("cache", START, 100, 300)
    assert (fresh.fresh, fresh.complete, fresh.total, fresh.shown, fresh.more) == (True, True, 3, 2, True)
    clock.now += 200
    manager.record_failure(CLUSTER, PODS, "connection refused")
    stale = reader.list(CLUSTER, ListQuery(PODS)).envelope
    assert (stale.fresh, stale.complete, stale.age_seconds) == (False, True, 300)
    assert "connection refused" in stale.note


def test_data_counts_as_of_the_beginning_of_its_scan(manager: CacheManager, reader: CacheReader, clock: Clock) -> None:
    with manager.stage(CLUSTER, PODS) as staging:
        clock.now += 30
        staging.add(pods(1))
        staging.finish(resource_version="1")
    assert reader.list(CLUSTER, ListQuery(PODS)).envelope.as_of == START


def test_empty_never_scanned_and_not_permitted_are_three_answers(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "services", [])
    empty = reader.list(CLUSTER, ListQuery(KINDS["services"]))
    assert (empty.rows, empty.envelope.total, empty.envelope.complete) == ([], 0, True)
    with pytest.raises(NeverScanned, match="never scanned"):
        reader.list(CLUSTER, ListQuery(PODS))
    manager.record_failure(CLUSTER, PODS, "pods is forbidden", permitted=False)
    with pytest.raises(NotPermitted, match="pods is forbidden"):
        reader.list(CLUSTER, ListQuery(PODS))
    manager.record_failure(CLUSTER, KINDS["nodes"], "timed out")
    with pytest.raises(NeverScanned, match="timed out"):
        reader.get(CLUSTER, KINDS["nodes"], None, "node-1")
    with pytest.raises(NeverScanned, match=f"the cache holds: {CLUSTER}"):
        reader.list("nowhere", ListQuery(PODS))


def test_what_may_no_longer_be_listed_is_stale_and_says_why(manager: CacheManager, reader: CacheReader, clock: Clock) -> None:
    scan(manager, "pods", pods(1))
    clock.now += 1000
    manager.record_failure(CLUSTER, PODS, "forbidden", permitted=False)
    envelope = reader.list(CLUSTER, ListQuery(PODS)).envelope
    assert (envelope.fresh, envelope.total) == (False, 1)
    assert "may no longer list" in envelope.note


def test_what_is_no_longer_served_is_not_fresh_and_nobody_says_that_it_was_deleted(
    manager: CacheManager, reader: CacheReader, clock: Clock
) -> None:
    scan(manager, "pods", pods(7))
    scan(manager, "services", [])
    clock.now += 60
    manager.record_failure(CLUSTER, PODS, "")  # what a scan leaves that was answered with 404
    manager.record_failure(CLUSTER, KINDS["nodes"], "")
    envelope = reader.list(CLUSTER, ListQuery(PODS)).envelope
    assert (envelope.fresh, envelope.total, envelope.age_seconds) == (False, 7, 60)
    assert f"did not serve pods at the last scan ({to_rfc3339(int(clock.now))})" in envelope.note
    assert reader.list(CLUSTER, ListQuery(KINDS["services"])).envelope.fresh
    clock.now += 1000
    assert "did not serve pods" in reader.list(CLUSTER, ListQuery(PODS)).envelope.note, "it is not for lack of a scanner"
    with pytest.raises(NeverScanned, match="did not serve the kind"):
        reader.list(CLUSTER, ListQuery(KINDS["nodes"]))
    scan(manager, "pods", pods(7))
    assert reader.list(CLUSTER, ListQuery(PODS)).envelope.note == ""


def test_what_was_listed_before_the_rights_narrowed_is_as_old_as_it_is(
    manager: CacheManager, reader: CacheReader, clock: Clock
) -> None:
    scan(manager, "pods", pods(10))
    clock.now += 43_200
    manager.record_failure(CLUSTER, PODS, "forbidden", permitted=False)
    scan(manager, "pods", staged("pods", api_object("pods", "web-00000", "team-0")), scope="team-0")
    own = reader.list(CLUSTER, ListQuery(PODS, namespace="team-0")).envelope
    assert (own.fresh, own.complete, own.age_seconds, own.total) == (True, True, 0, 1)
    other = reader.list(CLUSTER, ListQuery(PODS, namespace="team-1")).envelope
    assert (other.fresh, other.age_seconds, other.total) == (False, 43_200, 2)
    assert "may no longer list" in other.note
    everywhere = reader.list(CLUSTER, ListQuery(PODS)).envelope
    assert (everywhere.fresh, everywhere.complete, everywhere.age_seconds, everywhere.total) == (False, False, 43_200, 9)
    assert "may no longer list" in everywhere.note


def test_a_namespace_that_never_could_be_listed_is_not_permitted_rather_than_empty(
    manager: CacheManager, reader: CacheReader
) -> None:
    manager.record_failure(CLUSTER, PODS, "pods is forbidden", permitted=False)
    scan(manager, "pods", pods(1), scope="team-0")
    with pytest.raises(NotPermitted, match="pods is forbidden"):
        reader.list(CLUSTER, ListQuery(PODS, namespace="team-1"))
    with pytest.raises(NotPermitted, match="pods is forbidden"):
        reader.get(CLUSTER, PODS, "team-1", "web-1")
    everywhere = reader.list(CLUSTER, ListQuery(PODS)).envelope
    assert (everywhere.fresh, everywhere.complete, everywhere.total) == (True, False, 1)


def test_all_rows_together_are_as_old_as_those_of_a_namespace_that_may_no_longer_be_listed(
    manager: CacheManager, reader: CacheReader, clock: Clock
) -> None:
    for namespace in ("a", "b"):
        scan(manager, "pods", staged("pods", api_object("pods", "web", namespace)), scope=namespace)
    clock.now += 3600
    manager.record_failure(CLUSTER, PODS, "forbidden", permitted=False, scope="b")
    scan(manager, "pods", staged("pods", api_object("pods", "web", "a")), scope="a")
    ages = {name: reader.list(CLUSTER, ListQuery(PODS, namespace=name)).envelope.age_seconds for name in ("a", "b", None)}
    assert ages == {"a": 0, "b": 3600, None: 3600}


def test_an_object_that_does_not_exist_is_said_as_of_the_scan(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(1))
    found = reader.get(CLUSTER, PODS, "team-0", "nothing")
    assert (found.manifest, found.row, found.envelope.total, found.envelope.as_of) == (None, None, 0, START)
    with pytest.raises(InvalidArguments, match="namespace"):
        reader.get(CLUSTER, PODS, None, "web-00000")


def test_a_check_renews_freshness_without_touching_rows(manager: CacheManager, reader: CacheReader, clock: Clock) -> None:
    scan(manager, "pods", pods(1))
    clock.now += 500
    manager.record_failure(CLUSTER, PODS, "timed out")
    manager.apply(CLUSTER, [delta(PODS, strategy="check", checked_at=clock.now)])
    freshness = reader.freshness(CLUSTER, PODS)
    assert freshness is not None
    assert (freshness.last_full_at, freshness.last_checked_at, freshness.resource_version) == (START, START + 500, "200")
    assert (freshness.is_fresh(clock.now), freshness.last_error, freshness.age_seconds(clock.now + 7)) == (True, None, 7)


def test_clusters_and_all_freshness_can_be_listed(manager: CacheManager, reader: CacheReader) -> None:
    manager.register_cluster(ClusterIdentity(cluster="other", uid="u", server_version="v1.36.0", api_server="https://10.0.0.1"))
    scan(manager, "pods", pods(1), cluster="other")
    assert [(found.cluster, found.server_version) for found in reader.clusters()] == [(CLUSTER, ""), ("other", "v1.36.0")]
    assert [found.cluster for found in reader.freshness_all()] == ["other"]
    assert reader.freshness_all(CLUSTER) == []
    assert reader.freshness(CLUSTER, PODS) is None


@pytest.mark.parametrize(
    "query",
    [ListQuery(PODS), ListQuery(PODS, namespace="team-1"), ListQuery(PODS, selector="app=web")],
    ids=["all", "namespace", "labels"],
)
def test_a_page_is_a_range_of_the_name_order_index_without_a_sort(query: ListQuery, manager: CacheManager) -> None:
    scan(manager, "pods", pods(500))
    table = kind_tables(PODS).main
    statement = page_statement(table, CLUSTER, query, PODS.list_columns, after=b"team-1/web-00006")
    compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
    with closing(sqlite3.connect(manager.path)) as connection:
        parameters = [compiled.params[name] for name in compiled.positiontup or ()]
        plan = " | ".join(found[3] for found in connection.execute(f"EXPLAIN QUERY PLAN {compiled}", parameters))
    assert "USING INDEX pods_in_name_order (cluster=? AND sort_key>?" in plan
    assert "TEMP B-TREE" not in plan


def test_a_status_in_any_case_is_found_through_its_index(manager: CacheManager) -> None:
    scan(manager, "pods", pods(500))
    counted = total_statement(kind_tables(PODS).main, CLUSTER, ListQuery(PODS, filters={"status": "running"}))
    compiled = counted.compile(dialect=sqlite.dialect())
    with closing(sqlite3.connect(manager.path)) as connection:
        parameters = [compiled.params[name] for name in compiled.positiontup or ()]
        plan = [found[3] for found in connection.execute(f"EXPLAIN QUERY PLAN {compiled}", parameters)]
    assert "SEARCH pods USING COVERING INDEX pods_by_status (cluster=? AND status=?)" in plan
    assert not [step for step in plan if step.startswith("SCAN")]


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("cluster = 'c' AND node = 'n'", "pods_by_node"),
        ("cluster = 'c' AND owner_uid = 'u'", "pods_by_owner_uid"),
        ("cluster = 'c' AND status = 's'", "pods_by_status"),
    ],
)
def test_indexed_columns_are_found_through_their_index(condition: str, index: str, manager: CacheManager) -> None:
    with closing(sqlite3.connect(manager.path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT name FROM pods WHERE {condition}").fetchall()
    assert index in plan[0][3]


def test_a_label_is_found_through_an_index_both_ways(manager: CacheManager) -> None:
    with closing(sqlite3.connect(manager.path)) as connection:
        for condition, index in (("key = 'k' AND value = 'v'", "labels_by_value"), ("uid = 'u'", "PRIMARY KEY")):
            sql = f"EXPLAIN QUERY PLAN SELECT uid FROM labels WHERE cluster = 'c' AND kind = 'pods' AND {condition}"
            assert index in connection.execute(sql).fetchall()[0][3]
