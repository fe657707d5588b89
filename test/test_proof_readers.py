"""While ten thousand pods are scanned: who reads sees the old count or the new one, who writes is not kept waiting."""

from __future__ import annotations

import base64
import json
import sqlite3
import ssl
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from cache.refresh_requests import request_refresh
from demo_fixtures import start_demo_server
from scan_fixtures import ScannerProcess, query

PODS = 10_000
LONGEST_WAIT_SECONDS = 1.0
USUAL_WRITE_SECONDS = 0.035
"""Of one small write into a database that nobody else uses, while a scan runs on the same two cores."""


class FrozenCluster:
    """The simulated cluster without any movement of its own; pods go when the test says so."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self.context = document["current-context"]
        self._server, self._token = cluster["server"], user["token"]
        self._tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())

    def request(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self._server + path, method=method, headers={"Authorization": f"Bearer {self._token}"})
        with urllib.request.urlopen(request, context=self._tls, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def pods(self) -> int:
        page = self.request("GET", "/api/v1/pods?limit=1")
        return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))

    def delete_pods(self, count: int) -> None:
        for item in self.request("GET", f"/api/v1/pods?limit={count}")["items"]:
            metadata = item["metadata"]
            self.request("DELETE", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}?gracePeriodSeconds=0")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrozenCluster]:
    with ExitStack() as stack:
        server = start_demo_server(stack, tmp_path_factory.mktemp("frozen"), "--pods", str(PODS), "--speed", "0")
        yield FrozenCluster(server.kubeconfig)


@dataclass
class Seen:
    """`counts`: every pair (complete, rows, containers' pods) that a reader saw. `waits`: seconds of each write.

    `elsewhere`: seconds of the same writes in a copy of the database that nobody else uses, as long as the machine makes them.
    """

    counts: set[tuple[int, int, int]] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)
    elsewhere: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def slowness(self) -> float:
        """How many times as long as on two idle cores everything takes just now, because of others at work here."""
        return max(1.0, statistics.median(self.elsewhere) / USUAL_WRITE_SECONDS)

    def longest_wait(self) -> float:
        """Seconds, as it would have been on two cores without others at work."""
        return max(self.waits) / self.slowness()


READ = (
    "SELECT (SELECT max(complete) FROM cache_metadata WHERE kind = 'pods' AND last_full_at IS NOT NULL), "
    "(SELECT count(*) FROM pods), (SELECT count(DISTINCT pod_uid) FROM containers)"
)


@contextmanager
def company(database: Path, context: str) -> Iterator[Seen]:
    """A reader and a writer, at the same time as the scans of the block."""
    seen, stop = Seen(), threading.Event()
    unused = database.with_name("unused.db")
    with closing(sqlite3.connect(database)) as original, closing(sqlite3.connect(unused)) as copy:
        original.backup(copy)

    def read() -> None:
        while not stop.wait(0.02):
            seen.counts |= set(query(database, READ))

    def write(into: Path, waits: list[float]) -> None:
        while not stop.wait(0.05):
            started = time.monotonic()
            request_refresh(into, cluster=context, kind="nodes", reason="a test asks")
            waits.append(time.monotonic() - started)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  a thread's failure is the test's
            seen.errors.append(f"{type(error).__name__}: {error}")

    works = (read, partial(write, database, seen.waits), partial(write, unused, seen.elsewhere))
    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def test_ten_thousand_pods_are_scanned_without_half_counts_and_without_locking_others_out(
    cluster: FrozenCluster, scanner_process: Callable[..., ScannerProcess]
) -> None:
    scanner = scanner_process(cluster.kubeconfig)
    assert scanner.report("--kind", "nodes")["exit_code"] == 0, "makes the database"
    before = cluster.pods()
    with company(scanner.database, cluster.context) as seen:
        assert scanner.report("--kind", "pods")["exit_code"] == 0
    assert seen.errors == []
    assert {counts for counts in seen.counts if counts[0]} <= {(1, before, before)}, "a first fill counts when it is done"
    assert seen.longest_wait() < LONGEST_WAIT_SECONDS

    cluster.delete_pods(400)
    after = cluster.pods()
    assert after <= before - 400
    with company(scanner.database, cluster.context) as seen:
        assert scanner.report("--kind", "pods", "--full")["exit_code"] == 0
    assert seen.errors == []
    assert seen.counts <= {(1, before, before), (1, after, after)}
    assert seen.longest_wait() < LONGEST_WAIT_SECONDS
    assert query(scanner.database, READ) == [(1, after, after)]
    assert query(scanner.database, "SELECT count(*) FROM deleted_objects WHERE kind = 'pods'") == [(before - after,)]


def test_a_transaction_that_is_held_open_would_be_noticed(
    tmp_path: Path, scanner_process: Callable[..., ScannerProcess], cluster: FrozenCluster
) -> None:
    scanner = scanner_process(cluster.kubeconfig)
    assert scanner.report("--kind", "nodes")["exit_code"] == 0
    with (
        company(scanner.database, cluster.context) as seen,
        closing(sqlite3.connect(scanner.database, isolation_level=None)) as other,
    ):
        time.sleep(1)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(2 * LONGEST_WAIT_SECONDS * seen.slowness())
        other.execute("ROLLBACK")
    assert seen.longest_wait() > LONGEST_WAIT_SECONDS
