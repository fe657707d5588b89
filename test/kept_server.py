"""What `scanner scan` does, in the test's own process and through an MCP server that stays: no program has to start for it.

For tests that look at what a scan leaves behind. How the command behaves as a process (its lock, its signals, what it
prints) is shown with `scanner_process`.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kinds.registry import KINDS
from mcp_tools.mapped_loader import loader_of_programs
from mcp_tools.tool_loader import ToolLoader
from scan_fixtures import ScannerProcess
from scanner.assembly import assembled
from scanner.scan_command import Selection, scan_with, selected_kinds
from scanner.scan_report import ScanReport
from scanner.settings import ScannerSettings


class KeptServer:
    """Our MCP server for one kubeconfig, and a thread with the event loop that its client needs. Starts at the first scan."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.key = folder / "key"
        self._environment = dict(environment) | {"REDACTION_KEY_FILE": str(self.key)}
        self._loader: ToolLoader | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scans", daemon=True)
        self._thread.start()

    def scan(self, settings: ScannerSettings, selection: Selection, *, full: bool) -> ScanReport:
        """One scan with a scanner of its own, as the command makes it. Raises what the command would."""
        return asyncio.run_coroutine_threadsafe(self._scan(settings, selection, full), self._loop).result(150)

    async def _scan(self, settings: ScannerSettings, selection: Selection, full: bool) -> ScanReport:
        if self._loader is None:
            self._loader = loader_of_programs(settings, environment=self._environment)
            self._loader.begin()
        async with assembled(self._loader, settings, KINDS, check_credentials=True, further=selection.further) as parts:
            return await scan_with(parts, selection, full=full)

    def close(self) -> None:
        if self._loader is not None:
            asyncio.run_coroutine_threadsafe(self._loader.close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class ScannerHere(ScannerProcess):
    """As ScannerProcess, but `report` scans in this process. What it starts makes fingerprints with the kept server's key."""

    server: KeptServer | None = None

    @property
    def key(self) -> Path:
        """What its fingerprints are made with."""
        assert self.server is not None
        return self.server.key

    def report(self, *arguments: str, **settings: str) -> dict[str, Any]:
        """As `scanner scan -o json` with `--static`, `--dynamic`, `--full` and `--kind K`. `stderr`: the last error's text."""
        assert self.server is not None
        given = {name.lower(): value for name, value in (self.environment | settings).items()}
        fields: Any = {name: value for name, value in given.items() if name in ScannerSettings.model_fields}
        chosen = ScannerSettings(**fields)
        kinds = [value for flag, value in pairwise(arguments) if flag == "--kind"]
        freshness: Any = next((flag.removeprefix("--") for flag in arguments if flag in ("--static", "--dynamic")), None)
        selection = selected_kinds(freshness, kinds, chosen.extra_kinds)
        report = self.server.scan(chosen, selection, full="--full" in arguments)
        problem = report.problem({row.kind for row in report.kinds} if selection.named else ())
        told = {"exit_code": problem.exit_code, "stderr": str(problem)} if problem else {"exit_code": 0, "stderr": ""}
        answer: dict[str, Any] = json.loads(json.dumps(report.as_json()))
        return answer | told

    def report_of_process(self, *arguments: str, **settings: str) -> dict[str, Any]:
        """`scanner scan -o json`."""
        return super().report(*arguments, **settings)


KeptServers = Callable[[Path], KeptServer]
MakeScannerHere = Callable[..., ScannerHere]


@pytest.fixture(scope="session")
def kept_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptServers]:
    """`kept_servers(kubeconfig)`: each begins at its first scan and ends with the session."""
    kept: dict[Path, KeptServer] = {}

    def of(kubeconfig: Path) -> KeptServer:
        if kubeconfig not in kept:
            folder = tmp_path_factory.mktemp("kept-server")
            environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(kubeconfig)}
            kept[kubeconfig] = KeptServer(environment, folder)
        return kept[kubeconfig]

    yield of
    for server in kept.values():
        server.close()


@pytest.fixture
def scanner_here(tmp_path: Path, kept_servers: KeptServers) -> Iterator[MakeScannerHere]:
    """`scanner_here(kubeconfig)`: as `scanner_process`, its `report` through a kept server of that kubeconfig."""
    made: list[ScannerHere] = []

    def make(kubeconfig: Path, **settings: str) -> ScannerHere:
        folder = tmp_path / f"scanner-here-{len(made)}"
        folder.mkdir()
        server = kept_servers(kubeconfig)
        own = {"REDACTION_KEY_FILE": str(server.key), **settings}
        made.append(ScannerHere(folder, kubeconfig, folder / "cache.db", own, server=server))
        return made[-1]

    yield make
    for one in made:
        one.end()
