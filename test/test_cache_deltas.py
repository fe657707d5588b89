"""What a watch tells, written into the cache."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.cache_manager import CacheManager, ClusterIdentity, Delta, DeltaOutcome, ObjectChange, Staged
from cache.cache_reader import CacheReader
from cache.connection import connect_writer, immediate
from cache.delta_apply import DeltaApply
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, START, Clock, api_object, delta, pods, scan, staged
from configuration.errors import CacheError
from kinds.registry import KINDS

PODS = KINDS["pods"]


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_events_change_what_is_stored_and_advance_the_resource_version(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", staged("pods", *(api_object("pods", f"web-{i}") for i in range(3))))
    clock.now += 60
    changes = delta(
        "pods",
        ("ADDED", api_object("pods", "web-9", version=2)),
        ("MODIFIED", api_object("pods", "web-0", version=3, node="node-9", labels={"app": "web", "tier": "b"})),
        ("DELETED", api_object("pods", "web-1", version=4, restarts=7)),
    )
    (outcome,) = manager.apply(CLUSTER, [changes])
    assert outcome == DeltaOutcome("pods", "", True, added=1, changed=1, removed=1, total=3)
    assert query(manager.path, "SELECT name, node, first_seen_at FROM pods ORDER BY name") == [
        ("web-0", "node-9", START),
        ("web-2", "node-1", START),
        ("web-9", "node-1", START + 60),
    ]
    assert query(manager.path, "SELECT count(*) FROM containers") == [(6,)]
    assert query(
        manager.path, "SELECT name, first_seen_at, deleted_at, json_extract(row, '$.restarts') FROM deleted_objects"
    ) == [("web-1", START, START + 60, 7)]
    assert query(manager.path, "SELECT name, field, old, new, seen_at, resource_version, manager FROM changes ORDER BY id") == [
        ("web-0", "labels.tier", None, "b", START + 60, "3", "kubectl"),
        ("web-0", "node", "node-1", "node-9", START + 60, "3", "kubectl"),
    ]
    freshness = "SELECT resource_version, last_checked_at, last_full_at, expires_at, item_count, strategy FROM cache_metadata"
    assert query(manager.path, freshness) == [("200", START + 60, START, START + 360, 3, "follow")]


def test_events_of_one_object_are_history_each(manager: CacheManager) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", restarts=0)))
    moves = [api_object("pods", "web-1", version=version, node=f"node-{version}") for version in (2, 3, 4)]
    (outcome,) = manager.apply(CLUSTER, [delta("pods", *(("MODIFIED", obj) for obj in moves))])
    assert (outcome.changed, outcome.total) == (3, 1)
    assert query(manager.path, "SELECT old, new, resource_version FROM changes WHERE field = 'node' ORDER BY id") == [
        ("node-1", "node-2", "2"),
        ("node-2", "node-3", "3"),
        ("node-3", "node-4", "4"),
    ]


def test_an_object_that_came_and_went_is_in_the_history_alone(manager: CacheManager) -> None:
    scan(manager, "pods", [])
    brief = api_object("pods", "web-1", version=2)
    (outcome,) = manager.apply(CLUSTER, [delta("pods", ("ADDED", brief), ("DELETED", brief), ("DELETED", brief))])
    assert outcome == DeltaOutcome("pods", "", True, added=1, removed=1, total=0)
    assert query(manager.path, "SELECT name, manifest IS NOT NULL FROM deleted_objects") == [("web-1", 1)]
    for table in ("pods", "containers", "labels"):
        assert query(manager.path, f"SELECT count(*) FROM {table}") == [(0,)], table


def test_another_uid_under_the_same_name_replaces_the_object(manager: CacheManager) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "db-0", uid="old")))
    (outcome,) = manager.apply(CLUSTER, [delta("pods", ("ADDED", api_object("pods", "db-0", uid="new", version=5)))])
    assert (outcome.added, outcome.removed, outcome.total) == (1, 1, 1)
    assert query(manager.path, "SELECT uid FROM pods") == [("new",)]
    assert query(manager.path, "SELECT uid FROM deleted_objects") == [("old",)]


def test_an_object_that_cannot_be_read_keeps_its_row_until_it_is_deleted(manager: CacheManager) -> None:
    known = api_object("pods", "web-1")
    scan(manager, "pods", staged("pods", known))
    uid = known["metadata"]["uid"]
    unread = [ObjectChange("MODIFIED", None, uid, None), ObjectChange("ADDED", None, "unknown", None)]
    (outcome,) = manager.apply(CLUSTER, [replace(delta("pods"), changes=unread)])
    assert outcome == DeltaOutcome("pods", "", True, total=1)
    gone = [ObjectChange("DELETED", None, uid, None)]
    (outcome,) = manager.apply(CLUSTER, [replace(delta("pods", since="200", until="201"), changes=gone)])
    assert (outcome.removed, outcome.total) == (1, 0)
    assert query(manager.path, "SELECT uid, resource_version, manifest IS NOT NULL FROM deleted_objects") == [(uid, "1", 1)]


def test_an_object_that_cannot_be_stored_costs_only_itself(manager: CacheManager) -> None:
    scan(manager, "pods", pods(2))
    odd = PODS.read(api_object("pods", "odd-1", labels={"app": object()}))
    huge = PODS.read(api_object("pods", "huge-1", restarts=2**70))
    events = [ObjectChange("ADDED", Staged(record, b"{}"), record.uid, None) for record in (odd, huge)]
    (outcome,) = manager.apply(CLUSTER, [replace(delta("pods"), changes=events)])
    assert (outcome.applied, outcome.added, outcome.total) == (True, 1, 3)
    assert query(manager.path, "SELECT restarts FROM containers WHERE pod = 'huge-1' AND name = 'app'") == [(None,)]


def test_a_delta_that_does_not_fit_is_refused_with_the_reason_and_the_others_are_applied(manager: CacheManager) -> None:
    scan(manager, "pods", pods(2), redaction="v1/key")
    scan(manager, "services", [], version="")
    scan(manager, "nodes", [])
    manager.record_failure(CLUSTER, KINDS["jobs"], "it does not answer")
    pod = ("ADDED", api_object("pods", "web-9", version=2))
    before = query(manager.path, "SELECT * FROM cache_metadata WHERE kind <> 'nodes'")
    outcomes = manager.apply(
        CLUSTER,
        [
            delta("pods", pod, since="99", redaction="v1/key"),
            delta("pods", pod, redaction="v2/key"),
            delta("pods", pod, scope="default", redaction="v1/key"),
            delta("services", ("ADDED", api_object("services", "web")), since=""),
            delta("jobs", since=""),
            delta("cronjobs"),
            delta("nodes", ("ADDED", api_object("nodes", "node-1", version=2))),
        ],
    )
    refused = [(outcome.kind, outcome.why) for outcome in outcomes if not outcome.applied]
    assert refused == [
        ("pods", "conflict"),
        ("pods", "redaction"),
        ("pods", "never listed"),
        ("services", "conflict"),
        ("jobs", "never listed"),
        ("cronjobs", "never listed"),
    ]
    assert query(manager.path, "SELECT * FROM cache_metadata WHERE kind <> 'nodes'") == before
    assert query(manager.path, "SELECT (SELECT count(*) FROM pods), (SELECT count(*) FROM nodes)") == [(2, 1)]


def test_only_the_first_of_two_deltas_for_the_same_scope_is_applied(manager: CacheManager) -> None:
    scan(manager, "pods", [])
    first, second = (delta("pods", ("ADDED", api_object("pods", f"web-{i}")), until=f"20{i}") for i in (1, 2))
    assert [outcome.why for outcome in manager.apply(CLUSTER, [first, second])] == ["", "conflict"]


def test_a_delta_of_an_unknown_cluster_was_never_listed(manager: CacheManager) -> None:
    assert [outcome.why for outcome in manager.apply("unknown", [delta("pods")])] == ["never listed"]


def test_a_list_that_was_under_way_refuses_its_swap(manager: CacheManager) -> None:
    scan(manager, "pods", pods(3))
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(pods(3))
        (outcome,) = manager.apply(CLUSTER, [delta("pods", ("ADDED", api_object("pods", "web-9", version=2)))])
        assert outcome.applied
        with pytest.raises(CacheError, match="scan again"):
            staging.finish(resource_version="150")
    assert query(manager.path, "SELECT count(*), (SELECT resource_version FROM cache_metadata) FROM pods") == [(4, "200")]


@pytest.mark.parametrize("cut_in", ["a list", "another cluster"])
def test_what_ends_between_reading_and_writing_refuses_the_delta(cut_in: str, manager: CacheManager) -> None:
    scan(manager, "pods", pods(3))
    change = delta("pods", ("ADDED", api_object("pods", "web-9", version=2)))
    with closing(connect_writer(manager.path)) as connection:

        @contextmanager
        def late(connection: sqlite3.Connection) -> Iterator[None]:
            if cut_in == "another cluster":
                manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="another"))
            scan(manager, "pods", pods(2))
            with immediate(connection):
                yield

        (outcome,) = DeltaApply(connection, CLUSTER, late, TtlPolicy()).run([change], now=START, started_at=START)
    assert (outcome.applied, outcome.why) == (False, "conflict" if cut_in == "a list" else "never listed")
    assert query(manager.path, "SELECT count(*), (SELECT item_count FROM cache_metadata) FROM pods") == [(2, 2)]


def test_a_list_of_one_namespace_ends_what_deltas_of_the_whole_cluster_build_on(manager: CacheManager) -> None:
    scan(manager, "pods", pods(3))
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", "a")), scope="a", version="120")
    (whole, part) = manager.apply(
        CLUSTER, [delta("pods", ("ADDED", api_object("pods", "web-9"))), delta("pods", scope="a", since="120")]
    )
    assert (whole.why, part.applied, part.total) == ("conflict", True, 1)


def test_a_delta_of_a_namespace_counts_that_namespace(manager: CacheManager) -> None:
    for namespace in ("a", "b"):
        scan(manager, "pods", staged("pods", api_object("pods", "web-1", namespace)), scope=namespace)
    events = [("ADDED", api_object("pods", "web-2", "a", version=2)), ("DELETED", api_object("pods", "web-1", "a", version=3))]
    (outcome,) = manager.apply(CLUSTER, [delta("pods", *events, ("ADDED", api_object("pods", "web-3", "a")), scope="a")])
    assert (outcome.scope, outcome.total) == ("a", 2)
    assert query(manager.path, "SELECT scope, item_count FROM cache_metadata") == [("a", 2), ("b", 1)]


def test_what_fails_in_one_kind_leaves_all_kinds_as_they_were(manager: CacheManager) -> None:
    scan(manager, "pods", pods(2))
    scan(manager, "services", [])
    with closing(sqlite3.connect(manager.path)) as connection:
        connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON services BEGIN SELECT RAISE(ABORT, 'no'); END")
    deltas = [delta(kind, ("ADDED", api_object(kind, "web-9", version=2))) for kind in ("pods", "services")]
    with pytest.raises(CacheError, match="no"):
        manager.apply(CLUSTER, deltas)
    assert query(manager.path, "SELECT count(*) FROM pods") == [(2,)]
    assert query(manager.path, "SELECT DISTINCT resource_version, strategy FROM cache_metadata") == [("100", "list")]


def test_the_last_check_never_moves_backwards_and_an_error_is_over(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", [])
    manager.record_failure(CLUSTER, PODS, "it did not answer", permitted=False)
    columns = "SELECT last_checked_at, expires_at, strategy, permitted, last_error, last_error_at FROM cache_metadata"
    for at, until in ((START + 50.7, START + 50), (START + 20.0, START + 50)):
        assert manager.apply(CLUSTER, [delta("pods", until="100", checked_at=at, strategy="check")])[0].applied
        assert query(manager.path, columns) == [(until, until + 300, "check", 1, None, None)]


def test_a_cluster_that_is_followed_counts_as_reachable(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", [])
    clock.now += 1000
    manager.apply(CLUSTER, [delta("pods", until="100", checked_at=START + 990)])
    assert query(manager.path, "SELECT last_success_at FROM clusters") == [(START + 990,)], "when it was heard"


def test_a_watch_that_nothing_came_from_makes_nothing_reachable_and_ends_no_failure(manager: CacheManager, clock: Clock) -> None:
    """As when a computer wakes up after two days and has no network yet."""
    scan(manager, "pods", pods(3))
    scan(manager, "nodes", [])
    assert manager.apply(CLUSTER, [delta("nodes", checked_at=START + 5, until="100")])[0].applied
    clock.now += 2 * 86_400
    manager.record_failure(CLUSTER, KINDS["nodes"], "it did not answer", permitted=False)
    for silent in (START + 5, 0):
        assert manager.apply(CLUSTER, [delta("nodes", since="100", checked_at=silent, until="100")])[0].applied
    assert manager.cleanup().purged == []
    assert query(manager.path, "SELECT count(*) FROM pods") == [(3,)]
    failure = "SELECT permitted, last_error, last_error_at, last_checked_at FROM cache_metadata WHERE kind = 'nodes'"
    assert query(manager.path, failure) == [(0, "it did not answer", clock.now, START + 5)]
    assert query(manager.path, "SELECT last_success_at FROM clusters") == [(START,)]
    clock.now += 60
    manager.apply(CLUSTER, [delta("nodes", since="100", checked_at=clock.now - 1, until="100")])
    assert query(manager.path, failure) == [(1, None, None, clock.now - 1)]
    assert query(manager.path, "SELECT last_success_at FROM clusters") == [(clock.now - 1,)]


def test_what_was_heard_before_a_failure_does_not_end_it(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", pods(3))
    clock.now += 60
    manager.record_failure(CLUSTER, PODS, "it did not answer")
    manager.apply(CLUSTER, [delta("pods", checked_at=START + 50, until="100")])
    assert query(manager.path, "SELECT last_error FROM cache_metadata") == [("it did not answer",)]


def test_when_a_kind_was_counted_is_kept_until_it_is_listed_again(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", [])
    manager.record_counted(CLUSTER, [("pods", ""), ("nodes", "")], START + 70.5)
    assert [row.last_counted_at for row in reader.freshness_all()] == [START + 70]


def test_deltas_without_changes_cost_less_than_8_kilobytes_a_kind(manager: CacheManager) -> None:
    for kind in KINDS:
        scan(manager, kind, staged(kind, api_object(kind, "web-1")))
    wal = manager.path.with_name(f"{manager.path.name}-wal")

    def cost(deltas: list[Delta]) -> int:
        with closing(sqlite3.connect(manager.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert all(outcome.applied for outcome in manager.apply(CLUSTER, deltas))
        return wal.stat().st_size

    assert cost([delta(kind) for kind in KINDS]) < 8192 * len(KINDS) / 8
    alone = [cost([delta(kind, since="200", until=f"2{number}")]) for number, kind in enumerate(KINDS)]
    assert sum(alone) < 8192 * len(KINDS)


def test_two_clusters_that_share_names_and_uids_do_not_mix(manager: CacheManager) -> None:
    manager.register_cluster(ClusterIdentity(cluster="other", uid="other-uid"))
    for cluster in (CLUSTER, "other"):
        scan(manager, "pods", pods(3), cluster=cluster)
    same = pods(3)[0].record
    before = {table: of_cluster(manager.path, table, "other") for table in TABLES}
    gone = ("DELETED", api_object("pods", same.name, same.namespace, uid=same.uid, version=9))
    moved = ("MODIFIED", api_object("pods", "web-00001", "team-1", version=8, node="node-7", labels={"app": "x"}))
    (outcome,) = manager.apply(CLUSTER, [delta("pods", moved, gone)])
    assert (outcome.changed, outcome.removed, outcome.total) == (1, 1, 2)
    assert {table: of_cluster(manager.path, table, "other") for table in TABLES} == before
    scan(manager, "pods", [])
    assert {table: of_cluster(manager.path, table, "other") for table in TABLES} == before
    manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="a-third"))
    assert {table: of_cluster(manager.path, table, "other") for table in TABLES} == before
    assert not any(of_cluster(manager.path, table, CLUSTER) for table in TABLES)


TABLES = ("pods", "containers", "labels", "annotations", "deleted_objects", "changes")


def of_cluster(path: Path, table: str, cluster: str, leave_out: Sequence[str] = ("id", "row_id", "cluster")) -> list[Any]:
    """All rows of a table in one cluster, in a fixed order, the history in that in which it was written."""
    with closing(sqlite3.connect(path)) as connection:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in leave_out]
        order = "id" if table == "changes" else ", ".join(names)
        return connection.execute(
            f"SELECT {', '.join(names)} FROM {table} WHERE cluster = ? ORDER BY {order}", (cluster,)
        ).fetchall()


# --- whatever happens in a cluster: a cache kept by deltas equals one that was filled by lists


@dataclass
class Simulated:
    """The pods of a cluster by name, and the events since they were last asked for."""

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 100
    unreadable: set[str] = field(default_factory=set)

    def step(self, action: str, name: str, value: int) -> list[ObjectChange]:
        """What a watch would tell of it; nothing when the action makes no sense now."""
        present = self.pods.get(name)
        self.version += 1
        if action in ("create", "replace"):
            if (present is not None) != (action == "replace"):
                return []
            self.pods[name] = self._pod(name, f"uid-{self.version}", value)
            return [self._event("ADDED", self.pods[name])]
        if present is None:
            return []
        uid = present["metadata"]["uid"]
        if action == "delete":
            del self.pods[name]
            self.unreadable.discard(uid)
            return [self._event("DELETED", present)]
        if action == "break":
            self.unreadable.add(uid)
            return [ObjectChange("MODIFIED", None, uid, "kubectl")]
        if action == "update":
            self.unreadable.discard(uid)
            self.pods[name] = self._pod(name, uid, value)
        return [self._event("MODIFIED", self.pods[name])] if uid not in self.unreadable else []

    def _pod(self, name: str, uid: str, value: int) -> dict[str, Any]:
        changing: dict[str, Any] = {
            "labels": {"app": name, "tier": str(value % 2)} if value % 3 else {},
            "annotations": {"note": str(value)} if value % 2 else {},
            "node": f"node-{value % 2}",
            "restarts": value,
        }
        pod = api_object("pods", name, f"team-{len(name) % 2}", uid=uid, version=self.version, **changing)
        if value % 5 == 0:
            pod["spec"]["containers"].pop()
        return pod

    @staticmethod
    def _event(type_: Any, pod: dict[str, Any]) -> ObjectChange:
        return ObjectChange(type_, staged("pods", pod)[0], pod["metadata"]["uid"], "kubectl")


STEPS = st.tuples(
    st.sampled_from(["create", "create", "update", "update", "update", "delete", "replace", "break", "repeat"]),
    st.sampled_from(["a", "bb", "c"]),
    st.integers(0, 6),
)
CLUSTERS = itertools.count()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(STEPS, max_size=8), min_size=1, max_size=5))
def test_a_cache_kept_by_deltas_equals_one_filled_by_lists(
    batches: list[list[tuple[str, str, int]]], clock: Clock, two_caches: tuple[CacheManager, CacheManager]
) -> None:
    """The lists look after each single event, the deltas bring many at once: then even the histories are equal."""
    cluster, simulated, since = f"cluster-{next(CLUSTERS)}", Simulated(), "100"
    followed, listed = two_caches
    for manager in two_caches:
        manager.register_cluster(ClusterIdentity(cluster=cluster, uid=cluster))
        scan(manager, "pods", [], cluster=cluster)
    for batch in batches:
        clock.now += 60
        changes = []
        for step in batch:
            changes += simulated.step(*step)
            list_all(listed, cluster, simulated)
        until = str(simulated.version)
        list_all(listed, cluster, simulated)
        (outcome,) = followed.apply(
            cluster, [replace(delta("pods", since=since, until=until, checked_at=clock.now), changes=changes)]
        )
        since = until
        assert outcome.applied
        assert outcome.total == len(of_cluster(followed.path, "pods", cluster))
        for table in TABLES:
            assert of_cluster(followed.path, table, cluster) == of_cluster(listed.path, table, cluster), table
        left_out = ("cluster", "strategy", "generation", "last_full_at", "duration_ms", "malformed")
        freshness = [of_cluster(manager.path, "cache_metadata", cluster, left_out) for manager in two_caches]
        assert freshness[0] == freshness[1]


@pytest.fixture
def two_caches(tmp_path: Path, clock: Clock) -> Iterator[tuple[CacheManager, CacheManager]]:
    """Shared by all examples, each of which is a cluster of its own in them."""
    followed, listed = tmp_path / "followed.db", tmp_path / "listed.db"
    with (
        CacheManager(followed, policy=TtlPolicy(), clock=clock, kinds={"pods": PODS}) as first,
        CacheManager(listed, policy=TtlPolicy(), clock=clock, kinds={"pods": PODS}) as second,
    ):
        yield first, second


def list_all(manager: CacheManager, cluster: str, simulated: Simulated) -> None:
    with manager.stage(cluster, PODS) as staging:
        pods = [pod for pod in simulated.pods.values() if pod["metadata"]["uid"] not in simulated.unreadable]
        staging.add([replace(found, manager="kubectl") for found in staged("pods", *pods)])
        staging.keep(sorted(simulated.unreadable))
        staging.finish(resource_version=str(simulated.version), duration_ms=1)
