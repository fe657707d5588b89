"""`soak`: a daemon that follows a cluster in constant movement: memory, size of the database, lag, requests."""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from proof_document import record

from control_plane_fixtures import launch
from controlplane.binaries import ensure_binaries
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from fault_proxy import verb_of
from scan_fixtures import SCANNER, query

NODES, NAMESPACES = 20, 25
STAMP = "proof.changed-at"
WARM_UP_SHARE = 0.2
SAMPLE_SECONDS = 2.0
LAG_POLL_SECONDS = 0.05
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GROWTH_LIMIT, LAG_LIMIT_SECONDS, WATCH_LIMIT = 0.05, 5.0, 12


@dataclass(slots=True)
class Readings:
    """What was measured. `memory`: (seconds, bytes of the scanner and its MCP server); `lags` in seconds."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    database: list[tuple[float, int]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)
    changes: int = 0
    last: dict[str, str] = field(default_factory=dict)
    """The last stamp of each pod, by path."""
    unseen: int = 0
    watches: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    scanner_cpu_seconds: float = 0.0
    still_running: bool = True


def prove_soak(arguments: argparse.Namespace) -> int:
    seconds = arguments.minutes * 60
    control_plane = launch(ensure_binaries(), name=f"soak-{os.getpid()}", nodes=0, controllers=False, gogc=400)
    try:
        with tempfile.TemporaryDirectory(prefix="k8s-mcp-soak-") as folder:
            print(f"creating {arguments.pods} pods", file=sys.stderr, flush=True)
            pods = _populate(control_plane, arguments.pods)
            database = Path(folder) / "cache.db"
            with _scanner(control_plane, Path(folder), database) as scanner:
                readings = _soak(control_plane, scanner, database, pods, seconds, arguments.changes_per_second)
    finally:
        control_plane.stop()
    lines, failed = _lines(readings, arguments)
    record("Soak", lines, write=not arguments.no_write)
    return int(failed)


def _populate(control_plane: ControlPlane, count: int) -> list[str]:
    """Paths of the pods."""
    control_plane.create_nodes([f"node-{number}" for number in range(NODES)])
    namespaces = [control_plane.create_namespace(f"shop-{number:02d}") for number in range(NAMESPACES)]
    nodes = [f"node-{number}" for number in range(NODES)]
    control_plane.pods.create_many(count, namespaces=namespaces, nodes=nodes, patch_status=True)
    items = control_plane.api.get("/api/v1/pods")["items"]
    return [f"/api/v1/namespaces/{item['metadata']['namespace']}/pods/{item['metadata']['name']}" for item in items]


@contextmanager
def _scanner(control_plane: ControlPlane, folder: Path, database: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SCANNER_", "CACHE_", "KUBE"))}
    environment |= {
        "KUBECONFIG": str(control_plane.kubeconfig),
        "CACHE_DB_PATH": str(database),
        "REDACTION_KEY_FILE": str(folder / "key"),
    }
    with (folder / "scanner.log").open("wb") as log:
        process = subprocess.Popen([str(SCANNER), "run"], env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(lambda: _pods_complete(database), "the first scan", timeout_seconds=180, interval_seconds=0.5)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _pods_complete(database: Path) -> bool:
    try:
        return query(database, "SELECT complete FROM cache_metadata WHERE kind = 'pods'") == [(1,)]
    except sqlite3.Error:
        return False


def _soak(
    control_plane: ControlPlane, scanner: subprocess.Popen[bytes], database: Path, pods: list[str], seconds: float, rate: float
) -> Readings:
    readings, stop = Readings(), threading.Event()
    mark, began = control_plane.audit.mark(), time.monotonic()
    threads = [
        threading.Thread(target=_churn, args=(control_plane, pods, rate, readings, stop), daemon=True),
        threading.Thread(target=_measure_lag, args=(database, readings, began, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        while (passed := time.monotonic() - began) < seconds and scanner.poll() is None:
            readings.memory.append((passed, sum(map(_resident_bytes, _family(scanner.pid)))))
            readings.database.append((passed, _database_bytes(database)))
            if int(passed) // 60 != int(passed - SAMPLE_SECONDS) // 60:
                _tell(readings)
            time.sleep(SAMPLE_SECONDS)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    readings.unseen = _unseen(database, set(readings.last.values()))
    readings.still_running = scanner.poll() is None
    readings.scanner_cpu_seconds = sum(map(_cpu_seconds, _family(scanner.pid)))
    for request in control_plane.audit.requests(mark, user="admin"):
        path = urlsplit(request.uri)
        verb = verb_of("GET", path.path, path.query) if request.verb in ("get", "list", "watch") else request.verb
        readings.requests[verb] += 1
        if verb == "watch":
            readings.watches[path.path.rsplit("/", 1)[-1]] += 1
    return readings


def _churn(control_plane: ControlPlane, pods: list[str], rate: float, readings: Readings, stop: threading.Event) -> None:
    """Stamps a label of a random pod, `rate` times a second; late ones are caught up with."""
    chance, began = random.Random(1), time.monotonic()  # noqa: S311  which pod changes is no secret
    while not stop.is_set():
        due = began + readings.changes / rate
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        pod, stamp = chance.choice(pods), f"{time.time():.3f}"
        control_plane.api.patch(pod, {"metadata": {"labels": {STAMP: stamp}}})
        readings.last[pod] = stamp
        readings.changes += 1


def _measure_lag(database: Path, readings: Readings, began: float, stop: threading.Event) -> None:
    """A change's age when a reader first sees it: includes the request itself and up to LAG_POLL_SECONDS of looking."""
    seen: dict[str, str] = {}
    sql = "SELECT uid, value FROM labels WHERE kind = 'pods' AND key = ?"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10, isolation_level=None)) as db:
        while not stop.wait(LAG_POLL_SECONDS):
            rows, now = db.execute(sql, (STAMP,)).fetchall(), time.time()
            for uid, value in rows:
                if seen.get(uid) != value:
                    seen[uid] = value
                    readings.lags.append((time.monotonic() - began, now - float(value)))


