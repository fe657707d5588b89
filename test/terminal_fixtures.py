"""A real terminal for tests: a pty, a program on it, and a reader that waits for text with a deadline."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
_SEQUENCE = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b.")


@dataclass
class Terminal:
    """A program on a pty. `raw` is every byte it wrote, `text` the same without escape sequences."""

    process: subprocess.Popen[bytes]
    master: int
    raw: bytes = b""
    seen: int = 0
    """How much of `text` has been expected already."""
    started: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        return _SEQUENCE.sub("", self.raw.decode(errors="replace")).replace("\r", "")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.type(text + "\r")

    def expect(self, wanted: str, *, seconds: float = 60) -> str:
        """Wait until `wanted` (a regular expression) appears after what was expected before; returns the text up to it."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(wanted, self.text[self.seen :])
            if found:
                upto = self.text[self.seen : self.seen + found.end()]
                self.seen += found.end()
                return upto
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{wanted!r} did not appear within {seconds} s; the screen since then:\n{self.text[self.seen :]}"
                )
            if not self._read(deadline) and self.process.poll() is not None and not re.search(wanted, self.text[self.seen :]):
                raise AssertionError(f"ended with {self.process.returncode} before {wanted!r}:\n{self.text[self.seen :]}")

    def ends(self, *, seconds: float = 20) -> int:
        """Wait for the program's end, reading on; its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {seconds} s:\n{self.text[self.seen :]}")
            self._read(time.monotonic() + 0.1)
        while self._read(time.monotonic() + 0.05):
            pass
        return self.process.returncode

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, min(0.1, deadline - time.monotonic())))
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # Linux says EIO when the program's side is closed
            return False
        self.raw += data
        return bool(data)


StartOnTerminal = Callable[..., Terminal]


@pytest.fixture
def main_on_terminal() -> Iterator[StartOnTerminal]:
    """`main_on_terminal("demo", environment={...}, columns=100)` starts `python src/main.py demo` on a pty of its own."""
    open_terminals: list[Terminal] = []

    def start(*arguments: str, environment: Mapping[str, str], columns: int = 100, rows: int = 30) -> Terminal:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [sys.executable, str(SOURCE / "main.py"), *arguments],
            stdin=slave, stdout=slave, stderr=slave, close_fds=True, preexec_fn=own_terminal,
            env={**environment, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )  # fmt: skip
        os.close(slave)
        terminal = Terminal(process, master)
        open_terminals.append(terminal)
        return terminal

    yield start
    for terminal in open_terminals:
        if terminal.process.poll() is None:
            terminal.process.send_signal(signal.SIGTERM)
            try:
                terminal.process.wait(10)
            except subprocess.TimeoutExpired:
                terminal.process.kill()
                terminal.process.wait()
        os.close(terminal.master)
