"""Several threads and processes on one database, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cache import scan_lock
from cache.cache_manager import CacheManager, ClusterIdentity, ObjectChange
from cache.cache_reader import CacheReader
from cache.connection import WAL_CHECKPOINT_PAGES, WAL_MOST_PAGES
from cache.refresh_requests import request_refresh
from cache.scan_lock import ScanLock, lock_holder
from cache.sql_guard import run_query
from cache.ttl_manager import TtlPolicy
from cache.write_turns import PAUSE_SECONDS, WriteTurns
from cache_fixtures import CLUSTER, Clock, api_object, delta, pods, scan, staged
from configuration.errors import ConfigurationError, LockHeld
from kinds.list_query import ListQuery
from kinds.registry import KINDS
from scanner.cleanup_command import rewrite

PODS = KINDS["pods"]


@contextmanager
def other_process(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs `program` with `path`, past its first printed line; killed with -9 at the end."""
    source, fixtures = Path(scan_lock.__file__).parents[1], Path(__file__).parent
    start = f"import sys, pathlib; sys.path[:0] = [{str(source)!r}, {str(fixtures)!r}]; path = pathlib.Path({str(path)!r})\n"
    process = subprocess.Popen([sys.executable, "-c", start + textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def test_nobody_is_locked_out_while_pages_are_staged(manager: CacheManager) -> None:
    scan(manager, "pods", pods(10))
    with manager.stage(CLUSTER, PODS) as staging, closing(sqlite3.connect(manager.path, timeout=0)) as other:
        for _ in range(3):
            staging.add(pods(600, version=2))
            other.execute("INSERT INTO refresh_requests (cluster, kind, reason, requested_at) VALUES ('c', 'pods', '', 1)")
            other.commit()
            assert request_refresh(manager.path, cluster=CLUSTER, kind="pods") > 0
        assert staging.finish(resource_version="2").total == 600


def test_a_reader_sees_the_old_state_or_the_new_one_and_nothing_between(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(1500))
    seen: set[tuple[int, int, int]] = set()
    finished = threading.Event()

    def poll() -> None:
        sql = "SELECT (SELECT count(*) FROM pods), (SELECT count(*) FROM containers), (SELECT count(*) FROM labels)"
        while not finished.is_set():
            seen.add(run_query(manager.path, sql, cluster=CLUSTER).rows[0])
            total = reader.list(CLUSTER, ListQuery(PODS)).envelope.total or 0
            seen.add((total, 2 * total, total))

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        scan(manager, "pods", pods(700, version=2, first=1200))
        scan(manager, "pods", pods(1500, version=3))
    finally:
        finished.set()
        poller.join()
    assert seen <= {(1500, 3000, 1500), (700, 1400, 700)}
    assert seen


def test_scans_of_several_kinds_at_once_all_succeed(manager: CacheManager, reader: CacheReader) -> None:

    outcomes = []

    def run(kind: str) -> None:
        page = staged(kind, *(api_object(kind, f"web-{i}") for i in range(300)))
        outcomes.append(scan(manager, kind, page).total)

    threads = [threading.Thread(target=run, args=(kind,)) for kind in ("services", "deployments", "replicasets", "nodes")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [300] * 4
    assert {row.item_count for row in reader.freshness_all()} == {300}


@pytest.mark.parametrize("moment", ["while pages are staged", "inside the swap"])
def test_a_scan_killed_at_any_moment_leaves_the_old_state_and_a_free_lock(
    moment: str, manager: CacheManager, open_manager: Callable[..., CacheManager], reader: CacheReader
) -> None:
    scan(manager, "pods", pods(20))
    manager.close()
    program = f"""
        import signal
        from cache.cache_manager import CacheManager
        from cache.scan_lock import ScanLock
        from cache.swap import Swap
        from cache.ttl_manager import TtlPolicy
        from cache_fixtures import CLUSTER, pods
        from kinds.registry import KINDS

        def hang(*_, **__):
            print("ready", flush=True)
            signal.pause()

        if {moment!r} == "inside the swap":
            Swap._note_success = hang
        with ScanLock(path), CacheManager(path, policy=TtlPolicy()) as manager:
            with manager.stage(CLUSTER, KINDS["pods"]) as staging:
                staging.add(pods(900, version=2))
                if {moment!r} == "inside the swap":
                    staging.finish(resource_version="2")
                hang()
    """
    with other_process(program, manager.path) as process:
        assert reader.list(CLUSTER, ListQuery(PODS)).envelope.total == 20
        assert lock_holder(manager.path) == process.pid
        with pytest.raises(LockHeld, match=f"pid {process.pid}"), ScanLock(manager.path):
            pass
    assert lock_holder(manager.path) is None
    assert reader.list(CLUSTER, ListQuery(PODS)).envelope.total == 20
    with ScanLock(manager.path):
        assert scan(open_manager(), "pods", pods(900, version=2)).total == 900


def test_the_lock_is_free_although_a_child_of_the_killed_holder_lives_on(database: Path) -> None:
    program = """
        import subprocess, signal
        from cache.scan_lock import ScanLock
        with ScanLock(path):
            child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"],
                                     close_fds=False, stdout=subprocess.DEVNULL)
            path.with_suffix(".child").write_text(str(child.pid))
            print("ready", flush=True)
            signal.pause()
    """
    child = database.with_suffix(".child")
    try:
        with other_process(program, database):
            assert lock_holder(database) is not None
        with ScanLock(database):
            pass
    finally:
        os.kill(int(child.read_text()), signal.SIGKILL)


def test_the_lock_is_free_after_its_block_and_is_not_reentrant(database: Path) -> None:
    with ScanLock(database):
        with pytest.raises(LockHeld) as held, ScanLock(database):
            pass
        assert held.value.exit_code == 4
    with ScanLock(database):
        pass


def test_a_lock_in_a_folder_that_does_not_exist_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CACHE_DB_PATH"), ScanLock(tmp_path / "missing" / "cache.db"):
        pass


# --- nobody is kept from writing for long


@contextmanager
def another_writer(path: Path) -> Iterator[Callable[[], float]]:
    """A process that asks for refreshes without a pause; called, it gives the longest of its waits so far, in seconds."""
    program = """
        import os, time
        from cache.refresh_requests import request_refresh
        number, longest, result = 0, 0.0, path.with_suffix(".waits")
        print("ready", flush=True)
        while True:
            started = time.monotonic()
            request_refresh(path, cluster="c", kind=f"kind-{number}")
            number, longest = number + 1, max(longest, time.monotonic() - started)
            result.with_suffix(".new").write_text(f"{number} {longest}")
            os.replace(result.with_suffix(".new"), result)
            time.sleep(0.002)
    """
    result = path.with_suffix(".waits")

    def measured() -> tuple[int, float]:
        number, longest = result.read_text().split() if result.exists() else ("0", "0")
        return int(number), float(longest)

    def longest_wait() -> float:
        before, deadline = measured()[0], time.monotonic() + 30
        while measured()[0] <= before + 1:  # what was waiting has got its turn too
            assert time.monotonic() < deadline, "the other writer is locked out"
            time.sleep(0.01)
        return measured()[1]

    with other_process(program, path):
        longest_wait()
        yield longest_wait


def bound(folder: Path) -> float:
    """A second, or on a machine that is busy just now what ten transactions of 2,000 pods' bytes take there, if more."""
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, text TEXT UNIQUE, body BLOB)")
        started = time.monotonic()
        connection.execute("BEGIN")
        rows = ((f"{number}-{started}", bytes(3000)) for number in range(2000))
        connection.executemany("INSERT INTO plain (text, body) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    return max(1.0, 10 * (time.monotonic() - started))


@pytest.mark.parametrize("work", ["first fill", "nothing changed", "all changed", "2,000 events", "cleanup"])
def test_another_writer_waits_a_second_at_most(work: str, manager: CacheManager, clock: Clock) -> None:
    first, changed = pods(10_000), pods(10_000, version=2)
    if work == "cleanup":
        fill_history(manager.path, 40_000)
        clock.now += 10_000_000
    elif work != "first fill":
        scan(manager, "pods", first)
    limits = [bound(manager.path.parent)]
    with another_writer(manager.path) as longest_wait:
        if work == "cleanup":
            assert manager.cleanup().changes == 40_000
        elif work == "2,000 events":
            events = [ObjectChange("MODIFIED", one, one.record.uid, "kubectl") for one in changed[:2000]]
            assert manager.apply(CLUSTER, [replace(delta("pods"), changes=events)])[0].changed == 2000
        else:
            scan(manager, "pods", changed if work == "all changed" else first)
        waited = longest_wait()
    limits.append(bound(manager.path.parent))
    assert waited < max(limits), f"{waited:.2f} s"


def fill_history(path: Path, rows: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO changes (cluster, kind, name, uid, field, old, new, seen_at, resource_version) "
            "VALUES (?, 'pods', ?, ?, 'restarts', '1', '2', 1, '1')",
            ((CLUSTER, f"web-{number}", f"uid-{number}") for number in range(rows)),
        )


def test_writers_in_one_process_leave_others_a_pause() -> None:
    now, slept = [0.0], []
    turns = WriteTurns(clock=lambda: now[0], pause=slept.append)

    def write(seconds: float) -> None:
        with turns.turn():
            now[0] += seconds

    for seconds in (0.3, 0.05, 0.3):  # the third makes it too long
        write(seconds)
    assert slept == []
    now[0] += PAUSE_SECONDS / 4  # nobody is sure to have looked in so short a while
    write(0.3)
    assert slept == [PAUSE_SECONDS]
    for _ in range(5):
        now[0] += 1
        write(0.5)
    assert len(slept) == 1


def test_the_log_is_copied_in_the_pauses_of_writers(manager: CacheManager, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def pods_in_the_file() -> int:
        with closing(sqlite3.connect(f"{manager.path.as_uri()}?immutable=1", uri=True)) as connection:  # without its log
            return int(connection.execute("SELECT count(*) FROM pods").fetchone()[0])

    scan(manager, "pods", pods(100))
    assert pods_in_the_file() == 0
    monkeypatch.setattr("cache.write_turns.LONGEST_HELD_SECONDS", 0.0)
    started = time.monotonic()
    manager.record_scanner()
    clock.now += 1
    manager.record_scanner()
    assert time.monotonic() - started >= PAUSE_SECONDS
    assert pods_in_the_file() == 100


def test_the_log_of_large_fills_shrinks_again(manager: CacheManager, clock: Clock) -> None:
    log = manager.path.with_name(f"{manager.path.name}-wal")
    for version in (1, 2, 3):
        scan(manager, "pods", pods(6000, version=version))
    assert 4096 * WAL_CHECKPOINT_PAGES < log.stat().st_size < 5 * 4096 * WAL_MOST_PAGES // 4
    for _ in ("finds a long log, and copies it", "begins it anew"):
        clock.now += 1
        manager.record_scanner()
    assert log.stat().st_size <= 4096 * WAL_CHECKPOINT_PAGES


def test_readers_go_on_while_the_database_is_vacuumed(manager: CacheManager, reader: CacheReader) -> None:
    scan(manager, "pods", pods(4000))
    scan(manager, "pods", pods(50))
    with closing(sqlite3.connect(manager.path)) as connection, connection:
        connection.execute("DELETE FROM deleted_objects")
    seen, finished = [], threading.Event()

    def poll() -> None:
        while not finished.is_set():
            seen.append(reader.list(CLUSTER, ListQuery(PODS)).envelope.total)

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        before, after = rewrite(manager.path)
    finally:
        finished.set()
        poller.join()
    assert set(seen) == {50}
    assert after < before / 2
    assert scan(manager, "pods", pods(60)).added == 10


# --- the lock when its file is removed


def test_a_lock_whose_file_was_removed_is_taken_anew_before_the_next_write(database: Path, clock: Clock) -> None:
    with ScanLock(database) as lock, CacheManager(database, policy=TtlPolicy(), clock=clock, lock=lock) as manager:
        lock.path.unlink()
        assert lock_holder(database) is None
        manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="uid"))
        assert lock_holder(database) == os.getpid()
        with pytest.raises(LockHeld), ScanLock(database):
            pass
    assert lock_holder(database) is None


def test_nothing_is_written_any_more_once_the_lock_was_given_back(database: Path, clock: Clock) -> None:
    """A thread that was cut off in its work must not write beside the next scanner."""
    with ScanLock(database) as lock, CacheManager(database, policy=TtlPolicy(), clock=clock, lock=lock) as manager:
        manager.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="uid"))
        lock.__exit__(None, None, None)
        with pytest.raises(LockHeld, match="given back"):
            scan(manager, "pods", pods(3))


def test_a_scanner_whose_database_and_lock_were_removed_writes_nothing_beside_another_one(database: Path, clock: Clock) -> None:
    with ScanLock(database) as lock, CacheManager(database, policy=TtlPolicy(), clock=clock, lock=lock) as first:
        first.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="uid"))
        scan(first, "pods", pods(3))
        for part in database.parent.iterdir():
            part.unlink()
        with ScanLock(database), CacheManager(database, policy=TtlPolicy(), clock=clock) as second:
            second.register_cluster(ClusterIdentity(cluster=CLUSTER, uid="uid"))
            scan(second, "pods", pods(5))
            for write in (
                first.reopen_if_replaced,
                lambda: first.apply(CLUSTER, [delta("pods", ("ADDED", api_object("pods", "web-9")))]),
                lambda: scan(first, "pods", pods(1)),
                first.cleanup,
                first.record_scanner,
            ):
                with pytest.raises(LockHeld):
                    write()
            with CacheReader(database, clock=clock) as reader:
                assert reader.list(CLUSTER, ListQuery(PODS)).envelope.total == 5
        assert first.reopen_if_replaced()
