"""How soon the commands are there: help, the session's prompt, and its first answer from the cache."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from figures import Section, seconds

from terminal_fixtures import Terminal

HEAVY = ("kubernetes", "litellm", "mcp", "sqlalchemy")
HELP_SECONDS, PROMPT_SECONDS, ANSWER_SECONDS = 0.35, 0.6, 1.0
PROMPT = "❯"
ROW = r"\d+/\d+ +(Running|Pending)"


def startup_figures(environment: dict[str, str], *, runs: int) -> Section:
    """Needs a filled, fresh cache."""
    section = Section(
        "Start",
        "Help is timed as a process. The session runs on a pseudo-terminal: the prompt counts when it is on the screen, "
        "`/pods` from the start of the program to its first row.",
    )
    for command in ("scanner", "main", "k8s-mcp"):
        times = [_help_seconds(command, environment) for _ in range(runs)]
        fast = sorted(times)[len(times) // 2] <= HELP_SECONDS
        section.add(f"`{command} --help`", seconds(times), f"≤ {HELP_SECONDS} s", fast)
        imported = _imported_by_help(command, environment)
        section.add(f"heavy libraries that `{command} --help` imports", ", ".join(imported) or "none", "none", not imported)
    prompts, answers = zip(*(_session_seconds(environment) for _ in range(runs)), strict=True)
    section.add("prompt of the session", seconds(prompts), f"< {PROMPT_SECONDS} s", min(prompts) < PROMPT_SECONDS)
    section.add("first `/pods` from the cache", seconds(answers), f"< {ANSWER_SECONDS} s", min(answers) < ANSWER_SECONDS)
    return section


def _help_seconds(command: str, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([_script(command), "--help"], env=environment, capture_output=True, check=True)
    return time.perf_counter() - started


def _imported_by_help(command: str, environment: dict[str, str]) -> list[str]:
    modules = {"scanner": "scanner.cli", "main": "main", "k8s-mcp": "mcp_tools.__main__"}
    program = (
        f"import sys; sys.argv = [{command!r}, '--help']\n"
        f"from {modules[command]} import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        f"print(','.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines()[-1].split(",") if name]


def _session_seconds(environment: dict[str, str]) -> tuple[float, float]:
    """(until the prompt, until the first row of /pods), both from the start."""
    terminal = _on_terminal(_script("main"), environment)
    terminal.expect(PROMPT, seconds=30)
    prompt = time.monotonic() - terminal.started
    terminal.line("/pods -A")
    terminal.expect(ROW, seconds=30)
    answer = time.monotonic() - terminal.started
    terminal.line("/exit")
    terminal.ends(seconds=30)
    return prompt, answer


def _on_terminal(command: str, environment: dict[str, str]) -> Terminal:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    started = time.monotonic()
    process = subprocess.Popen(
        [command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environment | {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
    )
    os.close(slave)
    return Terminal(process, master, started=started)


def _script(command: str) -> str:
    return str(Path(sys.executable).with_name(command))
