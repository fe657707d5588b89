"""The caller's patience reaches the API server: slow answers are waited for, and silence is told before the caller gives up."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from fault_proxy import Fault, FaultProxy
from following_fixtures import Follower, told
from scan_fixtures import SCANNER
from scripted_api import scripted_api

SLOW_SECONDS = 4.0


@pytest.mark.parametrize(("timeout_seconds", "answers"), [(2, False), (60, True)])
async def test_a_page_is_waited_for_as_long_as_the_caller_says(
    control_plane: ControlPlane, follower: Callable[..., Any], tmp_path: Path, timeout_seconds: int, answers: bool
) -> None:
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy") as proxy:
        server: Follower = await follower(proxy.kubeconfig)
        await server.cursor("nodes")
        proxy.inject(Fault(action="delay", path="*/nodes", verb="list", seconds=SLOW_SECONDS))
        began = time.monotonic()
        asked = server.call("k8s_export_page", kind="nodes", timeout_seconds=timeout_seconds)
        if answers:
            assert (await asked)["objects"]
            assert time.monotonic() - began >= SLOW_SECONDS
        else:
            with pytest.raises(AssertionError, match="no answer within 3 s to connect and 2 s to read"):
                await asked
            assert time.monotonic() - began < timeout_seconds + 1


async def test_a_catch_up_waits_for_events_that_come_a_while_after_the_headers(
    follower: Callable[..., Any], tmp_path: Path
) -> None:
    late = {"metadata": {"name": "late", "namespace": "default", "uid": "u1", "resourceVersion": "101"}}
    with scripted_api() as api:
        api.events["/api/v1/configmaps"] = [{"type": "MODIFIED", "object": {"apiVersion": "v1", "kind": "ConfigMap"} | late}]
        api.first_event_seconds = 0.3
        server: Follower = await follower(api.kubeconfig(tmp_path))
        result = await server.poll_one("configmaps", "", "100", hold=False)
        assert (told(result), result["cursor"], result["more"]) == ([("MODIFIED", "late")], "101", False)


async def test_silence_is_the_time_without_a_byte_not_the_length_of_an_answer(
    control_plane: ControlPlane, follower: Callable[..., Any]
) -> None:
    server: Follower = await follower(control_plane.kubeconfig)
    api = server.clusters.api()
    await api.get("/version", doing="ask")
    control_plane.api_server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(Exception, match="does not answer"):
            await api.get("/api/v1/nodes", doing="list nodes", read_seconds=1)
        assert 0.9 <= time.monotonic() - began < 10
    finally:
        control_plane.api_server.resume()


@pytest.mark.parametrize(("timeout", "slow_seconds", "code"), [("8", 10, 3), ("90", 32, 0)])
def test_scanner_timeout_decides_whether_a_slow_api_server_is_scanned(
    control_plane: ControlPlane, tmp_path: Path, timeout: str, slow_seconds: float, code: int
) -> None:
    with FaultProxy(control_plane.kubeconfig, tmp_path / "proxy") as proxy:
        proxy.inject(Fault(action="delay", path="*/configmaps", verb="list", seconds=slow_seconds, count=None))
        environment = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"} | {
            "KUBECONFIG": str(proxy.kubeconfig),
            "CACHE_DB_PATH": str(tmp_path / "cache.db"),
            "REDACTION_KEY_FILE": str(tmp_path / "redaction.key"),
            "SCANNER_TIMEOUT": timeout,
        }
        done = subprocess.run(
            [str(SCANNER), "scan", "--kind", "configmaps", "--kind", "namespaces"],
            env=environment, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert len(proxy.since(0, verb="list", path="*/configmaps")) == 1, "a wait that was long enough is not repeated"
        if code:
            assert "configmaps" in done.stdout + done.stderr
            assert "does not answer" in done.stdout + done.stderr
