"""A real API server behind a proxy, and scanners for it: what sequences are played on, one after the other."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from cluster_driver import WHOLE, WIDGETS, ClusterDriver, install_widgets
from cluster_sequences import Plan, make_plan
from controlplane.api_client import ApiError
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from fault_proxy import FaultProxy
from kinds.registry import KINDS
from scanner_under_test import Scanner, ScannerAsProcess, ScannerInThread
from sequence_run import Result, SequenceRun

WATCH_CACHE_SIZES = "configmaps#0"
"""For the cluster's options: history of ConfigMaps can then be made to expire."""


def proof_kinds() -> tuple[str, ...]:
    """The kinds of the sequences that this version can cache."""
    from importlib.util import find_spec

    wanted = [kind for kind in WHOLE if kind in KINDS]
    return (*wanted, WIDGETS) if find_spec("kinds.generic") else tuple(wanted)


class SequenceLaboratory:
    """Context manager around a control plane of its own (without controllers, `watch_cache_sizes` as above)."""

    def __init__(self, control_plane: ControlPlane, *, longest_seconds: float = 3600.0) -> None:
        self.kinds = proof_kinds()
        self.cluster = control_plane.context
        self._control_plane = control_plane
        self._longest_seconds = longest_seconds
        self._stack = ExitStack()

    def __enter__(self) -> SequenceLaboratory:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="k8s-mcp-proof-")))
        install_widgets(self._control_plane.api)
        self.proxy = self._stack.enter_context(
            FaultProxy(self._control_plane.kubeconfig, self.folder / "proxy", longest_seconds=self._longest_seconds)
        )
        key = self.folder / "key"
        self.in_thread = ScannerInThread(self.proxy.kubeconfig, self.kinds, key)
        self._stack.callback(self.in_thread.close)
        self.scanner_log = self.folder / "scanner.log"
        self.as_process = ScannerAsProcess(self.proxy.kubeconfig, self.kinds, key, self.scanner_log)
        self._stack.callback(self.as_process.close)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def plan(self, seed: int, *, follow: bool | None = None) -> Plan:
        return make_plan(seed, [kind for kind in self.kinds if kind != "namespaces"], follow=follow)

    def driver(self) -> ClusterDriver:
        """With a ledger that begins now."""
        return ClusterDriver(self._control_plane.api, self.kinds)

    def play(self, plan: Plan) -> Result:
        """On an empty database."""
        driver = self.driver()
        scanner: Scanner = self.as_process if plan.as_process else self.in_thread
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            run = SequenceRun(
                plan,
                driver=driver,
                scanner=scanner,
                proxy=self.proxy,
                cluster=self.cluster,
                database=Path(folder) / "cache.db",
                expire_history=self._control_plane.expire_history,
                restart_api_server=self._restart_api_server,
            )
            return run.run()

    def _restart_api_server(self) -> None:
        """Returns when it serves custom resources again, too: a while after it calls itself ready."""
        self._control_plane.api_server.restart()

        def serves_all() -> bool:
            try:
                return all("items" in self._control_plane.api.get(WHOLE[kind]) for kind in self.kinds)
            except ApiError:
                return False

        wait_until(serves_all, "every kind to be served again", timeout_seconds=30)
