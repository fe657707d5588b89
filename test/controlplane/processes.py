"""Starts and ends the processes of one cluster. They die with the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Component:
    """One process and how to start it again. Its output goes to ``logs/<name>.log``."""

    name: str
    command: list[str]
    folder: Path
    env: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> str:
        """running, stopped, or exited: CODE for one that ended by itself."""
        if self.process is None:
            return "stopped"
        code = self.process.poll()
        return "running" if code is None else f"exited: {code}"

    def start(self) -> None:
        """Does nothing when it runs. Call from the main thread: the death signal fires when the thread that forked ends."""
        if self.state == "running":
            return
        log = self.folder / "logs" / f"{self.name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=die_with(os.getpid()),
            )

    def stop(self) -> None:
        """Kills it at once, also when it is paused, and waits until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def pause(self) -> None:
        """Freezes it. Returns when its last thread stands still: until then it may answer."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def last_lines(self, count: int = 5) -> str:
        log = self.folder / "logs" / f"{self.name}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(lines[-count:])


def die_with(parent: int) -> Callable[[], None]:
    """For preexec_fn: has the kernel kill the child when its parent ends, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return prepare


def reserve_port() -> socket.socket:
    """A port on loopback that stays ours: bound, never listening.

    A server that sets SO_REUSEADDR (every Go program) can listen on it all the same, and again
    after a restart, while nobody else is given it; connecting meanwhile is refused.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def is_alive(pid: int) -> bool:
    """False for a zombie too: one that has ended and that nobody has reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(") ")[2][0] not in "ZX"
