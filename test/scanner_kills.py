"""kill -9 of a scanner, over and over, at random instants of its scans, catch-ups and follow."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cache.scan_lock import ScanLock, lock_holder
from cache_observer import CacheObserver
from cluster_driver import ClusterDriver
from controlplane.polling import wait_until
from scanner_under_test import RunningClock
from sequence_laboratory import SequenceLaboratory

NAMESPACE = "kills"
OBJECTS = 90
"""Of each kind, read in pages of PAGE_LIMIT: a scan takes long enough to be hit."""
PAGE_LIMIT = 15
CLOCK_RATE = 800.0
"""Intervals of minutes pass within a second: something is always under way."""
LONGEST_LIFE_SECONDS = 1.0
MOST_REQUESTS = 60
KILLS_A_DATABASE = 7
"""Then the next one begins empty: a first fill is killed too."""
CHURN_SECONDS = 0.04


@dataclass(slots=True)
class Kills:
    """What came of them. `in_requests`: how many hit while the API server had a request of the scanner to answer."""

    count: int = 0
    in_requests: int = 0
    looks: int = 0
    states_seen: int = 0
    slowest_start: float = 0.0
    problems: list[str] = field(default_factory=list)


def kill_many(laboratory: SequenceLaboratory, count: int, *, seed: int) -> Kills:
    """Ends early at the first problem."""
    chance, kills = random.Random(seed), Kills()
    driver = laboratory.driver()
    laboratory.proxy.page_limit = PAGE_LIMIT
    try:
        driver.create_namespace(NAMESPACE)
        for kind in driver.namespaced:
            for number in range(OBJECTS):
                driver.create(kind, NAMESPACE, f"n{number}")
        with _churn(driver, chance.randrange(1 << 30)):
            for number in range(0, count, KILLS_A_DATABASE):
                database = laboratory.folder / f"kills-{number}" / "cache.db"
                database.parent.mkdir()
                _kill_on(database, laboratory, driver, chance, min(KILLS_A_DATABASE, count - number), kills)
                if kills.problems:
                    break
    finally:
        laboratory.as_process.crash()
        driver.delete_all()
    return kills


def _kill_on(
    database: Path, laboratory: SequenceLaboratory, driver: ClusterDriver, chance: random.Random, count: int, kills: Kills
) -> None:
    """Kills one scanner after the other on one database; at the end one may live until the cache equals the cluster."""
    observer = CacheObserver(database, laboratory.cluster, driver.kinds, driver.ledger)
    scanner, follow = laboratory.as_process, chance.random() < 0.5
    with observer:
        for _ in range(count):
            scanner.clock = RunningClock(CLOCK_RATE)
            kills.slowest_start = max(kills.slowest_start, _start(laboratory, database, follow=follow))
            _let_live(laboratory, chance)
            kills.count += 1
            kills.in_requests += any(not one.ended for one in laboratory.proxy.requests[-30:])
            scanner.crash()
            kills.problems += _damage(database)
            if kills.problems or observer.violations:
                break
        else:
            _start(laboratory, database, follow=follow)
            kills.problems += _never_equal(database, driver, laboratory.cluster)
            scanner.crash()
    kills.problems += observer.violations
    kills.looks += observer.polls
    kills.states_seen += observer.states_seen


def _start(laboratory: SequenceLaboratory, database: Path, *, follow: bool) -> float:
    """Returns when the API server has heard of it: seconds from the start."""
    mark, started = len(laboratory.proxy.requests), time.monotonic()
    laboratory.as_process.start(database, follow=follow)

    def asked() -> bool:
        assert laboratory.as_process.alive(), f"the scanner has ended:\n{laboratory.scanner_log.read_text()[-2000:]}"
        return len(laboratory.proxy.requests) > mark

    wait_until(asked, "the scanner to ask something", timeout_seconds=120)
    return time.monotonic() - started


def _let_live(laboratory: SequenceLaboratory, chance: random.Random) -> None:
    """For a time, or until it has asked for so many more pages or watches: on a slow machine too it gets somewhere."""
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
        return
    wanted = len(laboratory.proxy.requests) + chance.randrange(1, MOST_REQUESTS)
    deadline = time.monotonic() + 2 * LONGEST_LIFE_SECONDS
    while len(laboratory.proxy.requests) < wanted and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.05))


def _damage(database: Path) -> list[str]:
    """Right after a kill."""
    problems = []
    if (holder := lock_holder(database)) is not None:
        problems.append(f"the lock is held by {holder}")
    with ScanLock(database):
        pass
    if database.exists():
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as db:
            if (found := db.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
                problems.append(f"integrity_check: {found[:3]}")
    return problems


def _never_equal(database: Path, driver: ClusterDriver, cluster: str) -> list[str]:
    """The cluster goes on moving: some moment at which both stand still is enough."""

    def equal() -> bool:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as db:
            for kind in driver.kinds:
                sql = f'SELECT uid, resource_version FROM "{kind}" WHERE cluster = ?'
                if dict(db.execute(sql, (cluster,))) != driver.ledger.current(kind):
                    return False
        return True

    with driver.standing_still():
        try:
            wait_until(equal, "the cache to equal the cluster", timeout_seconds=40, interval_seconds=0.1)
        except (TimeoutError, sqlite3.Error) as error:
            return [f"after the kills: {error}"]
    return []


@contextmanager
def _churn(driver: ClusterDriver, seed: int) -> Iterator[None]:
    """Objects come, change and go all the while, from a thread."""
    chance, stop = random.Random(seed), threading.Event()

    def change() -> None:
        while not stop.wait(CHURN_SECONDS):
            kind, name = chance.choice(driver.namespaced), f"n{chance.randrange(OBJECTS)}"
            with driver.standing_still():
                if not driver.exists(kind, NAMESPACE, name):
                    driver.create(kind, NAMESPACE, name)
                elif chance.random() < 0.3:
                    driver.delete(kind, NAMESPACE, name)
                else:
                    driver.update(kind, NAMESPACE, name)

    thread = threading.Thread(target=change, name="churn", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
