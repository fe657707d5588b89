"""`scanner run` as a process, on a real API server: it keeps up, it stops, and it starts again whatever happened."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cache.refresh_requests import request_refresh
from kinds.registry import KINDS
from scan_fixtures import ScannerProcess, query, stored_versions

MakeScanner = Callable[..., ScannerProcess]
SERVED = {name for name, kind in KINDS.items() if not kind.optional}
"""Kinds that every cluster has."""


def wait_for(holds: Callable[[], Any], what: str, seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


def scanned_kinds(scanner: ScannerProcess) -> int:
    if not scanner.database.exists():
        return 0
    try:
        complete = {kind for (kind,) in query(scanner.database, "SELECT kind FROM cache_metadata WHERE complete")}
        return len(complete & SERVED)
    except Exception:  # noqa: BLE001  it is just being created
        return 0


def filled(scanner: ScannerProcess) -> None:
    wait_for(lambda: scanned_kinds(scanner) == len(SERVED), "a first scan of every kind", 100)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> float:
    started = time.monotonic()
    process.send_signal(number)
    process.wait(20)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def daemon(control_plane: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScannerProcess]:
    """One that has scanned everything, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("daemon")
    scanner = ScannerProcess(folder, control_plane.kubeconfig, folder / "cache.db")
    try:
        scanner.start("run")
        filled(scanner)
        yield scanner
    finally:
        scanner.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_signal_ends_it_within_5_seconds_and_leaves_no_process(
    control_plane: Any, scanner_process: MakeScanner, number: int
) -> None:
    scanner = scanner_process(control_plane.kubeconfig)
    process = scanner.start()
    filled(scanner)
    servers = children(process.pid)
    assert servers, "the MCP server is a child"
    assert stop(process, number) < 5
    assert process.returncode == 0
    assert not any(map(alive, servers))
    assert "stopped" in scanner.log.read_text()
    assert "Traceback" not in scanner.log.read_text()
    assert query(scanner.database, "PRAGMA integrity_check") == [("ok",)]


def test_a_stop_signal_in_the_middle_of_a_hanging_scan_ends_it_too(
    control_plane_factory: Callable[..., Any], scanner_process: MakeScanner
) -> None:
    control_plane = control_plane_factory(controllers=False)
    scanner = scanner_process(control_plane.kubeconfig, SCANNER_DYNAMIC_INTERVAL="2")
    process = scanner.start()
    filled(scanner)
    with control_plane.api_server.paused():
        wait_for(lambda: control_plane.audit is not None and seconds_since_check(scanner) > 4, "a scan that hangs")
        assert stop(process) < 5
    assert process.returncode == 0


def seconds_since_check(scanner: ScannerProcess) -> float:
    (checked,) = query(scanner.database, "SELECT max(last_checked_at) FROM cache_metadata WHERE kind = 'pods'")[0]
    return time.time() - float(checked)


def test_after_kill_9_the_next_start_is_at_once_and_clean(control_plane: Any, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(control_plane.kubeconfig)
    process = scanner.start()
    filled(scanner)
    servers = children(process.pid)
    stop(process, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, servers)), "the MCP server to notice that its client is gone")
    assert query(scanner.database, "PRAGMA integrity_check") == [("ok",)]
    assert scanner.report("--kind", "pods")["exit_code"] == 0


def test_it_keeps_a_moving_cluster_fresh(control_plane: Any, fresh_namespace: str, scanner_process: MakeScanner) -> None:
    """With TTLs of 12 s: at no moment is a kind stale, and at the end the cache equals the cluster."""
    ttl = {"CACHE_DYNAMIC_TTL": "12", "CACHE_STATIC_TTL": "12", "SCANNER_DYNAMIC_INTERVAL": "12", "SCANNER_STATIC_INTERVAL": "12"}
    scanner = scanner_process(control_plane.kubeconfig, **ttl)
    scanner.start()
    filled(scanner)
    path = f"/api/v1/namespaces/{fresh_namespace}/services"
    end, number, stale = time.monotonic() + 14, 0, []
    while time.monotonic() < end:
        control_plane.api.post(path, {"metadata": {"name": f"s-{number}"}, "spec": {"ports": [{"port": 80}]}})
        if number >= 2:
            control_plane.api.delete(f"{path}/s-{number - 2}")
        number += 1
        stale += query(scanner.database, "SELECT kind FROM cache_metadata WHERE expires_at <= ?", time.time())
        time.sleep(0.3)
    assert stale == []
    kind = KINDS["services"]

    def equal() -> bool:
        items = control_plane.api.get(kind.api_path())["items"]
        listed = {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in items}
        return stored_versions(scanner.database, "services", control_plane.context) == listed

    wait_for(equal, "the cache to equal the cluster, once that stands still", 20)


