"""How much history is kept, and what becomes of it when the redaction rules change."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from cache.cache_manager import CacheManager
from cache.history_limits import KEPT_PART, RUN, SAMPLED_RUNS, history_bytes
from cache.history_scrub import SCRUBBED
from cache.ttl_manager import TtlPolicy
from cache_fixtures import CLUSTER, START, Clock, api_object, delta, scan, staged
from kinds.registry import KINDS

CANARY = "canary-4711"
HOUR, DAY = 3600, 86_400


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def fill_history(path: Path, changes: int, deleted: int) -> None:
    """One of each a second, from START on; texts of the length that real ones have."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO changes (cluster, kind, namespace, name, uid, field, old, new, seen_at, resource_version, manager) "
            "VALUES (?, 'pods', 'team-1', ?, ?, 'containers[app].image', ?, ?, ?, ?, 'kubectl')",
            (
                (CLUSTER, f"web-{n:08d}-abcde", f"0b2b3c6e-{n:08d}-4f5e-9d6b", f"app:{n}", f"app:{n + 1}", START + n, str(n))
                for n in range(changes)
            ),
        )
        row = json.dumps({f"column-{n}": "x" * 20 for n in range(30)})
        connection.executemany(
            "INSERT INTO deleted_objects (cluster, kind, uid, namespace, name, resource_version, first_seen_at, deleted_at, "
            "row, manifest) VALUES (?, 'pods', ?, 'team-1', ?, '7', ?, ?, ?, ?)",
            ((CLUSTER, f"uid-{n:08d}", f"web-{n}", START, START + n, row, bytes(1500)) for n in range(deleted)),
        )


def test_history_beyond_its_size_is_forgotten_oldest_first(open_manager: Callable[..., CacheManager], clock: Clock) -> None:
    manager = open_manager(policy=TtlPolicy(history_max_bytes=1_500_000))
    fill_history(manager.path, 6000, 1000)
    clock.now += 6000
    report = manager.cleanup()
    assert 0 < report.changes < 6000
    assert 0 < report.deleted_objects < 1000
    ((oldest_change,),) = query(manager.path, "SELECT min(seen_at) FROM changes")
    ((oldest_deleted,),) = query(manager.path, "SELECT min(deleted_at) FROM deleted_objects")
    assert abs(int(str(oldest_change)) - int(str(oldest_deleted))) < 600
    assert query(manager.path, f"SELECT count(*) FROM changes WHERE seen_at >= {oldest_change}") == [(6000 - report.changes,)]
    size = stored_bytes(manager.path)
    assert 0.6 * 1_500_000 < size < 1.1 * 1_500_000
    again = manager.cleanup()
    assert (again.changes, again.deleted_objects) == (0, 0)


def test_the_estimated_size_of_the_history_is_that_in_the_file(manager: CacheManager) -> None:
    for changes, deleted in ((8000, 0), (0, 1500)):
        with closing(sqlite3.connect(manager.path)) as connection, connection:
            connection.execute("DELETE FROM changes")
            connection.execute("DELETE FROM deleted_objects")
        fill_history(manager.path, changes, deleted)
        with manager._file.read() as connection:
            estimated = history_bytes(connection)
        assert 0.75 < estimated / stored_bytes(manager.path) < 1.25


def test_the_size_of_a_large_history_is_estimated_from_a_part_of_it(manager: CacheManager) -> None:
    """Three times as much is as little work, and rows of all sizes with gaps between them give no wrong sum."""
    fill_history(manager.path, 2 * SAMPLED_RUNS * RUN + 1, 0)
    with manager._file.read() as connection:
        small = work(connection)
    fill_history(manager.path, 4 * SAMPLED_RUNS * RUN, 0)
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        connection.execute("UPDATE changes SET new = zeroblob(id * 7919 % 997)")
    with manager._file.read() as connection:
        assert work(connection) < 1.5 * small
    for gap in ("id < 0", "id BETWEEN 10000 AND 30000", "id % 3 = 1"):
        with closing(sqlite3.connect(manager.path)) as connection, connection:
            connection.execute(f"DELETE FROM changes WHERE {gap}")
        (parts,) = query(manager.path, f"SELECT {', '.join(f'sum({part})' for part in CHANGE_PARTS)} FROM changes")
        with manager._file.read() as connection:
            assert 0.95 < history_bytes(connection) / sum(int(str(part)) for part in parts) < 1.05


