"""Starts clusters, finds the running ones, ends them, and sweeps up after those that were killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.api_client import connect_unix
from controlplane.binaries import Binaries
from controlplane.options import ClusterError, ClusterOptions, run_root
from controlplane.polling import wait_until
from controlplane.processes import is_alive

TEST_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A cluster's folder and server, however it was started. ``lifeline`` is None for a detached one."""

    name: str
    folder: Path
    server: str
    supervisor_pid: int
    lifeline: int | None = None
    child: subprocess.Popen[str] | None = None
    """The supervisor, when this process started it and so has to reap it."""

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def ask(self, do: str, component: str = "") -> dict[str, Any]:
        """One request to the supervisor (see Supervisor.answer). Raises ClusterError."""
        request = {"do": do} | ({"component": component} if component else {})
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(90)
                connect_unix(connection, self.folder / "control.sock")
                connection.sendall(json.dumps(request).encode() + b"\n")
                reply: dict[str, Any] = json.loads(connection.makefile().readline() or "{}")
        except OSError as error:
            raise ClusterError(f"the supervisor of cluster {self.name} does not answer: {error}") from error
        if "error" in reply:
            raise ClusterError(reply["error"])
        return reply

    def stop(self) -> None:
        """Ends every process and removes the folder; returns when both are done."""
        with contextlib.suppress(ClusterError):
            self.ask("shutdown")
        if self.lifeline is not None:
            with contextlib.suppress(OSError):
                os.close(self.lifeline)
        if self.child is not None:
            self.child.wait(timeout=15)
        wait_until(lambda: not is_alive(self.supervisor_pid), f"cluster {self.name} to end")
        shutil.rmtree(self.folder, ignore_errors=True)


def start_cluster(options: ClusterOptions, binaries: Binaries, *, detached: bool) -> RunningCluster:
    """Starts a cluster and waits until its API server is ready. Raises ClusterError.

    A detached one lives until it is told to stop; the others end with this process, killed or not.
    """
    folder, lock = _claim_folder(options)
    read_end, lifeline = (None, None) if detached else os.pipe()
    inherited = [lock] if read_end is None else [lock, read_end]
    try:
        supervisor = _spawn_supervisor(folder, inherited)
    finally:
        for descriptor in inherited:
            os.close(descriptor)
    try:
        assert supervisor.stdout is not None
        with supervisor.stdout:
            reply = json.loads(supervisor.stdout.readline() or "{}")
    except BaseException:  # Ctrl-C: it would go on without us
        supervisor.terminate()
        raise
    if "server" not in reply:
        supervisor.wait()
        if lifeline is not None:
            os.close(lifeline)
        raise ClusterError(f"cluster {options.name} did not start: {reply.get('error', 'its supervisor was killed')}")
    description = {"server": reply["server"], "pid": supervisor.pid}
    (folder / "cluster.json").write_text(json.dumps(description))
    return RunningCluster(options.name, folder, reply["server"], supervisor.pid, lifeline, supervisor)


def _spawn_supervisor(folder: Path, inherited: list[int]) -> subprocess.Popen[str]:
    with (folder / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "controlplane.supervisor", str(folder), *map(str, inherited)],
            env={**os.environ, "PYTHONPATH": str(TEST_FOLDER)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=inherited,
            start_new_session=True,
            text=True,
        )


def running_clusters() -> list[RunningCluster]:
    """All clusters of this user, by name; removes the folders of those whose supervisor was killed."""
    root = run_root()
    found = []
    with _exclusive(root):
        for folder in sorted(path for path in root.iterdir() if _is_cluster(path)):
            if not _is_locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
            elif (folder / "cluster.json").exists():
                about = json.loads((folder / "cluster.json").read_text())
                found.append(RunningCluster(folder.name, folder, about["server"], about["pid"]))
    return found


def find_cluster(name: str) -> RunningCluster:
    clusters = running_clusters()
    for cluster in clusters:
        if cluster.name == name:
            return cluster
    names = ", ".join(cluster.name for cluster in clusters) or "none"
    raise ClusterError(f"no cluster {name} is running (running: {names}); script/testcluster up --name {name}")


def _claim_folder(options: ClusterOptions) -> tuple[Path, int]:
    """Creates the cluster's folder and locks it; the lock's descriptor goes to the supervisor."""
    root = run_root()
    folder = root / options.name
    with _exclusive(root):
        if folder.exists():
            if not _is_cluster(folder):
                raise ClusterError(f"{folder} is no cluster's folder; remove it or choose another name")
            if _is_locked(folder):
                raise ClusterError(f"cluster {options.name} is already running; script/testcluster down --name {options.name}")
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        options.write(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _is_cluster(folder: Path) -> bool:
    """Whether we have made it: nothing else is ever removed, wherever K8S_MCP_TESTCLUSTER_RUN points."""
    return (folder / "options.json").is_file() and (folder / "lock").is_file()


def _is_locked(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


@contextlib.contextmanager
def _exclusive(root: Path) -> Iterator[None]:
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
