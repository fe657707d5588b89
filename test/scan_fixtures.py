"""What scanner tests work with: tools that answer from a script, and the `scanner` command as a process."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import api_object
from configuration.errors import Expired, K8sMcpError
from kinds.kind import Kind
from mcp_tools.tool_loader import ToolResult
from scanner.change_feed import ChangeFeed
from scanner.cluster_scanner import ClusterScanner
from scanner.keeping_up import KeepingUp
from scanner.kind_check import KindCheck
from scanner.lost_kinds import LostKinds
from scanner.namespaced_lists import NamespacedLists
from scanner.retry_delays import RetryDelays
from scanner.scan_coordinator import ScanCoordinator
from scanner.schedule import Schedule

SCANNER = Path(sys.executable).with_name("scanner")


@dataclass
class ScriptedTools:
    """Stands where a ToolLoader does, for what a real API server cannot be made to do at will.

    `objects` maps (context, kind) to API objects. `before_page(context, kind, token)` may raise, or wait; it is called
    for every page. `calls` records (context, kind, token).
    """

    objects: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    page_size: int | None = None
    version: int = 100
    redaction: str = "1"
    before_page: Callable[[str, str, str], Any] | None = None
    before_identity: Callable[[str], Any] | None = None
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    offered: dict[str, Any] = field(default_factory=dict)
    """Further tools by name, as functions of their arguments that give the answer's JSON; none: a server without them."""

    async def connect(self) -> Mapping[str, Any]:
        return {"k8s_list_contexts": None, "k8s_get_cluster_info": None, "k8s_export_page": None} | self.offered

    async def call(self, name: str, arguments: Mapping[str, Any], *, timeout_seconds: float = 30) -> ToolResult:
        self.timeouts.append(timeout_seconds)
        if name == "k8s_list_contexts":
            names = list(dict.fromkeys(context for context, _ in self.objects))
            contexts = [{"name": one, "current": one == names[0]} for one in names]
            return ToolResult("", {"contexts": contexts}, 0.0)
        if name in self.offered:
            answer = self.offered[name](arguments)
            return ToolResult(json.dumps(await answer if asyncio.iscoroutine(answer) else answer), None, 0.0)
        context = arguments["context"]
        if name == "k8s_get_cluster_info":
            await _called(self.before_identity, context)
            info = {"cluster_uid": f"uid-of-{context}", "server_version": "v1.36.3", "api_server": "https://127.0.0.1"}
            return ToolResult("", info, 0.0)
        return await self._page(context, arguments["kind"], int(arguments["limit"]), arguments["continue_token"])

    async def _page(self, context: str, kind: str, limit: int, token: str) -> ToolResult:
        self.calls.append((context, kind, token))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            await _called(self.before_page, context, kind, token)
        finally:
            self.running -= 1
        start = int(token or 0)
        objects = self.objects.get((context, kind), [])
        size = self.page_size or limit
        following = str(start + size) if start + size < len(objects) else ""
        page = {
            "kind": kind,
            "resource_version": str(self.version),
            "continue": following,
            "remaining": max(0, len(objects) - start - size),
            "objects": objects[start : start + size],
            "redactor_version": self.redaction,
            "key_id": "k",
        }
        return ToolResult(json.dumps(page), None, 0.0)


async def _called(hook: Callable[..., Any] | None, *arguments: str) -> None:
    if hook is not None:
        result = hook(*arguments)
        if asyncio.iscoroutine(result):
            await result


def pod(number: int, *, version: int = 1) -> dict[str, Any]:
    """`web-0007` of namespace `shop`."""
    return api_object("pods", f"web-{number:04d}", "shop", version=version)


class Failing:
    """A hook that raises `error` while `on`; `when` limits it to some pages (None: all)."""

    def __init__(self, error: K8sMcpError, when: Callable[..., bool] | None = None) -> None:
        self.error = error
        self.on = True
        self._when = when or (lambda *_: True)

    def __call__(self, *arguments: str) -> None:
        if self.on and self._when(*arguments):
            raise self.error


def expired() -> Expired:
    return Expired("the provided continue parameter is too old", status=410, reason="Expired")


def query(path: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of the database, read past every layer of ours."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.close()


def stored_versions(path: Path, kind: str, cluster: str) -> set[tuple[str, str]]:
    """(uid, resourceVersion) of every stored object of a kind."""
    return set(query(path, f'SELECT uid, resource_version FROM "{kind}" WHERE cluster = ?', cluster))


def coordinator_with(
    tools: Any, manager: CacheManager, reader: CacheReader, *, contexts: Any, kinds: Mapping[str, Kind], schedule: Schedule,
    clock: Callable[[], float], sleep: Any = asyncio.sleep, limit: int = 3, follow: bool = True, freshness_seconds: float = 1,
    namespaces: tuple[str, ...] = (), lost: LostKinds | None = None,
) -> ScanCoordinator:  # fmt: skip
    """A coordinator on scripted tools (or a loader), that waits for no jitter."""
    scanner = ClusterScanner(tools, manager, timeout_seconds=7, now=clock, sleep=sleep)
    feed = ChangeFeed(tools, manager, timeout_seconds=7, clock=clock)
    check = KindCheck(tools, feed, timeout_seconds=7, clock=clock)
    return ScanCoordinator(
        scanner,
        manager,
        contexts=contexts,
        kinds=kinds,
        freshness=reader.freshness_all,
        schedule=schedule,
        concurrent_limit=limit,
        keeping=KeepingUp(tools, feed, check, follow=follow, freshness_seconds=freshness_seconds, clock=clock),
        lists=NamespacedLists(tools, scanner, manager, kinds=kinds, namespaces=namespaces),
        delays=RetryDelays(jitter=lambda: 1.0),
        lost=lost,
        clock=clock,
    )


@dataclass
class ScannerProcess:
    """Runs the `scanner` command with its own database and kubeconfig, as a user would."""

    folder: Path
    kubeconfig: Path | None
    database: Path
    settings: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        base = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        own = {"HOME": str(self.folder), "CACHE_DB_PATH": str(self.database), "REDACTION_KEY_FILE": str(self.folder / "key")}
        kubeconfig = {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}
        return base | own | kubeconfig | self.settings

    def run(self, *arguments: str, timeout: float = 120, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [str(SCANNER), *arguments],
            env=self.environment | settings,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start in the background; ended with the test. Its stderr goes to `log`."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [str(SCANNER), *arguments],
                env=self.environment | settings,
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        self.running.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.folder / "scanner.log"

    def report(self, *arguments: str, **settings: str) -> dict[str, Any]:
        """`scanner scan -o json`, decoded."""
        done = self.run("scan", "-o", "json", *arguments, **settings)
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer | {"exit_code": done.returncode, "stderr": done.stderr}

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def scanner_process(tmp_path: Path) -> Iterator[Callable[..., ScannerProcess]]:
    """`scanner_process(kubeconfig)` gives a ScannerProcess with a database of its own."""
    made: list[ScannerProcess] = []

    def make(kubeconfig: Path | None, **settings: str) -> ScannerProcess:
        folder = tmp_path / f"scanner-{len(made)}"
        folder.mkdir()
        made.append(ScannerProcess(folder, kubeconfig, folder / "cache.db", dict(settings)))
        return made[-1]

    yield make
    for process in made:
        process.end()
