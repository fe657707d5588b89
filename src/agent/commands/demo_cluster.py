"""The processes of `main demo`: the simulated cluster, and a scanner with a database of its own. All of it goes when it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from configuration.errors import K8sMcpError
from mcp_tools.child_environment import is_model_variable

START_SECONDS = 30.0
STOP_SECONDS = 6.0
REMOVAL_PAUSE_SECONDS = 0.02
CONTEXT = "demo"
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
SOURCE_ROOT = Path(__file__).resolve().parents[2]
_SCANNER = "from scanner.cli import app; app(prog_name='scanner')"
_DROPPED = ("SCANNER_", "CACHE_", "K8S_", "MCP_", "REDACTION_")
"""Settings of the person's own installation: a demo neither reads their cluster nor writes their database."""


@dataclass(frozen=True)
class DemoCluster:
    """A running simulated cluster. `environment` is what every process of the demo gets."""

    folder: Path
    server: str
    environment: Mapping[str, str]

    @property
    def database(self) -> Path:
        return self.folder / "cache.db"

    @property
    def scanner_log(self) -> Path:
        return self.folder / "scanner.log"

    def scanner(self, arguments: Sequence[str]) -> list[str]:
        """The command line of the scanner, which lives in a process of its own."""
        return [sys.executable, "-P", "-c", _SCANNER, *arguments]


@contextmanager
def demo_cluster(*, seed: int | None, port: int) -> Iterator[DemoCluster]:
    """Start the cluster; on the way out, end its processes and remove its folder, whatever happened. Raises K8sMcpError."""
    with ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        folder = stack.enter_context(_folder())
        environment = demo_environment(os.environ, folder)
        command = [sys.executable, "-P", "-m", "demo", "--kubeconfig", environment["KUBECONFIG"], "--port", str(port)]
        command += ["--seed", str(seed)] if seed is not None else []
        log = stack.enter_context((folder / "cluster.log").open("wb"))
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        process = stack.enter_context(child(command, environment, **streams))
        stack.enter_context(_undisturbed())
        announced = json.loads(_first_line(process, folder / "cluster.log"))
        yield DemoCluster(folder, announced["server"], environment)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is gone afterwards, also when a grandchild that is just ending writes one more file while it is removed."""
    folder = Path(tempfile.mkdtemp(prefix="k8s-mcp-demo-"))
    try:
        yield folder
    finally:
        deadline = time.monotonic() + STOP_SECONDS
        while folder.exists() and time.monotonic() < deadline:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(REMOVAL_PAUSE_SECONDS)


def demo_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The person's environment, with everything that names a cluster, a database or a key replaced or left out."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_DROPPED) and not is_model_variable(name)}
    direct = ",".join(part for part in (environment.get("NO_PROXY") or environment.get("no_proxy", ""), "127.0.0.1") if part)
    path = os.pathsep.join(part for part in (str(SOURCE_ROOT), environment.get("PYTHONPATH", "")) if part)
    return kept | {
        "KUBECONFIG": str(folder / "kubeconfig.yaml"),
        "CACHE_DB_PATH": str(folder / "cache.db"),
        "REDACTION_KEY_FILE": str(folder / "redaction.key"),
        "MCP_SERVER_URL": "stdio://",
        "MCP_SERVER_TYPE": "stdio",
        "K8S_CONTEXTS": CONTEXT,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def child(command: Sequence[str], environment: Mapping[str, str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that Ctrl-C at the prompt is not its end; ended with all its children."""
    process = subprocess.Popen(
        command, env=dict(environment), start_new_session=True, preexec_fn=_parent_death_signal(), **streams
    )  # fmt: skip
    try:
        yield process
    finally:
        _end(process)


def _parent_death_signal() -> Callable[[], object] | None:
    """On Linux: the kernel ends the child when this process is killed without a chance to clean up. Looked up before the
    fork, since little may be done after it."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it may have started and left
    if process.stdout is not None:
        process.stdout.close()


def _first_line(process: subprocess.Popen[bytes], log: Path) -> bytes:
    assert process.stdout is not None  # noqa: S101 (asked for with PIPE)
    with DefaultSelector() as selector:
        selector.register(process.stdout, EVENT_READ)
        line = process.stdout.readline() if selector.select(START_SECONDS) else b""
    if not line:
        said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise K8sMcpError(f"the simulated cluster did not start; it said: {said[0][:300]}; `main --debug demo` shows more")
    return line


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal leave through the context managers too; the handlers are put back at the very end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Cleaning up takes a second or two: a second Ctrl-C must not leave half of it behind."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
