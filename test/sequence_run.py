"""Plays a sequence: a driver changes the cluster, a proxy breaks what it is told to, an observer reads the cache."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cache.refresh_requests import request_refresh
from cache_observer import CacheObserver
from cluster_driver import ClusterDriver
from cluster_sequences import Plan, Step
from configuration.errors import K8sMcpError
from fault_proxy import Fault, FaultProxy
from mcp_tools.restart_delay import LONGEST_SECONDS
from scanner_under_test import RunningClock, Scanner

CONVERGE_SECONDS = 150.0
FIRST_FILL_SECONDS = 10.0
BACK_OFF_SECONDS = LONGEST_SECONDS + 10
"""An MCP server that was killed again and again is started again after a minute at most, and its clock is the real one."""
FULL_LIST_SECONDS = 22_000.0
"""Longer than SCANNER_FULL_LIST_INTERVAL: whatever was missed, it is found by then."""
INTERVAL_SECONDS = 2_000.0
"""Longer than both intervals: everything is due to be verified."""
PURGE_SECONDS = 3 * 86_400.0


_SCANNED = "SELECT kind FROM cache_metadata WHERE cluster = ? AND scope = '' AND complete AND last_checked_at IS NOT NULL"
_NAMES = """SELECT uid, 'name', name FROM "{}" WHERE cluster = ?"""
_COLUMNS = {
    "deployments": ("SELECT uid, 'replicas', CAST(replicas AS TEXT) FROM deployments WHERE cluster = ?",),
    "pods": ("SELECT pod_uid, 'image of ' || name, image FROM containers WHERE cluster = ?",),
}


@dataclass(frozen=True, slots=True)
class _Held:
    """Of one kind: `versions` (uid, resourceVersion), `labels` (uid, key, value), `columns` as ClusterDriver.columns."""

    versions: set[tuple[str, str]]
    labels: set[tuple[str, str, str]]
    columns: set[tuple[str, str, str]]


@dataclass(slots=True)
class Result:
    """`converged_by`: without further ado, once everything was due, or at the next full list. `problems`: violations.

    The full list is there for what nothing else can find: an event that was kept from the scanner. That it was needed for
    anything else that counts as scanned is a problem.
    """

    plan: Plan
    problems: list[str] = field(default_factory=list)
    converged_by: str = ""
    polls: int = 0
    states_seen: int = 0
    faults_hit: int = 0
    seconds: float = 0.0


class SequenceRun:
    """Plays one plan against a driver's cluster, with a scanner that sees it through a proxy.

    `expire_history` has the API server forget old revisions, `restart_api_server` is away for a moment.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        driver: ClusterDriver,
        scanner: Scanner,
        proxy: FaultProxy,
        cluster: str,
        database: Path,
        expire_history: Callable[[], None],
        restart_api_server: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._driver = driver
        self._scanner = scanner
        self._proxy = proxy
        self._cluster = cluster
        self._database = database
        self._expire_history = expire_history
        self._restart_api_server = restart_api_server
        self._observer = CacheObserver(database, cluster, driver.kinds, driver.ledger)
        self._faults: list[Fault] = []
        self._observer.is_withheld = self._is_withheld
        self._before_full_list = ""
        scanner.clock = RunningClock(plan.clock_rate)

    def _is_withheld(self) -> bool:
        return any(fault.action == "swallow" and fault.hits for fault in self._faults)

    def run(self) -> Result:
        """Never raises for what the scanner does wrong: that is in the result."""
        result, started = Result(self._plan), time.monotonic()
        self._proxy.page_limit = self._plan.page_limit
        try:
            with self._observer:
                for step in self._plan.steps:
                    self._play(step)
                    if self._observer.violations:
                        break
                else:
                    result.converged_by = self._converge()
                    result.problems += self._final_problems(result.converged_by)
        finally:
            self._quiet()
            self._scanner.crash()
            self._driver.delete_all()
        result.problems += self._observer.violations
        result.polls, result.states_seen = self._observer.polls, self._observer.states_seen
        result.faults_hit, result.seconds = sum(fault.hits for fault in self._faults), time.monotonic() - started
        return result

    # --- steps

    def _play(self, step: Step) -> None:
        driver, where = self._driver, (step.kind, self._namespace(step.namespace), step.name)
        match step.what:
            case "create" | "update" | "delete":
                getattr(driver, step.what)(*where)
            case "recreate":
                driver.delete(*where)
                driver.create(*where)
            case "label":
                driver.label(*where, step.detail, str(int(step.number)))
            case "unlabel":
                driver.label(*where, step.detail, None)
            case "burst":
                self._burst(step)
            case "create namespace":
                driver.create_namespace(where[1])
            case "delete namespace":
                driver.delete_namespace(where[1])
            case "pause":
                time.sleep(step.number)
            case "first fill":
                self._equal_within(FIRST_FILL_SECONDS)
            case "fault":
                self._inject(step)
            case "clear":
                self._proxy.clear()
            case _:
                self._disturb(step)

    def _disturb(self, step: Step) -> None:
        match step.what:
            case "start":
                self._scanner.start(self._database, follow=self._plan.follow)
            case "restart":
                self._scanner.crash()
                self._scanner.start(self._database, follow=self._plan.follow)
            case "kill mcp server":
                self._scanner.kill_mcp_server()
            case "due":
                self._step_clock(INTERVAL_SECONDS)
            case "clock back":
                self._step_clock(-3 * INTERVAL_SECONDS)
            case "clock on":
                self._step_clock(300)
            case "clock past grace":
                self._observer.may_forget = True
                self._step_clock(PURGE_SECONDS)
            case "refresh":
                with suppress(K8sMcpError, sqlite3.Error):  # before there is a database
                    request_refresh(self._database, cluster=self._cluster, kind=step.kind, reason="a sequence asks")
            case "cut":
                self._proxy.cut_connections()
            case "refuse":
                self._proxy.refuse()
                time.sleep(step.number)
                self._proxy.accept()
            case "expire history":
                self._expire_history()
            case "api server":
                self._restart_api_server()
            case _:
                raise ValueError(f"no step {step.what!r}")

    def _burst(self, step: Step) -> None:
        """Many changes at once: objects come, change and go."""
        namespace = self._namespace(step.namespace)
        for number in range(int(step.number)):
            name = f"burst-{number % 9}"
            if not self._driver.exists(step.kind, namespace, name):
                self._driver.create(step.kind, namespace, name)
            elif number % 3 == 2:
                self._driver.delete(step.kind, namespace, name)
            else:
                self._driver.update(step.kind, namespace, name)

    def _inject(self, step: Step) -> None:
        path = f"*/{step.kind.partition('.')[0]}" if step.kind else "*"
        fault = fault_named(step.detail, path, int(step.number))
        self._faults.append(self._proxy.inject(fault))

    def _namespace(self, name: str) -> str:
        """Of this sequence alone: what the one before deleted may still be known to somebody."""
        return f"s{self._plan.seed}-{name}"

    def _step_clock(self, seconds: float) -> None:
        self._scanner.clock.offset += seconds
        self._scanner.clock_was_set()

    # --- the end

    def _quiet(self) -> None:
        self._proxy.clear()
        self._proxy.accept()

    def _converge(self) -> str:
        """Faults are off. Wait for the cache to equal the cluster, by what becomes due sooner first; "" when it never did."""
        self._quiet()
        if not self._scanner.alive():
            return ""
        if self._plan.follow and self._equal_within(4.0):
            return "stream"
        for _ in range(3):
            self._step_clock(INTERVAL_SECONDS)
            if self._equal_within(5.0 if self._is_withheld() else BACK_OFF_SECONDS):
                return "check" if self._plan.follow else "list"
        if self._unequal_kinds():
            self._before_full_list = self._difference()
        self._step_clock(FULL_LIST_SECONDS)
        return "full list" if self._equal_within(CONVERGE_SECONDS) else ""

    def _equal_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        wanted = self._wanted()
        while time.monotonic() < deadline and not self._observer.violations:
            if self._cached() == wanted:
                return True
            time.sleep(0.05)
        return False

    def _wanted(self) -> dict[str, _Held]:
        driver = self._driver
        return {kind: _Held(set(driver.listed(kind).items()), driver.labels(kind), driver.columns(kind)) for kind in driver.kinds}

    def _cached(self) -> dict[str, _Held]:
        """Of the kinds that count as scanned, at one moment: a purge takes away first their freshness, then their rows."""
        with suppress(sqlite3.OperationalError), closing(self._connected()) as db:  # not created yet
            db.execute("BEGIN")
            scanned = db.execute(_SCANNED, (self._cluster,)).fetchall()
            return {
                kind: _Held(
                    set(db.execute(f'SELECT uid, resource_version FROM "{kind}" WHERE cluster = ?', (self._cluster,))),
                    set(db.execute("SELECT uid, key, value FROM labels WHERE cluster = ? AND kind = ?", (self._cluster, kind))),
                    {row for sql in (_NAMES.format(kind), *_COLUMNS.get(kind, ())) for row in db.execute(sql, (self._cluster,))},
                )
                for (kind,) in scanned
                if kind in self._driver.kinds
            }
        return {}

    def _final_problems(self, converged_by: str) -> list[str]:
        if not converged_by:
            return ["" if self._observer.violations else self._difference()]
        problems = []
        if self._before_full_list and not self._is_withheld():
            problems.append(f"nothing but a full list helped, though no event was kept from it; before: {self._before_full_list}")
        for kind in self._driver.kinds:
            gone = self._observer.seen[kind] - set(self._driver.listed(kind))
            kept = {uid for (uid,) in self._read("SELECT uid FROM deleted_objects WHERE kind = ?", kind)}
            if gone - kept and not self._observer.may_forget:
                problems.append(f"{kind}: gone, but not in deleted_objects: {sorted(gone - kept)[:3]}")
        if self._read("PRAGMA integrity_check") != [("ok",)]:
            problems.append("the database is damaged")
        return problems

    def _unequal_kinds(self) -> list[str]:
        """Those that count as scanned. What does not, as when the machine is slow, has a list to come anyway."""
        wanted, cached = self._wanted(), self._cached()
        return [kind for kind, held in cached.items() if held != wanted[kind]]

    def _difference(self) -> str:
        if not self._scanner.alive():
            return "the scanner has ended by itself"
        cached = self._cached()
        parts = []
        for kind, listed in self._wanted().items():
            if (held := cached.get(kind)) is None:
                parts.append(f"{kind}: does not count as scanned")
            else:
                parts += _differences(f"{kind}:", held.versions, listed.versions)
                parts += _differences(f"{kind}: labels", held.labels, listed.labels)
                parts += _differences(f"{kind}: columns", held.columns, listed.columns)
        errors = self._read("SELECT kind, last_error FROM cache_metadata WHERE last_error IS NOT NULL")
        return f"the cache did not come to equal the cluster: {'; '.join(parts)}; errors {errors[:3]}"

    def _read(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with suppress(sqlite3.OperationalError), closing(self._connected()) as db:  # not created yet
            return db.execute(sql, parameters).fetchall()
        return []

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=10, isolation_level=None)


