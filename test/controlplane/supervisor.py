"""The parent of a cluster's processes: ``python -m controlplane.supervisor FOLDER LOCK_FD [LIFELINE_FD]``.

It starts them, answers requests on ``control.sock`` (one JSON line each way) and, when it is asked to,
gets SIGTERM or SIGINT, or the lifeline closes because whoever opened it has died, kills them and removes the folder.
When it is killed itself the kernel kills them; the next testcluster command then removes the folder.
LOCK_FD holds the folder's lock for as long as this process lives: that is how others know that it does.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import yaml

from controlplane import components
from controlplane.api_client import ApiClient, ApiError, ApiUnreachable
from controlplane.binaries import Binaries, cached_binaries
from controlplane.certificates import write_certificates
from controlplane.components import TOOLING, read_token
from controlplane.options import ClusterError, ClusterOptions
from controlplane.polling import wait_until
from controlplane.processes import Component, reserve_port
from controlplane.stages import write_stages

API_SERVER = "kube-apiserver"
START_SECONDS = 60
SHUTDOWN = {"do": "shutdown"}


class Supervisor:
    """Owns the processes of one cluster."""

    def __init__(self, folder: Path, options: ClusterOptions, binaries: Binaries) -> None:
        self.folder = folder
        self.options = options
        self.binaries = binaries
        self.api_port = reserve_port()
        self.kwok_port = reserve_port()
        self.components: dict[str, Component] = {}

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.api_port.getsockname()[1]}"

    def prepare(self) -> None:
        write_certificates(self.folder, datetime.datetime.now(datetime.UTC))
        components.write_configuration(self.folder, self.server)
        self._define("etcd", components.etcd())
        api_env = {"GOGC": str(self.options.gogc)}
        self._define(API_SERVER, components.api_server(self.options, self.api_port.getsockname()[1]), api_env)
        if self.options.controllers:
            write_stages(self.folder / "stages.yaml", self.binaries)
            self._define("kube-controller-manager", components.controller_manager())
            self._define("kube-scheduler", components.scheduler())
            self._define("kwok", components.kwok(self.kwok_port.getsockname()[1]))

    def _define(self, name: str, arguments: list[str], env: dict[str, str] | None = None) -> None:
        # Nothing of the caller's environment: no proxy, no KUBECONFIG, no Go settings.
        environment = {"PATH": os.defpath, "HOME": str(self.folder), **(env or {})}
        command = [str(self.binaries.path(name)), *arguments]
        self.components[name] = Component(name, command, self.folder, environment)

    def start(self) -> None:
        """Returns when the API server is ready and the others are started. Raises ClusterError."""
        self.components["etcd"].start()
        self.start_api_server()
        if not self.options.controllers:
            return
        self._install_logs_kind()
        for name in ("kube-controller-manager", "kube-scheduler", "kwok"):
            self.components[name].start()

    def start_api_server(self) -> None:
        self.components[API_SERVER].start()
        client = ApiClient(self.server, self.folder / "ca.crt", read_token(self.folder, TOOLING), timeout_seconds=5)

        def ready() -> bool:
            self._raise_if_ended("etcd", API_SERVER)
            with contextlib.suppress(ApiError, ApiUnreachable):
                return bool(client.get("/readyz"))
            return False

        wait_until(ready, "the API server to be ready", timeout_seconds=START_SECONDS)

    def _raise_if_ended(self, *names: str) -> None:
        for name in names:
            component = self.components[name]
            if component.state != "running":
                raise ClusterError(f"{name} {component.state} while starting; its last words:\n{component.last_lines()}")

    def _install_logs_kind(self) -> None:
        """KWOK reads which pod has which log from its Logs kind, which has to exist before it starts."""

        client = ApiClient(self.server, self.folder / "ca.crt", read_token(self.folder, TOOLING))
        collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        definition = yaml.safe_load(self.binaries.kwok_file("kwok.x-k8s.io_logs"))
        client.post(collection, definition)

        def served() -> bool:
            with contextlib.suppress(ApiError):
                return bool(client.get("/apis/kwok.x-k8s.io/v1alpha1/logs"))
            return False

        wait_until(served, "the Logs kind of KWOK to be served")

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request of the control socket: ``{"do": "status" | "start" | "stop" | "pause" | "resume", "component"}``."""
        match request:
            case {"do": "status"}:
                return {"components": self.status()}
            case {"do": "start", "component": name} if name in self.components:
                self.start_api_server() if name == API_SERVER else self.components[name].start()
            case {"do": "stop", "component": name} if name in self.components:
                self.components[name].stop()
            case {"do": "pause", "component": name} if name in self.components:
                self.components[name].pause()
            case {"do": "resume", "component": name} if name in self.components:
                self.components[name].send(signal.SIGCONT)
            case _:
                raise ClusterError(f"the supervisor does not know {request}; components: {', '.join(self.components)}")
        return {}

    def status(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"state": component.state, "pid": component.process.pid if component.process else None}
            for name, component in self.components.items()
        }

    def stop(self) -> None:
        for component in reversed(self.components.values()):
            component.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def serve(supervisor: Supervisor, listener: socket.socket, lifeline: int | None, wakeup: socket.socket) -> None:
    """Answers until somebody asks to shut down, a signal arrives or the lifeline closes."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        if lifeline is not None:
            selector.register(lifeline, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if listener not in ready or not _serve_one(supervisor, listener):
                return


def _serve_one(supervisor: Supervisor, listener: socket.socket) -> bool:
    """False when that one request was to shut down. A client that breaks off costs only itself."""
    connection, _ = listener.accept()
    connection.settimeout(5)
    request: Any = None
    with contextlib.suppress(OSError), connection, connection.makefile("rw") as stream:
        try:
            request = json.loads(stream.readline())
            if request == SHUTDOWN:
                supervisor.stop()  # before the answer: who gets it may count on everything being gone
            reply = {} if request == SHUTDOWN else supervisor.answer(request)
        except (ClusterError, TimeoutError, ValueError) as error:
            reply = {"error": str(error)}
        stream.write(json.dumps(reply) + "\n")
    return bool(request != SHUTDOWN)


def catch_signals() -> socket.socket:
    """A socket that turns readable on SIGTERM or SIGINT."""
    wakeup, written = socket.socketpair()
    written.setblocking(False)
    signal.set_wakeup_fd(written.detach())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return wakeup


def main(folder: Path, lifeline: int | None) -> int:
    """Reports one JSON line on stdout: ``{"server": URL}`` when the cluster is up, else ``{"error": text}``."""
    wakeup = catch_signals()
    binaries = cached_binaries()
    assert binaries is not None, "whoever starts a supervisor has looked"
    supervisor = Supervisor(folder, ClusterOptions.read(folder), binaries)
    try:
        supervisor.prepare()
        supervisor.start()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("control.sock")  # relative: an address may hold no more than 107 bytes
        listener.listen()
        report({"server": supervisor.server})
        serve(supervisor, listener, lifeline, wakeup)
    except Exception as error:  # noqa: BLE001 - top level: whoever waits for the report must hear of it
        report({"error": f"{type(error).__name__}: {error}"})
        return 1
    finally:
        supervisor.stop()
    return 0


def report(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)
    # Nobody reads on, and a detached cluster must not hold the caller's pipe open.
    with Path(os.devnull).open("w") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    cluster_folder = Path(sys.argv[1])
    os.chdir(cluster_folder)
    sys.exit(main(cluster_folder, int(sys.argv[3]) if len(sys.argv) > 3 else None))
