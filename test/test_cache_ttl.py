"""When data is due, stale and gone; what cleanup removes."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import pytest

from cache import cleanup
from cache.cache_manager import CacheManager, ClusterIdentity
from cache.cache_reader import CacheReader
from cache.freshness import Freshness, envelope
from cache.refresh_requests import request_refresh
from cache.ttl_manager import TtlPolicy, is_due
from cache_fixtures import CLUSTER, START, Clock, api_object, count, pods, scan, staged
from configuration.errors import ConfigurationError, NeverScanned
from kinds.generic import generic_kind
from kinds.list_query import ListQuery
from kinds.registry import KINDS

PODS, NODES = KINDS["pods"], KINDS["nodes"]
CHECKED = Freshness(
    cluster="c", kind="pods", scope="", freshness_class="dynamic", resource_version="1", last_full_at=1000,
    last_checked_at=1000, ttl_seconds=300, expires_at=1300, item_count=1, complete=True, permitted=True, last_error=None,
    last_error_at=None, duration_ms=1, strategy="list", malformed=0,
)  # fmt: skip
GRACE = TtlPolicy(dynamic_ttl=300, static_ttl=1800, stale_grace=1000, history_retention=5000)


@pytest.mark.parametrize(
    ("freshness", "now", "due"),
    [
        (None, 0, True),
        (CHECKED, 1239, False),
        (CHECKED, 1240, True),
        (replace(CHECKED, last_checked_at=None, last_full_at=None), 1000, True),
        (replace(CHECKED, last_full_at=None), 1000, True),
        (CHECKED, 999, False),
        (CHECKED, 900, True),
    ],
    ids=["never looked at", "before 0.8", "at 0.8", "only failed", "unfinished first fill", "a second ahead", "clock set back"],
)
def test_a_kind_is_due_at_four_fifths_of_its_ttl(freshness: Freshness | None, now: int, due: bool) -> None:
    assert is_due(freshness, now) is due


@pytest.mark.parametrize(
    ("now", "reachable_at", "looking_since", "purged"),
    [
        (2299, 2299, 0, False),
        (2300, 2299, 0, True),
        (9000, None, 0, False),
        (9000, 8000, 0, False),
        (9000, 8999, 7701, False),
        (9000, 8999, 7700, True),
        (9000, 8000, -math.inf, False),
        (9000, 8999, -math.inf, True),
    ],
    ids=["within grace", "past grace", "never reached", "unreachable", "no time to look", "time enough", "away", "age alone"],
)
def test_old_rows_are_purged_only_while_the_cluster_answers_and_after_the_time_to_look(
    now: int, reachable_at: int | None, looking_since: float, purged: bool
) -> None:
    assert GRACE.may_purge(CHECKED, now, reachable_at=reachable_at, looking_since=looking_since) is purged


def test_each_class_has_its_ttl() -> None:
    assert {kind.name: GRACE.ttl_seconds(kind) for kind in (PODS, KINDS["namespaces"])} == {"pods": 300, "namespaces": 1800}


def test_freshness_ends_exactly_with_the_ttl() -> None:
    assert (CHECKED.is_fresh(1299), CHECKED.is_fresh(1300)) == (True, False)


def test_after_the_clock_was_set_back_nothing_counts_as_fresh() -> None:
    assert not CHECKED.is_fresh(1000 - 3600)
    assert "clock was set back" in envelope(CHECKED, 1000 - 3600, total=1, shown=1, more=False).note


def test_cleanup_purges_a_kind_that_is_no_longer_scanned_and_it_counts_as_never_scanned(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    manager = open_manager(policy=GRACE)
    scan(manager, "pods", pods(1200))
    clock.now += 1400
    scan(manager, "nodes", staged("nodes", api_object("nodes", "node-1")))
    scan(manager, "services", staged("services", api_object("services", "web")))
    report = manager.cleanup()
    assert (report.purged, report.rows) == ([(CLUSTER, "pods", "")], 1200)
    with CacheReader(manager.path, clock=clock) as reader:
        assert (count(reader, NODES), count(reader, KINDS["services"])) == (1, 1)
        with pytest.raises(NeverScanned):
            reader.list(CLUSTER, ListQuery(PODS))
    with closing(sqlite3.connect(manager.path)) as connection:
        assert connection.execute("SELECT (SELECT count(*) FROM pods), (SELECT count(*) FROM containers)").fetchone() == (0, 0)
        assert connection.execute("SELECT DISTINCT kind FROM labels").fetchall() == [("nodes",), ("services",)]


def test_what_is_scanned_while_a_cleanup_begins_is_not_purged(
    open_manager: Callable[..., CacheManager], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = open_manager(policy=GRACE)
    scan(manager, "pods", pods(3))
    clock.now += 1400
    scan(manager, "nodes", [])
    looked = cleanup._purgeable

    def looked_and_then_scanned(*arguments: object, **times: float) -> list[tuple[str, str, str]]:
        found = looked(*arguments, **times)  # type: ignore[arg-type]
        monkeypatch.setattr(cleanup, "_purgeable", looked)
        scan(manager, "pods", pods(3))
        return found

    monkeypatch.setattr(cleanup, "_purgeable", looked_and_then_scanned)
    assert manager.cleanup().purged == []
    with CacheReader(manager.path, clock=clock) as reader:
        assert count(reader, PODS) == 3


def test_cleanup_keeps_everything_while_the_cluster_does_not_answer(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    manager = open_manager(policy=GRACE)
    scan(manager, "pods", pods(3))
    clock.now += 100_000
    manager.record_failure(CLUSTER, PODS, "connection refused")
    assert manager.cleanup().purged == []
    again = open_manager(policy=GRACE, register=False)
    assert again.cleanup().purged == []
    with CacheReader(manager.path, clock=clock) as reader:
        assert count(reader, PODS) == 3


def test_history_is_kept_for_its_retention(open_manager: Callable[..., CacheManager], clock: Clock) -> None:
    manager = open_manager(policy=GRACE)
    scan(manager, "pods", staged("pods", api_object("pods", "web-1"), api_object("pods", "web-2")))
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", version=2, node="node-2")))
    clock.now = START + 5000
    report = manager.cleanup()
    assert (report.deleted_objects, report.changes) == (0, 0)
    clock.now += 1
    report = manager.cleanup()
    assert (report.deleted_objects, report.changes) == (1, 1)


def test_the_rows_of_a_namespace_are_purged_without_those_of_another(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    manager = open_manager(policy=GRACE)
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", "old")), scope="old")
    clock.now += 1400
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", "new")), scope="new")
    report = manager.cleanup()
    assert (report.purged, report.rows) == ([(CLUSTER, "pods", "old")], 1)
    with CacheReader(manager.path, clock=clock) as reader:
        assert [row["namespace"] for row in reader.list(CLUSTER, ListQuery(PODS)).rows] == ["new"]


def test_rows_that_a_killed_process_left_without_freshness_are_removed_by_the_next_cleanup(
    open_manager: Callable[..., CacheManager],
) -> None:
    manager = open_manager()
    scan(manager, "pods", pods(3))
    scan(manager, "nodes", staged("nodes", api_object("nodes", "node-1")))
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        connection.execute("DELETE FROM cache_metadata WHERE kind = 'pods'")
    assert manager.cleanup().rows == 3
    with closing(sqlite3.connect(manager.path)) as connection:
        for table, left in (("pods", 0), ("containers", 0), ("nodes", 1), ("labels", 1)):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (left,), table


def test_nothing_is_purged_between_a_start_and_ttl_and_grace_later_though_the_cluster_answers(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    """A scanner that was away has the time to list everything against its old rows: only so deletions are found."""
    first = open_manager(policy=GRACE)
    scan(first, "pods", pods(3))
    clock.now += 100_000
    again = open_manager(policy=GRACE, register=False)
    assert again.cleanup().purged == []
    for seconds, purged in ((1, []), (1298, []), (1, ["pods"])):  # TTL 300, grace 1000
        clock.now += seconds
        again.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="uid-of-kube-system"))
        assert [kind for _, kind, _ in again.cleanup().purged] == purged


def test_what_is_to_be_spared_is_not_purged(open_manager: Callable[..., CacheManager], clock: Clock) -> None:
    manager = open_manager(policy=GRACE)
    scan(manager, "pods", pods(3))
    clock.now += 1400
    scan(manager, "nodes", [])
    assert manager.cleanup(spare=lambda cluster, kind: (cluster, kind) == (CLUSTER, "pods")).purged == []
    assert manager.cleanup().purged == [(CLUSTER, "pods", "")]


def test_the_rows_of_a_kind_that_is_switched_off_go_after_their_grace(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    widgets = generic_kind("widgets.example.com", "example.com", "v1", "Widget", True)
    scan(open_manager(policy=GRACE), widgets, staged(widgets, api_object(widgets, "one")))
    clock.now += 1400
    manager = open_manager(policy=GRACE)
    clock.now += 4000
    scan(manager, "nodes", [])
    report = manager.cleanup()
    assert (report.purged, report.rows) == ([(CLUSTER, "widgets.example.com", "")], 1)
    with closing(sqlite3.connect(manager.path)) as connection:
        for name in ("widgets.example.com", "labels"):
            assert connection.execute(f'SELECT count(*) FROM "{name}"').fetchone() == (0,), name


def test_a_cluster_that_is_forgotten_leaves_nothing_and_takes_nothing_of_another(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    manager = open_manager()
    manager.register_cluster(ClusterIdentity(cluster="old", uid="another uid"))
    for cluster in (CLUSTER, "old"):
        scan(manager, "pods", pods(700), cluster=cluster)
        scan(manager, "pods", pods(600), cluster=cluster, version="200")
        manager.record_usage(cluster, clock.now, {"list": (1, 100)})
        request_refresh(manager.path, cluster=cluster, kind="pods", clock=clock)
    assert manager.forget_cluster("old") == 600
    with closing(sqlite3.connect(manager.path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        having = [
            name for name in tables if any(row[1] == "cluster" for row in connection.execute(f'PRAGMA table_info("{name}")'))
        ]
        assert len(having) > 30
        for name in [*having, "clusters"]:
            key = "name" if name == "clusters" else "cluster"
            assert connection.execute(f"SELECT count(*) FROM \"{name}\" WHERE {key} = 'old'").fetchone() == (0,), name
        assert connection.execute("SELECT (SELECT count(*) FROM pods), (SELECT count(*) FROM deleted_objects)").fetchone() == (
            600,
            100,
        )
    with pytest.raises(ConfigurationError, match=f"holds no cluster 'old'; those that it holds: {CLUSTER}"):
        manager.forget_cluster("old")
