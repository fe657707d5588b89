"""A scanner of a few kinds whose clock its test sets: in a thread of the test's process, or as a process to be killed.

The processes are forked from one that has imported what a scanner needs: a start then costs what it does and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from configuration.errors import ServerGone
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.tool_loader import ToolLoader
from scanner.settings import ScannerSettings

TICK_SECONDS = 0.15
AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class RunningClock:
    """Epoch seconds that pass `rate` times as fast as they should, and that can be set. The same in every process."""

    rate: float = 1.0
    offset: float = 0.0
    began_at: float = field(default_factory=time.time)
    steady_at: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return self.began_at + self.offset + (time.monotonic() - self.steady_at) * self.rate


def scanned_kinds(names: tuple[str, ...]) -> dict[str, Kind]:
    """Kinds by plural name, custom resources as `plural.group`."""
    found = {}
    for name in names:
        if name in KINDS:
            found[name] = KINDS[name]
        else:
            from kinds.generic import generic_kind

            _, _, group = name.partition(".")
            found[name] = generic_kind(name=name, group=group, version="v1", kind="Widget", namespaced=True)
    return found


def settings_for(database: Path, *, follow: bool, key: Path, timeout_seconds: int = 3) -> ScannerSettings:
    return ScannerSettings(cache_db_path=database, scanner_follow=follow, scanner_timeout=timeout_seconds, redaction_key_file=key)


def environment_for(kubeconfig: Path) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KUBERNETES_")} | {
        "KUBECONFIG": str(kubeconfig)
    }


async def run_scanner(
    loader: ToolLoader, settings: ScannerSettings, kinds: Mapping[str, Kind], clock: Callable[[], float]
) -> None:
    """Tick until cancelled. Begins again, as a service manager would do, when the MCP server does not get to its start."""
    from scanner.assembly import assembled

    while True:
        try:
            async with assembled(loader, settings, kinds, clock=clock) as parts:
                while True:
                    parts.coordinator.tick(clock())
                    parts.coordinator.serve_requests()
                    await asyncio.sleep(TICK_SECONDS)
        except ServerGone as error:
            logging.getLogger(__name__).warning("the scanner could not begin: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)


class ScannerInThread:
    """One MCP server for any number of scanners, one after the other. `crash` cancels the scanner where it stands."""

    def __init__(self, kubeconfig: Path, kinds: tuple[str, ...], key: Path) -> None:
        self.clock = RunningClock()
        self._kinds = scanned_kinds(kinds)
        self._key = key
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._loader: ToolLoader | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="scanner", daemon=True)
        self._thread.start()

    def clock_was_set(self) -> None:
        """It is the same clock."""

    def start(self, database: Path, *, follow: bool) -> None:
        settings = settings_for(database, follow=follow, key=self._key)
        self._call(self._start(settings))

    def crash(self) -> None:
        """The end of a scanner, and nothing tidied up but what cancelling does; returns when it is gone."""
        self._call(self._stop())

    def kill_mcp_server(self) -> None:
        """kill -9 of its MCP server, which it has to notice and replace."""
        if self._loader is not None and (pid := self._loader.server_pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def alive(self) -> bool:
        return self._task is not None and not self._task.done()

    def close(self) -> None:
        self._call(self._stop())
        if self._loader is not None:
            self._call(self._loader.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self, settings: ScannerSettings) -> None:
        if self._loader is None:
            self._loader = ToolLoader(settings, environment=environment_for(self._kubeconfig))
            self._loader.begin()
        self._task = asyncio.create_task(run_scanner(self._loader, settings, self._kinds, self.clock))

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["pytest", "scanner.assembly", "mcp_tools.tool_loader", "kinds.generic", __name__])


class ScannerAsProcess:
    """Each start is a process with an MCP server of its own; `crash` is kill -9."""

    def __init__(self, kubeconfig: Path, kinds: tuple[str, ...], key: Path, log: Path) -> None:
        self.clock = RunningClock()
        self.process: ForkServerProcess | None = None
        self._kinds = kinds
        self._key = key
        self._kubeconfig = kubeconfig
        self._log = log
        self._clock_offsets: Connection | None = None

    def clock_was_set(self) -> None:
        """Tell the process."""
        if self._clock_offsets is not None:
            with contextlib.suppress(OSError):
                self._clock_offsets.send(self.clock.offset)

    def start(self, database: Path, *, follow: bool) -> None:
        settings = {"database": database, "follow": follow, "key": self._key}
        offsets, self._clock_offsets = _FORKED.Pipe(duplex=False)
        self.process = _FORKED.Process(
            target=_scan_until_killed, args=(settings, self._kinds, self.clock, self._kubeconfig, self._log, offsets), daemon=True
        )
        self.process.start()
        offsets.close()

    def crash(self) -> None:
        """kill -9; returns when it is gone (its MCP server notices by itself)."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.join()
            process.close()
        if self._clock_offsets is not None:
            self._clock_offsets.close()
            self._clock_offsets = None

    def kill_mcp_server(self) -> None:
        if self.process is None:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def alive(self) -> bool:
        return self.process is not None and self.process.is_alive()

    def close(self) -> None:
        self.crash()


Scanner = ScannerInThread | ScannerAsProcess


def _scan_until_killed(
    about: Mapping[str, Any], kinds: tuple[str, ...], clock: RunningClock, kubeconfig: Path, log: Path, offsets: Connection
) -> None:
    """What the process does; it ends with the pipe of its clock's offsets, in seconds."""
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")

    def read() -> None:
        with contextlib.suppress(EOFError):
            while True:
                clock.offset = offsets.recv()
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    asyncio.run(_main(settings_for(**about), scanned_kinds(kinds), clock, environment_for(kubeconfig)))


async def _main(
    settings: ScannerSettings, kinds: Mapping[str, Kind], clock: Callable[[], float], environment: Mapping[str, str]
) -> None:
    async with ToolLoader(settings, environment=environment) as loader:
        loader.begin()
        await run_scanner(loader, settings, kinds, clock)