def _differences(what: str, held: set[Any], listed: set[Any]) -> list[str]:
    if held == listed:
        return []
    more, less = sorted(held - listed), sorted(listed - held)
    return [f"{what} more {more[:3]} ({len(more)}), less {less[:3]} ({len(less)})"]


def fault_named(name: str, path: str, count: int) -> Fault:
    """Of LIST_FAULTS and WATCH_FAULTS."""
    words = name.split()
    listing: dict[str, Any] = {"path": path, "count": count, "continued": words[0] == "later", "verb": "list"}
    watching: dict[str, Any] = {"path": path, "count": count, "verb": "watch"}
    match words[words[0] == "later" :]:
        case ["status", code]:
            return Fault(action="status", status=int(code), retry_after=1, **listing)
        case ["half", "page"]:
            return Fault(action="half page", **listing)
        case ["delay"]:
            return Fault(action="delay", seconds=0.4, **listing)
        case ["hang"]:
            return Fault(action="hang", **listing | {"count": None, "verb": "list" if listing["continued"] else "*"})
        case ["watch", "error"]:
            return Fault(action="watch error", status=410, **watching)
        case ["watch", "gone"]:
            return Fault(action="status", status=410, **watching)
        case ["cut", "line"]:
            return Fault(action="cut line", **watching)
        case [("cut" | "duplicate" | "swallow") as action]:
            return Fault(action=action, **watching)
    raise ValueError(f"no fault {name!r}")