def _unseen(database: Path, stamps: set[str]) -> int:
    """How many last stamps the cache does not show, given a few seconds more."""

    def missing() -> set[str]:
        return stamps - {value for (value,) in query(database, "SELECT value FROM labels WHERE key = ?", STAMP)}

    with suppress(TimeoutError):
        wait_until(lambda: not missing(), "every change to be seen", timeout_seconds=2 * LAG_LIMIT_SECONDS)
    return len(missing())


def _lines(readings: Readings, arguments: argparse.Namespace) -> tuple[list[str], bool]:
    seconds = readings.memory[-1][0]
    hours = seconds / 3600
    warm = seconds * WARM_UP_SHARE
    first, last = _thirds(readings.memory, warm)
    growth = last / first - 1
    most = max(size for _, size in readings.memory)
    sizes = [size for _, size in readings.database]
    lags = sorted(lag for _, lag in readings.lags)
    most_watches = max(readings.watches.values(), default=0)
    checks = {
        "memory growth below 5 %": growth < GROWTH_LIMIT,
        "every lag below 5 s": bool(lags) and lags[-1] < LAG_LIMIT_SECONDS,
        "at most 12 watch requests per kind and hour": most_watches <= max(WATCH_LIMIT * hours, 2),
        "every pod's last change was seen": readings.unseen == 0,
        "the scanner still ran at the end": readings.still_running,
    }
    watches = ", ".join(f"{kind} {count}" for kind, count in readings.watches.most_common(3))
    requests = ", ".join(f"{verb} {count}" for verb, count in sorted(readings.requests.items()))
    lines = [
        f"`script/proof soak --minutes {arguments.minutes:g} --pods {arguments.pods} --changes-per-second "
        f"{arguments.changes_per_second:g}`: {seconds / 60:.0f} minutes, {readings.changes} changes "
        f"({readings.changes / seconds:.1f} a second), every kind followed.",
        "",
        f"- Memory of scanner and MCP server after a warm-up of {warm / 60:.0f} minutes: {first / 1e6:.0f} MB on average over "
        f"the first third, {last / 1e6:.0f} MB over the last ({growth:+.1%}); at most {most / 1e6:.0f} MB.",
        f"- Database with its log: {sizes[0] / 1e6:.1f} MB at the start, {sizes[-1] / 1e6:.1f} MB at the end, "
        f"{max(sizes) / 1e6:.1f} MB at most; {(sizes[-1] - sizes[0]) / max(1, readings.changes) * 1000 / 1e6:.2f} MB per 1,000 "
        "changes, all history (bounded by CACHE_HISTORY_MAX_MB and CACHE_HISTORY_RETENTION).",
        f"- Lag from the request to a reader's sight: median {median(lags):.2f} s, 99 % {lags[int(len(lags) * 0.99)]:.2f} s, "
        f"at most {lags[-1]:.2f} s, over {len(lags)} changes that were seen by themselves.",
        f"- Requests: {requests}; watches per kind: at most {most_watches} ({watches}).",
        f"- CPU of scanner and MCP server: {readings.scanner_cpu_seconds / seconds:.0%} of one core; load of the machine at the "
        f"end {os.getloadavg()[1]:.1f} on {os.cpu_count()} CPUs.",
        *(f"- {'holds' if holds else 'MISSED'}: {what}." for what, holds in checks.items()),
    ]
    return lines, not all(checks.values())


def _thirds(samples: list[tuple[float, int]], warm: float) -> tuple[float, float]:
    """Averages over the first and the last third of the time after the warm-up."""
    kept = [value for at, value in samples if at >= warm]
    size = max(1, len(kept) // 3)
    return sum(kept[:size]) / size, sum(kept[-size:]) / size


def _tell(readings: Readings) -> None:
    at, memory = readings.memory[-1]
    recent = [lag for when, lag in readings.lags[-2000:] if when > at - 60] or [0.0]
    size = readings.database[-1][1]
    print(
        f"{at / 60:.0f} min: {memory / 1e6:.0f} MB, database {size / 1e6:.1f} MB, {readings.changes} changes, "
        f"lag median {median(recent):.2f} s, at most {max(recent):.2f} s",
        file=sys.stderr,
        flush=True,
    )


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in _family(int(child)))]


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _cpu_seconds(pid: int) -> float:
    try:
        fields: list[Any] = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _database_bytes(database: Path) -> int:
    return sum(part.stat().st_size for part in database.parent.glob("cache.db*") if part.exists())