def test_it_lives_through_an_outage_and_recovers_by_itself(
    control_plane_factory: Callable[..., Any], scanner_process: MakeScanner
) -> None:
    control_plane = control_plane_factory(controllers=False)
    ttl = {"SCANNER_DYNAMIC_INTERVAL": "2", "SCANNER_STATIC_INTERVAL": "2"}
    scanner = scanner_process(control_plane.kubeconfig, **ttl)
    process = scanner.start()
    filled(scanner)
    before = {kind: stored_versions(scanner.database, kind, control_plane.context) for kind in SERVED}
    errors = "SELECT count(*) FROM cache_metadata WHERE last_error <> ''"
    with control_plane.api_server.stopped():
        wait_for(lambda: query(scanner.database, errors)[0][0] >= len(SERVED), "every kind's failure to be recorded")
        assert {kind: stored_versions(scanner.database, kind, control_plane.context) for kind in SERVED} == before
    assert process.poll() is None
    wait_for(lambda: query(scanner.database, errors) == [(0,)], "the recovery", 60)
    wait_for(lambda: "can be followed again (recovered after" in scanner.log.read_text(), "the recovery to be logged")
    told = re.findall(r"scanner\.follow_failures: .*", scanner.log.read_text())
    assert len(told) <= 8, "an outage and its end are told a few times, since watches break one by one, not for each kind"


def test_an_mcp_server_that_is_killed_is_replaced(control_plane: Any, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(control_plane.kubeconfig, SCANNER_DYNAMIC_INTERVAL="3")
    process = scanner.start()
    filled(scanner)
    (server,) = children(process.pid)
    os.kill(server, signal.SIGKILL)
    checked = seconds_since_check(scanner)
    wait_for(lambda: seconds_since_check(scanner) < checked, "the next scan", 30)
    assert children(process.pid) not in ([], [server])


def test_a_refresh_request_is_served_within_3_seconds(control_plane: Any, daemon: ScannerProcess) -> None:
    scanner = daemon
    counted = "SELECT coalesce(last_counted_at, last_full_at) FROM cache_metadata WHERE kind = 'services'"
    before = query(scanner.database, counted)[0][0]
    wait_for(lambda: int(time.time()) > before, "the next second")
    started = time.monotonic()
    request_refresh(scanner.database, cluster=control_plane.context, kind="services", reason="a test asks")
    wait_for(lambda: query(scanner.database, counted)[0][0] > before, "the check that was asked for")
    assert time.monotonic() - started < 3


def test_a_scan_from_cron_beside_the_daemon_ends_with_4_and_writes_nothing(daemon: ScannerProcess) -> None:
    scanner, process = daemon, daemon.running[0]
    process.send_signal(signal.SIGSTOP)  # what changes now was changed by the other one
    try:
        before = {file.name: file.read_bytes() for file in scanner.folder.glob("cache.db*")}
        for command in ("scan", "cleanup", "run"):
            done = scanner.run(command)
            assert done.returncode == 4, (command, done.stderr)
            assert str(process.pid) in done.stderr
            assert done.stdout == ""
        after = {file.name: file.read_bytes() for file in scanner.folder.glob("cache.db*")}
    finally:
        process.send_signal(signal.SIGCONT)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


def test_it_writes_one_log_line_for_each_scan_and_reports_itself(daemon: ScannerProcess) -> None:
    scanner, process = daemon, daemon.running[0]
    lines = wait_for(lambda: scan_lines(scanner.log.read_text()), "log lines")
    assert {line.split()[1].rstrip(":") for line in lines} == SERVED
    assert len(lines) == len(SERVED)
    status = scanner.run("status", "-o", "json")
    assert json.loads(status.stdout)["scanner"] == {"running": True, "pid": process.pid, "died": False}
    assert status.returncode == 0, status.stderr


def scan_lines(log: str) -> list[str]:
    """`CLUSTER KIND: N objects (…), N pages in …`; what the daemon catches up with afterwards has no pages."""
    found = re.findall(r"scan_outcomes: (\S+ \w+: \d+ objects? .* pages? in .*)", log)
    return found if len(found) >= len(SERVED) else []


def test_a_database_that_is_removed_while_it_runs_is_filled_anew(control_plane: Any, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(control_plane.kubeconfig, CACHE_DYNAMIC_TTL="4", CACHE_STATIC_TTL="4")
    process = scanner.start()
    filled(scanner)
    for part in scanner.folder.glob("cache.db*"):
        part.unlink()
    filled(scanner)
    assert stop(process) < 5
    assert process.returncode == 0


def test_a_stop_signal_while_the_database_is_locked_ends_it_within_5_seconds(
    control_plane: Any, scanner_process: MakeScanner
) -> None:
    scanner = scanner_process(control_plane.kubeconfig, CACHE_DYNAMIC_TTL="4", CACHE_STATIC_TTL="4")
    process = scanner.start()
    filled(scanner)
    with closing(sqlite3.connect(scanner.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: seconds_since_check(scanner) > 5, "scans that wait for the lock")
        assert stop(process) < 5
    assert process.returncode == 0
    assert query(scanner.database, "PRAGMA integrity_check") == [("ok",)]
    assert "Traceback" not in scanner.log.read_text()
