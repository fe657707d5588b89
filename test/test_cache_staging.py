"""From staged pages to stored rows."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cache import swap
from cache.cache_manager import CacheManager, ClusterIdentity, Staged
from cache.cache_reader import CacheReader
from cache.staged_writes import StagedWrites
from cache_fixtures import CLUSTER, START, Clock, api_object, count, pods, scan, staged
from configuration.errors import CacheError, NeverScanned
from kinds.kind import row
from kinds.list_query import ListQuery
from kinds.registry import KINDS

PODS = KINDS["pods"]


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def break_off(*_: object) -> None:
    raise KeyboardInterrupt


def names(reader: CacheReader) -> list[str]:
    return [found["name"] for found in reader.list(CLUSTER, ListQuery(PODS, limit=1000)).rows]


def test_a_first_scan_stores_every_object_with_side_rows_and_labels(manager: CacheManager, reader: CacheReader) -> None:
    outcome = scan(manager, "pods", pods(7))
    assert (outcome.added, outcome.changed, outcome.removed, outcome.unchanged, outcome.total) == (7, 0, 0, 0, 7)
    assert len(names(reader)) == 7
    assert query(manager.path, "SELECT count(*) FROM containers") == [(14,)]
    assert query(manager.path, "SELECT DISTINCT kind, key, value FROM labels") == [("pods", "app", "web")]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_reads_back_as_the_live_row(kind, manager: CacheManager, reader: CacheReader) -> None:
    page = staged(kind, api_object(kind, "web-1"), api_object(kind, "web-2"))
    scan(manager, kind, page)
    assert reader.list(CLUSTER, ListQuery(kind)).rows == [row(kind, item.record) for item in page]
    namespace = "default" if kind.namespaced else None
    found = reader.get(CLUSTER, kind, namespace, "web-1")
    assert found.row == row(kind, page[0].record)
    assert found.manifest == api_object(kind, "web-1")


def test_an_unchanged_rescan_writes_freshness_and_no_row(manager: CacheManager, clock: Clock) -> None:
    scan(manager, "pods", pods(50))
    before = query(manager.path, "SELECT total(length(manifest)), max(rowid), max(first_seen_at) FROM pods")
    wal = manager.path.with_name(manager.path.name + "-wal")
    with closing(sqlite3.connect(manager.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    clock.now += 60
    outcome = scan(manager, "pods", pods(50))
    assert (outcome.unchanged, outcome.changed) == (50, 0)
    assert wal.stat().st_size < 100_000
    assert query(manager.path, "SELECT total(length(manifest)), max(rowid), max(first_seen_at) FROM pods") == before
    assert query(manager.path, "SELECT last_checked_at FROM cache_metadata") == [(START + 60,)]


def test_a_changed_object_replaces_its_row_side_rows_and_labels_and_keeps_first_seen(
    manager: CacheManager, reader: CacheReader, clock: Clock
) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", labels={"app": "web", "old": "1"})))
    clock.now += 60
    changed = api_object("pods", "web-1", version=2, restarts=4, labels={"app": "web", "new": "1"})
    changed["spec"]["containers"].pop()
    assert scan(manager, "pods", staged("pods", changed)).changed == 1
    assert reader.list(CLUSTER, ListQuery(PODS)).rows[0]["restarts"] == 4
    assert query(manager.path, "SELECT name FROM containers") == [("app",)]
    assert query(manager.path, "SELECT key FROM labels ORDER BY key") == [("app",), ("new",)]
    assert query(manager.path, "SELECT first_seen_at FROM pods") == [(START,)]


def test_a_partial_list_removes_nothing_and_leaves_the_old_freshness(
    manager: CacheManager, reader: CacheReader, clock: Clock
) -> None:
    scan(manager, "pods", pods(10))
    clock.now += 60
    with contextlib.suppress(ConnectionError), manager.stage(CLUSTER, PODS) as staging:
        staging.add(pods(5, version=2))
        raise ConnectionError("the second page did not come")
    assert len(names(reader)) == 10
    freshness = reader.freshness(CLUSTER, PODS)
    assert freshness is not None
    assert freshness.last_checked_at == START


def test_an_object_seen_twice_is_stored_once_as_seen_last(manager: CacheManager, reader: CacheReader) -> None:
    first, again = api_object("pods", "web-1"), api_object("pods", "web-1", version=2, restarts=9)
    again["spec"]["containers"].pop()
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(staged("pods", first))
        staging.add(staged("pods", again))
        assert staging.finish(resource_version="1").total == 1
    assert reader.list(CLUSTER, ListQuery(PODS)).rows[0]["restarts"] == 9
    assert query(manager.path, "SELECT count(*) FROM containers") == [(1,)]


def test_a_name_recreated_with_another_uid_replaces_the_old_object(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "db-0", uid="old")))
    outcome = scan(manager, "pods", staged("pods", api_object("pods", "db-0", uid="new", version=5)))
    assert (outcome.added, outcome.removed, outcome.total) == (1, 1, 1)
    assert query(manager.path, "SELECT uid FROM pods") == [("new",)]
    assert query(manager.path, "SELECT uid FROM deleted_objects") == [("old",)]


def test_a_name_recreated_between_two_pages_of_one_scan_is_stored_under_its_last_uid(manager: CacheManager) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "db-0", uid="old")))
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(staged("pods", api_object("pods", "db-0", uid="old")))
        staging.add(staged("pods", api_object("pods", "db-0", uid="new", version=5)))
        outcome = staging.finish(resource_version="1")
    assert (outcome.added, outcome.removed, outcome.total) == (1, 1, 1)
    assert query(manager.path, "SELECT uid, pod_uid, position FROM pods JOIN containers ON pod_uid = uid ORDER BY 3") == [
        ("new", "new", 0),
        ("new", "new", 1),
    ]


def test_a_changed_redaction_rewrites_unchanged_objects_without_calling_it_a_change(manager: CacheManager) -> None:
    secret = api_object("pods", "web-1", annotations={"token": "‹redacted:aaaa›"})
    scan(manager, "pods", staged("pods", secret), redaction="v1/key-a")
    secret["metadata"]["annotations"]["token"] = "‹redacted:bbbb›"
    secret["metadata"]["resourceVersion"] = "2"
    other = api_object("pods", "web-2")
    outcome = scan(manager, "pods", staged("pods", secret, other), redaction="v1/key-b")
    assert (outcome.added, outcome.changed) == (1, 1)
    assert query(manager.path, "SELECT json_extract(annotations, '$.token') FROM pods WHERE name = 'web-1'") == [
        ("‹redacted:bbbb›",)
    ]
    assert query(manager.path, "SELECT field FROM changes") == []
    assert scan(manager, "pods", staged("pods", secret, other), redaction="v2/key-b").changed == 2


def test_what_other_rules_redacted_goes_without_a_deletion_when_its_object_can_no_longer_be_read(manager: CacheManager) -> None:
    leaky = [api_object("pods", name, annotations={"token": f"leaked-{name}"}) for name in ("kept", "unread", "odd", "gone")]
    scan(manager, "pods", staged("pods", *leaky), redaction="v1")
    kept = staged("pods", api_object("pods", "kept", annotations={"token": "‹redacted:a›"}))
    odd = Staged(PODS.read(api_object("pods", "odd", labels={"app": object()})), b"{}")
    with manager.stage(CLUSTER, PODS, redaction="v2") as staging:
        staging.add([*kept, odd])
        staging.keep([leaky[0]["metadata"]["uid"], leaky[1]["metadata"]["uid"]])
        outcome = staging.finish(resource_version="2", malformed=1)
    assert (outcome.removed, outcome.total) == (1, 1)
    assert query(manager.path, "SELECT name FROM pods") == [("kept",)]
    assert query(manager.path, "SELECT name FROM deleted_objects") == [("gone",)]
    assert query(manager.path, "SELECT count(*) FROM annotations WHERE value LIKE 'leaked%'") == [(0,)]
    assert query(manager.path, "SELECT DISTINCT pod FROM containers") == [("kept",)]
    assert query(manager.path, "SELECT malformed FROM cache_metadata") == [(2,)]


def test_an_unreadable_object_of_the_same_rules_keeps_its_row(manager: CacheManager) -> None:
    scan(manager, "pods", pods(2), redaction="v1")
    unread = PODS.read(api_object("pods", "web-00001", "team-1"))
    with manager.stage(CLUSTER, PODS, redaction="v1") as staging:
        staging.add(pods(1))
        staging.keep([unread.uid])
        assert staging.finish(resource_version="2", malformed=1).total == 2


def test_a_large_first_fill_is_visible_as_incomplete_until_its_last_chunk(
    manager: CacheManager, reader: CacheReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "FIRST_FILL_CHUNK", 10)
    seen = []
    store = StagedWrites.store

    def watching(self: StagedWrites, now: int, after: int = 0, upto: int | None = None) -> None:
        try:
            page = reader.list(CLUSTER, ListQuery(PODS))
            seen.append((page.envelope.total, page.envelope.complete, page.envelope.fresh))
        except NeverScanned:
            seen.append(None)
        store(self, now, after, upto)

    monkeypatch.setattr(StagedWrites, "store", watching)
    scan(manager, "pods", pods(25))
    assert seen == [None, (10, False, False), (20, False, False)]
    page = reader.list(CLUSTER, ListQuery(PODS))
    assert (page.envelope.total, page.envelope.complete, page.envelope.fresh) == (25, True, True)


def test_a_name_and_a_uid_that_come_twice_in_a_first_fill_count_as_they_were_seen_last(
    manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "FIRST_FILL_CHUNK", 2)
    first = staged("pods", *(api_object("pods", f"db-{i}", uid=f"u{i}") for i in range(5)))
    again = staged(
        "pods",
        api_object("pods", "db-0", uid="other"),
        api_object("pods", "db-1", uid="u1", version=99, labels={"seen": "last"}),
        *(api_object("pods", f"web-{i}", uid=f"w{i}") for i in range(5)),
    )
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(first)
        staging.add(again)
        assert staging.finish(resource_version="1").total == 10
    rows = query(manager.path, "SELECT name, uid FROM pods WHERE name IN ('db-0', 'db-1') ORDER BY name")
    assert rows == [("db-0", "other"), ("db-1", "u1")]
    assert query(manager.path, "SELECT resource_version, labels FROM pods WHERE uid = 'u1'") == [("99", '{"seen":"last"}')]
    assert query(manager.path, "SELECT count(*) FROM pods") == [(10,)]
    assert query(manager.path, "SELECT count(DISTINCT pod_uid) FROM containers") == [(10,)]


def test_a_first_fill_that_broke_off_is_completed_by_the_next_scan(
    manager: CacheManager, reader: CacheReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = staged("pods", *(api_object("pods", f"db-{i}", uid=f"old-{i}") for i in range(5)))
    monkeypatch.setattr(swap, "FIRST_FILL_CHUNK", 2)
    with monkeypatch.context() as broken, manager.stage(CLUSTER, PODS) as staging:
        broken.setattr(swap.Swap, "_note_success", break_off)
        staging.add(before)
        with pytest.raises(KeyboardInterrupt):
            staging.finish(resource_version="1")
    manager.record_failure(CLUSTER, PODS, "the API server went away")
    page = reader.list(CLUSTER, ListQuery(PODS))
    assert page.envelope.total == 4
    assert page.envelope.note == "the first scan has not finished (the API server went away); there is more than this"
    after = staged("pods", *(api_object("pods", f"db-{i}", uid=f"new-{i}") for i in range(5)))
    assert scan(manager, "pods", after).total == 5
    assert query(manager.path, "SELECT uid FROM pods ORDER BY uid") == [(f"new-{i}",) for i in range(5)]
    assert reader.list(CLUSTER, ListQuery(PODS)).envelope.complete


def test_what_a_broken_off_first_fill_redacted_by_older_rules_is_written_again(
    manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "FIRST_FILL_CHUNK", 2)
    leaky = staged("pods", *(api_object("pods", f"web-{i}", annotations={"token": "leaked"}) for i in range(5)))
    clean = staged("pods", *(api_object("pods", f"web-{i}", annotations={"token": "‹redacted:a›"}) for i in range(5)))
    first_chunk_only = itertools.count()
    for objects, redaction, step, broken_off in (
        (leaky, "v1", "_note_success", break_off),
        (clean, "v2", "_check_untouched", lambda _: break_off() if next(first_chunk_only) else None),
    ):
        with monkeypatch.context() as broken, manager.stage(CLUSTER, PODS, redaction=redaction) as staging:
            broken.setattr(swap.Swap, step, broken_off)
            staging.add(objects)
            with pytest.raises(KeyboardInterrupt):
                staging.finish(resource_version="1")
    assert query(manager.path, "SELECT count(*) FROM pods WHERE annotations LIKE '%leaked%'") == [(2,)]
    scan(manager, "pods", clean, redaction="v2")
    assert query(manager.path, "SELECT count(*) FROM pods WHERE annotations LIKE '%leaked%'") == [(0,)]


@pytest.mark.parametrize(("known", "scanned"), [("", "a"), ("a", "")], ids=["narrowed", "widened"])
def test_the_first_list_of_another_scope_shows_nothing_half_where_rows_were_complete(
    manager: CacheManager, reader: CacheReader, monkeypatch: pytest.MonkeyPatch, known: str, scanned: str
) -> None:
    monkeypatch.setattr(swap, "FIRST_FILL_CHUNK", 2)
    before = staged("pods", *(api_object("pods", f"web-{i}", "a", version=1) for i in range(3)))
    after = staged("pods", *(api_object("pods", f"web-{i}", "a", version=2, labels={"v": "2"}) for i in range(3)))
    scan(manager, "pods", before, scope=known)
    with monkeypatch.context() as broken, manager.stage(CLUSTER, PODS, scope=scanned) as staging:
        broken.setattr(swap.Swap, "_note_success", break_off)
        staging.add(after)
        with pytest.raises(KeyboardInterrupt):
            staging.finish(resource_version="2")
    envelope = reader.list(CLUSTER, ListQuery(PODS, namespace="a")).envelope
    assert (envelope.complete, envelope.fresh) == (True, True), "it broke off"
    assert query(manager.path, "SELECT DISTINCT resource_version FROM pods") == [("1",)]
    assert scan(manager, "pods", after, scope=scanned).changed == 3
    assert query(manager.path, "SELECT count(*) FROM changes WHERE field = 'labels.v'") == [(3,)]


@pytest.mark.parametrize(("known", "scanned"), [("", "a"), ("a", "")], ids=["narrowed", "widened"])
def test_rows_that_another_scope_stored_by_older_redaction_rules_are_written_again(
    manager: CacheManager, known: str, scanned: str
) -> None:
    leaky = staged("pods", *(api_object("pods", f"web-{i}", "a", annotations={"token": "leaked"}) for i in range(3)))
    clean = staged("pods", *(api_object("pods", f"web-{i}", "a", annotations={"token": "‹redacted:a›"}) for i in range(3)))
    scan(manager, "pods", leaky, scope=known, redaction="v1")
    scan(manager, "pods", clean, scope=scanned, redaction="v2")
    assert query(manager.path, "SELECT count(*) FROM pods WHERE annotations LIKE '%leaked%'") == [(0,)]
    assert scan(manager, "pods", clean, scope=scanned, redaction="v2").unchanged == 3


def test_rows_that_no_scan_answers_for_are_neither_kept_nor_taken_for_deleted(manager: CacheManager) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", uid="a"), api_object("pods", "web-2", uid="b")))
    with closing(sqlite3.connect(manager.path)) as connection, connection:  # as a cleanup leaves it that was killed
        connection.execute("DELETE FROM cache_metadata")
    assert scan(manager, "pods", staged("pods", api_object("pods", "web-1", uid="a"))).added == 1
    assert query(manager.path, "SELECT uid FROM pods") == [("a",)]
    assert query(manager.path, "SELECT count(*) FROM deleted_objects") == [(0,)]


def test_an_object_whose_name_another_one_had_in_between_is_stored_once(manager: CacheManager) -> None:
    first, between, last = (
        staged("pods", api_object("pods", "web-1", uid=uid, version=version)) for uid, version in (("a", 1), ("b", 2), ("a", 3))
    )
    with manager.stage(CLUSTER, PODS) as staging:
        for page in (first, between, last):
            staging.add(page)
        assert staging.finish(resource_version="3").total == 1
    assert query(manager.path, "SELECT uid, resource_version FROM pods") == [("a", "3")]
    assert query(manager.path, "SELECT count(*), count(DISTINCT position) FROM containers") == [(2, 2)]


def test_a_scan_of_one_namespace_leaves_the_others_alone(manager: CacheManager, reader: CacheReader) -> None:
    for namespace in ("a", "b"):
        page = staged("pods", *(api_object("pods", f"web-{i}", namespace) for i in range(3)))
        scan(manager, "pods", page, scope=namespace)
    outcome = scan(manager, "pods", staged("pods", api_object("pods", "web-1", "a")), scope="a")
    assert (outcome.removed, outcome.unchanged) == (2, 1)
    page = reader.list(CLUSTER, ListQuery(PODS))
    assert (page.envelope.total, page.envelope.complete) == (4, False)
    assert reader.list(CLUSTER, ListQuery(PODS, namespace="a")).envelope.complete is True


def test_only_a_list_of_namespaces_as_new_as_the_scope_proves_that_one_is_gone(manager: CacheManager, clock: Clock) -> None:
    def list_namespaces(**stage: float) -> None:
        scan(manager, "namespaces", staged("namespaces", api_object("namespaces", "a")), **stage)

    for namespace in ("a", "b"):
        scan(manager, "pods", staged("pods", api_object("pods", "web", namespace)), scope=namespace)
    assert manager.drop_gone_namespaces(CLUSTER, PODS, ["a", "b"]) == set(), "nobody has looked for namespaces"
    list_namespaces(started_at=START - 1)
    assert manager.drop_gone_namespaces(CLUSTER, PODS, ["a", "b"]) == set(), "b may be newer than the list"
    list_namespaces()
    manager.record_failure(CLUSTER, KINDS["namespaces"], "forbidden", permitted=False)
    assert manager.drop_gone_namespaces(CLUSTER, PODS, ["a", "b"]) == set(), "namespaces may no longer be listed"
    list_namespaces()
    assert manager.drop_gone_namespaces(CLUSTER, PODS, ["a", "b"]) == {"b"}
    assert query(manager.path, "SELECT namespace FROM pods") == [("a",)]
    assert query(manager.path, "SELECT kind, namespace FROM deleted_objects") == [("pods", "b")]
    assert query(manager.path, "SELECT scope FROM cache_metadata WHERE kind = 'pods'") == [("a",)]


def test_an_integer_beyond_64_bits_costs_its_own_column_only(manager: CacheManager) -> None:
    page = [Staged(PODS.read(api_object("pods", "web-1", restarts=2**70)), b"{}"), *staged("pods", api_object("pods", "web-2"))]
    assert scan(manager, "pods", page).total == 2
    stored = "SELECT restarts, ready FROM containers WHERE pod = 'web-1' AND name = 'app'"
    assert query(manager.path, stored) == [(None, 1)]


def test_an_object_that_cannot_be_stored_costs_only_itself_and_is_counted(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(2))
    odd = PODS.read(api_object("pods", "odd-1", labels={"app": object()}))
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add([*pods(2), Staged(odd, b"{}")])
        assert staging.finish(resource_version="1").total == 2
    freshness = reader.freshness(CLUSTER, PODS)
    assert freshness is not None
    assert freshness.malformed == 1


def test_rows_that_somebody_else_changed_meanwhile_refuse_the_swap(manager: CacheManager) -> None:
    scan(manager, "pods", pods(3))
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(pods(3))
        scan(manager, "pods", pods(2))
        with pytest.raises(CacheError, match="scan again"):
            staging.finish(resource_version="1")


def test_another_cluster_under_the_same_name_drops_what_was_known(
    manager: CacheManager, reader: CacheReader, clock: Clock
) -> None:
    scan(manager, "pods", pods(3))
    scan(manager, "pods", pods(2))
    manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="another"))
    with pytest.raises(NeverScanned):
        reader.list(CLUSTER, ListQuery(PODS))
    for table in ("pods", "containers", "labels", "deleted_objects", "changes"):
        assert query(manager.path, f"SELECT count(*) FROM {table}") == [(0,)]


HERE, THERE = "https://here.example:6443", "https://there.example:6443"


def identity(uid: str, api_server: str) -> ClusterIdentity:
    return ClusterIdentity(cluster=CLUSTER, uid=uid, api_server=api_server)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (("", HERE), ("", THERE), 0),
        (("a", HERE), ("", THERE), 0),
        (("", HERE), ("a", THERE), 0),
        (("a", HERE), ("b", HERE), 0),
        (("a", HERE), ("a", THERE), 3),
        (("", HERE), ("a", HERE), 3),
        (("a", HERE), ("", HERE), 3),
        (("", HERE), ("", ""), 3),
        (("", "https://user:‹redacted:0123456789ab›@Here.example:443/"), ("", "https://‹redacted:ba9876543210›@here.example"), 3),
        (("", "https://rancher.example/k8s/clusters/c-1"), ("", "https://rancher.example/k8s/clusters/c-2"), 0),
    ],
)
def test_an_address_tells_clusters_apart_where_no_uid_does(
    before: tuple[str, str],
    after: tuple[str, str],
    kept: int,
    open_manager: Callable[..., CacheManager],
    caplog: pytest.LogCaptureFixture,
) -> None:
    manager = open_manager(register=False)
    manager.register_cluster(identity(*before))
    scan(manager, "pods", pods(4))
    scan(manager, "pods", pods(3))
    manager.register_cluster(identity(*after))
    for table, count_of in (("pods", kept), ("deleted_objects", int(kept > 0))):
        assert query(manager.path, f"SELECT count(*) FROM {table}") == [(count_of,)]
    assert ("is dropped" in caplog.text) == (not kept)
    if not kept:
        assert query(manager.path, "SELECT uid FROM clusters") == [(after[0],)], "nothing of the other one is left"


def test_a_first_scan_of_a_cluster_without_a_uid_is_not_stored_as_that_of_another_address(
    open_manager: Callable[..., CacheManager],
) -> None:
    manager = open_manager(register=False)
    manager.register_cluster(identity("", HERE))
    with manager.stage(CLUSTER, PODS) as staging:
        staging.add(pods(3))
        manager.register_cluster(identity("", THERE))
        with pytest.raises(CacheError, match="scan again"):
            staging.finish(resource_version="1")


def test_two_clusters_may_hold_the_same_uid(manager: CacheManager, reader: CacheReader) -> None:
    manager.register_cluster(ClusterIdentity(cluster="other", uid="other-uid"))
    scan(manager, "pods", pods(3))
    scan(manager, "pods", pods(2), cluster="other")
    assert count(reader, PODS) == 3
    assert count(reader, PODS, "other") == 2


def test_a_kind_switched_on_by_name_gets_its_table_at_its_first_scan(
    open_manager: Callable[..., CacheManager], reader: CacheReader
) -> None:
    manager = open_manager(kinds={"nodes": KINDS["nodes"]})
    assert scan(manager, "services", staged("services", api_object("services", "web"))).added == 1
    assert count(reader, KINDS["services"]) == 1