CHANGE_TEXTS = ("namespace", "name", "field", "old", "new", "resource_version", "manager")
CHANGE_PARTS = (
    *(f"coalesce(length(CAST({name} AS BLOB)), 0)" for name in CHANGE_TEXTS),
    *(f"2 * length({name})" for name in ("cluster", "kind", "uid")),
    "60",
)


def work(connection: Connection) -> int:
    """How many hundreds of instructions SQLite runs to estimate the history's size."""
    calls: list[None] = []
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(lambda: calls.append(None), 100)
    history_bytes(connection)
    driver.set_progress_handler(None, 0)
    return len(calls)


def test_a_history_whose_size_is_estimated_stays_within_its_limit(
    open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    limit = 4_000_000
    manager = open_manager(policy=TtlPolicy(history_max_bytes=limit))
    fill_history(manager.path, 40_000, 0)
    clock.now += 40_000
    assert 0 < manager.cleanup().changes < 40_000
    assert 0.9 * KEPT_PART * limit < stored_bytes(manager.path) < 1.1 * limit
    assert manager.cleanup().changes == 0


# --- by age, when the clock jumps


def at_work(manager: CacheManager, clock: Clock, seconds: int, every: int = HOUR) -> None:
    """Somebody scans for so long, and cleans up at the end."""
    times = range(int(clock.now) + every, int(clock.now) + seconds + 1, every)
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        hours = [(CLUSTER, at // HOUR * HOUR) for at in times]
        connection.executemany("INSERT OR IGNORE INTO api_usage VALUES (?, ?, 'list', 1, 100)", hours)
    clock.now = times[-1]
    manager.cleanup(looking_since=-math.inf)


def kept(manager: CacheManager) -> list[tuple[object, ...]]:
    return query(manager.path, "SELECT (SELECT count(*) FROM changes), (SELECT count(*) FROM deleted_objects)")


@pytest.mark.parametrize("retention", [1000, DAY, 7 * DAY])
def test_a_clock_that_is_set_far_ahead_for_some_hours_costs_no_history(
    retention: int, open_manager: Callable[..., CacheManager], clock: Clock
) -> None:
    manager = open_manager(policy=TtlPolicy(history_retention=retention))
    at_work(manager, clock, 3 * DAY)
    right = clock.now
    fill_history(manager.path, 5, 5)
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        for table, time in (("changes", "seen_at"), ("deleted_objects", "deleted_at")):
            connection.execute(f"UPDATE {table} SET {time} = ?", (right - 100,))
    clock.now += 10 * DAY
    manager.cleanup()
    manager.close()
    again = open_manager(policy=TtlPolicy(history_retention=retention), register=False)
    at_work(again, clock, min(retention // 4, 20 * HOUR), every=min(HOUR, retention // 4))
    scan(again, "pods", staged("pods", api_object("pods", "web-1")))
    again.cleanup(looking_since=-math.inf)
    clock.now = right
    again.cleanup(looking_since=-math.inf)
    assert kept(again) == [(5, 5)]


@pytest.mark.parametrize(
    ("every", "longest"), [(HOUR, 7 * DAY + HOUR), (DAY, 8 * DAY), (7 * DAY, 21 * DAY)], ids=["hourly", "daily", "weekly"]
)
def test_however_seldom_somebody_scans_history_goes_after_its_retention(
    every: int, longest: int, manager: CacheManager, clock: Clock
) -> None:
    fill_history(manager.path, 1, 1)
    at_work(manager, clock, 7 * DAY, every)
    assert kept(manager) == [(1, 1)]
    at_work(manager, clock, longest - 7 * DAY, every)
    assert kept(manager) == [(0, 0)]


def test_after_a_pause_history_goes_once_the_clock_has_gone_on_for_a_day(manager: CacheManager, clock: Clock) -> None:
    at_work(manager, clock, 2 * DAY)
    fill_history(manager.path, 1, 1)
    clock.now += 30 * DAY
    at_work(manager, clock, 23 * HOUR)
    assert kept(manager) == [(1, 1)]
    at_work(manager, clock, 3 * HOUR)
    assert kept(manager) == [(0, 0)]


def test_whoever_trusts_the_clock_has_old_history_forgotten_at_once(manager: CacheManager, clock: Clock) -> None:
    fill_history(manager.path, 1, 1)
    clock.now += 30 * DAY
    manager.cleanup(trust_clock=True)
    assert kept(manager) == [(0, 0)]


def stored_bytes(path: Path) -> int:
    """What the two tables take in a compact file."""
    copy = path.with_name("copy.db")
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    full = copy.stat().st_size
    with closing(sqlite3.connect(copy)) as connection:
        for table in ("changes", "deleted_objects"):
            connection.execute(f"DELETE FROM {table}")
        connection.commit()
        connection.execute("VACUUM")
    return full - copy.stat().st_size


@pytest.fixture
def leaky(manager: CacheManager, clock: Clock) -> CacheManager:
    """Two pods that older rules let a credential through of: one changed, one was deleted, one is there still."""
    pods = [api_object("pods", f"web-{n}", annotations={"token": f"{CANARY}-{n}"}, restarts=n) for n in range(3)]
    scan(manager, "pods", staged("pods", *pods), redaction="1/a")
    clock.now += 60
    moved = api_object("pods", "web-0", version=2, annotations={"token": f"{CANARY}-new"}, restarts=9, node="node-2")
    gone = api_object("pods", "web-1", version=3, annotations={"token": CANARY}, restarts=1)
    assert manager.apply(CLUSTER, [delta("pods", ("MODIFIED", moved), ("DELETED", gone), redaction="1/a")])[0].applied
    scan(manager, "services", staged("services", api_object("services", "web", annotations={"token": CANARY})), redaction="1/a")
    scan(manager, "services", [], redaction="1/a")
    return manager


def clean() -> list[dict[str, object]]:
    return [
        api_object("pods", f"web-{n}", version=4, annotations={"token": "‹redacted:aaaa›"}, restarts=9, node="node-3")
        for n in (0, 2)
    ]


def canaries(path: Path, kind: str = "pods") -> list[str]:
    found = []
    with closing(sqlite3.connect(path)) as connection:
        for table in ("changes", "deleted_objects", "annotations"):
            found += [table for row in connection.execute(f"SELECT * FROM {table} WHERE kind = ?", (kind,)) if CANARY in str(row)]
        found += [
            "deleted manifest" for (m,) in connection.execute("SELECT manifest FROM deleted_objects WHERE kind = ?", (kind,)) if m
        ]
    return found


def test_other_redaction_rules_take_the_text_out_of_the_history_of_that_kind(leaky: CacheManager) -> None:
    assert {"changes", "deleted_objects", "deleted manifest"} <= set(canaries(leaky.path))
    scan(leaky, "pods", staged("pods", *clean()), redaction="2/a")
    assert canaries(leaky.path) == []
    assert canaries(leaky.path, "services") == ["deleted_objects", "deleted manifest"]
    kept = query(leaky.path, "SELECT field, old, new FROM changes WHERE name = 'web-0' ORDER BY id")
    assert ("annotations.token", SCRUBBED, SCRUBBED) in kept
    assert ("node", SCRUBBED, SCRUBBED) in kept
    assert ("restarts", "0", "9") in kept
    assert ("containers[app].restarts", "0", "9") in kept
    ((name, row),) = query(leaky.path, "SELECT name, row FROM deleted_objects WHERE kind = 'pods'")
    last = json.loads(str(row))
    assert (name, last["name"], last["restarts"], last["healthy"]) == ("web-1", "web-1", 1, True)
    assert [container["restarts"] for container in last["containers"]] == [1, 0]


def test_words_that_older_rules_let_into_the_search_index_leave_the_file(manager: CacheManager) -> None:
    def indexed() -> bool:
        return any(b"zebra4711" in bytes(block) for (block,) in query(manager.path, "SELECT block FROM search_text_data"))

    leaked = [api_object("pods", f"web-{n}", labels={"note": "zebra4711"}) for n in range(3)]
    scan(manager, "pods", staged("pods", *leaked), redaction="1/a")
    assert indexed()
    redacted = [api_object("pods", f"web-{n}", labels={"note": "marked"}) for n in range(3)]
    scan(manager, "pods", staged("pods", *redacted), redaction="2/a")
    assert not indexed()


def test_history_that_was_scrubbed_is_not_scrubbed_again(leaky: CacheManager) -> None:
    scan(leaky, "pods", staged("pods", *clean()), redaction="2/a")
    moved = api_object("pods", "web-0", version=5, annotations={"token": "‹redacted:aaaa›"}, node="node-4")
    leaky.apply(CLUSTER, [delta("pods", ("MODIFIED", moved), redaction="2/a")])
    scan(leaky, "pods", staged("pods", moved), redaction="2/a", version="201")
    assert query(leaky.path, "SELECT new FROM changes WHERE field = 'node' AND resource_version = '5'") == [("node-4",)]
    assert query(leaky.path, "SELECT count(*) FROM deleted_objects WHERE kind = 'pods' AND manifest IS NOT NULL") == [(1,)]


def test_a_scrub_that_was_interrupted_is_made_up_for_by_cleanup(leaky: CacheManager, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("cache.history_scrub._scrub_deleted", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(leaky, "pods", staged("pods", *clean()), redaction="2/a")
    assert canaries(leaky.path) != []
    assert leaky.cleanup().scrubbed > 0
    assert canaries(leaky.path) == []


def test_a_kind_whose_table_was_rebuilt_meanwhile_is_scrubbed_too(leaky: CacheManager) -> None:
    with closing(sqlite3.connect(leaky.path)) as connection, connection:
        connection.execute("DELETE FROM cache_metadata WHERE kind = 'pods'")
    scan(leaky, "pods", staged("pods", *clean()), redaction="2/a")
    assert canaries(leaky.path) == []


def test_a_kind_is_scrubbed_when_all_of_its_namespaces_were_listed(manager: CacheManager) -> None:
    for namespace in ("a", "b"):
        secret = api_object("pods", "web-1", namespace, annotations={"token": CANARY})
        scan(manager, "pods", staged("pods", secret), scope=namespace, redaction="1/a")
        scan(manager, "pods", [], scope=namespace, redaction="1/a")
    scan(manager, "pods", [], scope="a", redaction="2/a")
    assert canaries(manager.path) != []
    scan(manager, "pods", [], scope="b", redaction="2/a")
    assert canaries(manager.path) == []


def break_off_a_first_fill(manager: CacheManager, monkeypatch: pytest.MonkeyPatch, namespaces: list[str]) -> None:
    """Four pods with a canary are stored by the rules 1, and then it ends."""
    pods = (api_object("pods", f"web-{n}", namespaces[n % len(namespaces)], annotations={"token": CANARY}) for n in range(5))
    with monkeypatch.context() as broken, manager.stage(CLUSTER, KINDS["pods"], redaction="1/a") as staging:
        broken.setattr("cache.swap.FIRST_FILL_CHUNK", 2)
        broken.setattr("cache.swap.Swap._note_success", killed)
        staging.add(staged("pods", *pods))
        with pytest.raises(KeyboardInterrupt):
            staging.finish(resource_version="1")


def test_what_a_broken_off_first_fill_stored_by_older_rules_leaves_no_text_when_it_is_deleted(
    manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off_a_first_fill(manager, monkeypatch, ["default"])
    assert set(canaries(manager.path)) == {"annotations"}
    scan(manager, "pods", staged("pods", api_object("pods", "db-1")), redaction="2/a")
    assert query(manager.path, "SELECT count(*) FROM deleted_objects WHERE kind = 'pods'") != [(0,)]
    assert canaries(manager.path) == []


def test_text_of_older_rules_goes_when_namespaces_take_over_from_a_broken_off_list_of_the_cluster(
    manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off_a_first_fill(manager, monkeypatch, ["a", "b"])
    for namespace in ("a", "b"):
        scan(manager, "pods", staged("pods", api_object("pods", "db-1", namespace)), scope=namespace, redaction="2/a")
    assert query(manager.path, "SELECT count(*) FROM deleted_objects WHERE kind = 'pods'") == [(4,)]
    assert canaries(manager.path) == []


def test_text_goes_that_older_rules_stored_after_the_history_was_found_to_be_clean(manager: CacheManager) -> None:
    scan(manager, "pods", staged("pods", api_object("pods", "web-1", "a")), redaction="2/a")
    secret = api_object("pods", "web-1", "a", version=2, annotations={"token": CANARY})
    scan(manager, "pods", staged("pods", secret), scope="a", redaction="1/a")
    scan(manager, "pods", [], redaction="2/a")
    assert query(manager.path, "SELECT count(*) FROM deleted_objects WHERE kind = 'pods'") == [(1,)]
    assert canaries(manager.path) == []


def test_the_rules_of_one_namespace_are_not_noted_for_the_others(manager: CacheManager) -> None:
    secret = api_object("pods", "web-1", "a", annotations={"token": CANARY})
    clean = staged("pods", api_object("pods", "web-1", "b"))
    scan(manager, "pods", staged("pods", secret), scope="a", redaction="1/a")
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        connection.execute("DELETE FROM history_rules")  # as a migration leaves it where there were several rules
    scan(manager, "pods", clean, scope="b", redaction="2/a")
    scan(manager, "pods", [], scope="a", redaction="1/a")  # the namespace is gone
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        connection.execute("DELETE FROM cache_metadata WHERE scope = 'a'")
    assert canaries(manager.path) != []
    scan(manager, "pods", clean, scope="b", redaction="2/a")
    assert canaries(manager.path) == []


def test_a_scrub_that_was_interrupted_is_made_up_for_by_the_next_process(
    open_manager: Callable[..., CacheManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_manager()
    scan(first, "pods", staged("pods", api_object("pods", "web-1", annotations={"token": CANARY})), redaction="1/a")
    scan(first, "pods", [], redaction="1/a")
    with monkeypatch.context() as broken:
        broken.setattr("cache.cache_manager.scrub_outdated", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(first, "pods", [], redaction="2/a")
    first.close()
    assert canaries(first.path) != []
    scan(open_manager(), "nodes", [], redaction="2/a")
    assert canaries(first.path) == []


def test_a_first_list_notes_the_rules_of_a_history_that_has_no_entries_yet(
    manager: CacheManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*_: object) -> int:
        raise AssertionError("there is nothing to look for")

    scan(manager, "nodes", [], redaction="1/a")  # the first list of a process looks at all that is stored
    monkeypatch.setattr("cache.cache_manager.scrub_outdated", looked)
    scan(manager, "pods", staged("pods", api_object("pods", "web-1")), redaction="1/a")
    assert query(manager.path, "SELECT cluster, rules FROM history_rules WHERE kind = 'pods'") == [(CLUSTER, "1")]
    scan(manager, "pods", staged("pods", api_object("pods", "web-2")), redaction="1/b")


def test_another_key_is_no_rotation_and_leaves_the_history_alone(leaky: CacheManager) -> None:
    marked = {"token": "‹redacted:aaaa›"}
    scan(leaky, "nodes", staged("nodes", api_object("nodes", "node-1", annotations=marked)), redaction="1/a")
    before = query(leaky.path, "SELECT * FROM changes"), query(leaky.path, "SELECT * FROM deleted_objects")
    marked["token"] = "‹redacted:bbbb›"
    scan(leaky, "nodes", staged("nodes", api_object("nodes", "node-1", version=9, annotations=marked)), redaction="1/b")
    assert (query(leaky.path, "SELECT * FROM changes"), query(leaky.path, "SELECT * FROM deleted_objects")) == before
