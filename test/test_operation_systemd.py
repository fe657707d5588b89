"""systemd: what the daemon tells it, and what the units promise."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from scan_fixtures import ScannerProcess
from scanner.systemd_notify import ServiceManager

MakeScanner = Callable[..., ScannerProcess]


class NotifySocket:
    """Stands where systemd does: a datagram socket that keeps what it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def read(self) -> list[str]:
        """Every assignment that has arrived so far."""
        with suppress(BlockingIOError):
            while True:
                self.heard += self._socket.recv(65536).decode().splitlines()
        return self.heard

    def wait_for(self, assignment: str, *, after: int = 0, seconds: float = 30) -> int:
        """Until it arrives, looking from number `after` on; the number of the next one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for number, line in enumerate(self.read()[after:], after + 1):
                if line.startswith(assignment):
                    return number
            time.sleep(0.02)
        raise AssertionError(f"{assignment} did not arrive; {self.heard}")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[NotifySocket]:
    """Its path is short: an address may hold no more than 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="notify-") as folder:
        listening = NotifySocket(str(Path(folder) / "s"))
        yield listening
        listening.close()


# --- the protocol


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "an abstract name"])
def test_assignments_reach_the_manager_one_a_line(abstract: bool, manager: NotifySocket) -> None:
    listening = NotifySocket(f"@k8s-mcp-test-{os.getpid()}") if abstract else manager
    ServiceManager({"NOTIFY_SOCKET": listening.address}).tell(READY=1, STATUS="two\nlines stay one")
    listening.wait_for("STATUS=")
    assert listening.heard == ["READY=1", "STATUS=two lines stay one"]
    listening.close()


def test_without_a_manager_nothing_is_told_and_nothing_fails(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}).tell(READY=1)
    assert caplog.records == []
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/notify"}).tell(READY=1)
    assert "READY" in caplog.text


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_meant_for_this_process_and_has_a_period(variables: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/s"} | variables).watchdog_seconds == seconds


def test_a_watchdog_without_a_socket_is_no_watchdog() -> None:
    assert ServiceManager({"WATCHDOG_USEC": "2000000"}).watchdog_seconds is None


async def fed_while(manager: NotifySocket, progress_at: Callable[[], float], seconds: float) -> int:
    """How often a watchdog with a period of 0.2 s is fed in `seconds`."""
    told = ServiceManager({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"})
    with suppress(TimeoutError):
        await asyncio.wait_for(told.feed_watchdog(progress_at), seconds)
    return manager.read().count("WATCHDOG=1")


async def test_the_watchdog_is_fed_while_work_moves(manager: NotifySocket) -> None:
    assert await fed_while(manager, time.monotonic, 1.0) >= 5


async def test_a_loop_that_turns_while_its_work_stands_still_feeds_no_watchdog(manager: NotifySocket) -> None:
    assert await fed_while(manager, lambda: 5.0, 1.0) == 1, "the first look knows of no earlier one"


async def test_a_blocked_loop_feeds_no_watchdog(manager: NotifySocket) -> None:
    async def block() -> None:
        time.sleep(1.0)  # noqa: ASYNC251  what is not to happen

    blocking = asyncio.create_task(block())
    fed = asyncio.create_task(fed_while(manager, time.monotonic, 0.9))
    await blocking
    assert manager.read().count("WATCHDOG=1") <= 1
    await fed
