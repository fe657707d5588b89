"""Several threads and processes on one database, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cache import scan_lock
from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache.refresh_requests import request_refresh
from cache.scan_lock import ScanLock, lock_holder
from cache.sql_guard import run_query
from cache_fixtures import CLUSTER, api_object, pods, scan, staged
from configuration.errors import ConfigurationError, LockHeld
from kinds.list_query import ListQuery
from kinds.registry import KINDS

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
