"""systemd: what the daemon tells it, and what the units promise."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cache.ttl_manager import TtlPolicy
from configuration.errors import LockHeld
from scan_fixtures import SCANNER, ScannerProcess, query
from scanner.daemon import LONGEST_TICK_SECONDS
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


# --- the units

FOLDER = Path(__file__).resolve().parents[1] / "deploy" / "systemd"
DAEMONS = (("system", 1.3), ("user", 2.1))
"""Kind of unit, and the highest exposure that `systemd-analyze security` may find (0 none, 10 everything)."""
ANALYZE = shutil.which("systemd-analyze")

needs_systemd = pytest.mark.skipif(
    ANALYZE is None and os.environ.get("CI") != "true", reason="systemd-analyze is not installed (.ci/run installs it)"
)


def analyze(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """systemd-analyze, with the runtime folder that it asks for when user units are concerned."""
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_UNIT_PATH": f"{folder}:"}
    command = [ANALYZE or "systemd-analyze", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def unit(kind: str, name: str) -> str:
    return (FOLDER / kind / name).read_text()


def options(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The user units, with the command where it is on this machine."""
    for file in (FOLDER / "user").iterdir():
        text = file.read_text().replace("ExecStart=%h/.local/bin/scanner", f"ExecStart={SCANNER}")
        (tmp_path / file.name).write_text(text)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("name", ["k8s-mcp-scanner.service", "k8s-mcp-scan.service", "k8s-mcp-scan.timer"])
def test_systemd_finds_nothing_wrong_with_the_user_units(name: str, installed: Path) -> None:
    done = analyze("--user", "verify", "--man=no", "--recursive-errors=one", str(installed / name), folder=installed)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_system_unit(tmp_path: Path) -> None:
    file = tmp_path / "k8s-mcp-scanner.service"
    file.write_text(unit("system", file.name).replace("ExecStart=/opt/k8s-mcp/bin/scanner", f"ExecStart={SCANNER}"))
    done = analyze("verify", "--man=no", "--recursive-errors=one", str(file), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text(file.read_text().replace("WatchdogSec=180", "WatchdogSec=often"))
    assert "often" in analyze("verify", "--man=no", str(file), folder=tmp_path).stderr, "it would say so"


@needs_systemd
@pytest.mark.parametrize(("kind", "highest"), DAEMONS)
def test_the_daemon_units_leave_little_exposed(kind: str, highest: float, tmp_path: Path) -> None:
    file = tmp_path / "k8s-mcp-scanner.service"
    file.write_text(unit(kind, file.name))
    limit = f"--threshold={highest * 10:.0f}"
    done = analyze("security", "--offline=true", "--no-pager", limit, str(file), folder=tmp_path)
    assert done.returncode == 0, done.stdout
    file.write_text(file.read_text().replace("RestrictNamespaces=yes\n", "").replace("SystemCallFilter=", "#"))
    assert analyze("security", "--offline=true", "--no-pager", limit, str(file), folder=tmp_path).returncode == 1


@pytest.mark.parametrize("kind", [kind for kind, _ in DAEMONS])
def test_the_daemon_units_are_watched_over_and_dump_no_credentials(kind: str) -> None:
    found = options(unit(kind, "k8s-mcp-scanner.service"))
    assert found["Type"] == ["notify"]
    assert found["LimitCORE"] == ["0"]
    assert found["RestartPreventExitStatus"] == ["2"], "4, another scanner at work, passes"
    assert int(found["WatchdogSec"][0]) >= 2 * LONGEST_TICK_SECONDS, "a tick moves the work at the latest"
    assert found["UMask"][0].endswith("7"), "nothing for others"


def test_a_timer_that_finds_a_scanner_at_work_has_not_failed() -> None:
    assert options(unit("user", "k8s-mcp-scan.service"))["SuccessExitStatus"] == [str(LockHeld.exit_code)]


def test_a_timer_and_cron_scan_again_before_what_they_stored_is_stale() -> None:
    timer = options(unit("user", "k8s-mcp-scan.timer"))
    every = re.fullmatch(r"\*:0/(\d+)", timer["OnCalendar"][0])
    cron = re.search(r"^\*/(\d+) .* scan ", (FOLDER.parent / "cron" / "k8s-mcp-scan").read_text(), re.MULTILINE)
    late = int(timer["RandomizedDelaySec"][0])
    ttl = TtlPolicy().dynamic_ttl
    assert every is not None
    assert cron is not None
    assert int(every[1]) * 60 + late < ttl
    assert int(cron[1]) * 60 < ttl


# --- the daemon


def watched(manager: NotifySocket, seconds: float) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(seconds * 1e6))}


def test_the_daemon_is_ready_when_the_database_is_open_and_says_that_it_stops(
    control_plane: Any, scanner_process: MakeScanner, manager: NotifySocket
) -> None:
    scanner = scanner_process(control_plane.kubeconfig)
    process = scanner.start(**watched(manager, 20))
    ready = manager.wait_for("READY=1")
    assert query(scanner.database, "SELECT mode FROM scanner") == [("daemon",)]
    manager.wait_for("STATUS=", after=ready - 1)
    process.send_signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1", after=ready)
    assert process.wait(20) == 0


def test_a_daemon_that_hangs_stops_feeding_its_watchdog(
    control_plane: Any, scanner_process: MakeScanner, manager: NotifySocket
) -> None:
    scanner = scanner_process(control_plane.kubeconfig)
    process = scanner.start(**watched(manager, 4), SCANNER_DYNAMIC_INTERVAL="20")  # a round each second
    fed = manager.wait_for("READY=1")
    for _ in range(3):
        fed = manager.wait_for("WATCHDOG=1", after=fed)
    process.send_signal(signal.SIGSTOP)
    manager.read()
    said = len(manager.heard)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert len(manager.read()) <= said + 1, "one may have been on its way"
        time.sleep(0.1)
    process.send_signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG=1", after=said)
