"""The gateway on a real API server: cache and live answer alike, and each way to degrade."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.cache_first_gateway import CacheFirstGateway
from agent_fixtures import OpenGateway, freeze, request_arrived
from configuration.errors import ConfigurationError, NotPermitted, ToolTimeout, Unauthorized, Unreachable
from controlplane.control_plane import ControlPlane
from kept_server import MakeScannerHere, ScannerHere
from kinds.registry import KINDS

Opener = Callable[..., Any]


@pytest.fixture
def scanner(control_plane: ControlPlane, scanner_here: MakeScannerHere) -> ScannerHere:
    """A scanner of the session's cluster that has not run yet."""
    return scanner_here(control_plane.kubeconfig)


@pytest.fixture
def gateway_on(control_plane: ControlPlane, scanner: ScannerHere, open_gateway: OpenGateway) -> Opener:
    """Opens gateways on the scanner's database and the session's cluster, on real time."""

    async def open_one(**settings: Any) -> CacheFirstGateway:
        values = {
            "kubeconfig": control_plane.kubeconfig, "clock": time.time, "cache_db_path": scanner.database,
            "redaction_key_file": scanner.key,
        }  # fmt: skip
        return await open_gateway(**(values | settings))

    return open_one


def _scan(scanner: ScannerHere, *kinds: str) -> None:
    """These kinds, or all."""
    report = scanner.report("--full", *(argument for kind in kinds for argument in ("--kind", kind)))
    assert report["exit_code"] == 0, report["stderr"]


def _populate(control_plane: ControlPlane, namespace: str) -> None:
    """Something of every kind, healthy and not, with values that are redacted."""
    api, pods = control_plane.api, control_plane.pods
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "app", "image": "web:1", "env": [{"name": "DB_PASSWORD", "value": "hunter2-canary"}]}]},
    }
    selector = {"matchLabels": {"app": "web"}}
    api.post(
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        {"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": selector, "template": template}},
    )
    api.post(
        f"/apis/apps/v1/namespaces/{namespace}/statefulsets",
        {"metadata": {"name": "db"}, "spec": {"serviceName": "db", "replicas": 1, "selector": selector, "template": template}},
    )
    api.post(
        f"/apis/apps/v1/namespaces/{namespace}/daemonsets",
        {"metadata": {"name": "log"}, "spec": {"selector": selector, "template": template}},
    )
    job = {"template": {"spec": template["spec"] | {"restartPolicy": "Never"}}}
    api.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", {"metadata": {"name": "once"}, "spec": job})
    api.post(
        f"/api/v1/namespaces/{namespace}/services",
        {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
    )
    pods.create_unschedulable(namespace, "nowhere")
    pods.create(namespace, "broken", "ImagePullBackOff")


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("k8s_list_namespaces", {}),
    ("k8s_list_nodes", {}),
    ("k8s_list_nodes", {"healthy": True}),
    ("k8s_list_pods", {"limit": 1000}),
    ("k8s_list_pods", {"namespace": "NS"}),
    ("k8s_list_pods", {"namespace": "NS", "label_selector": "app in (web,db),!missing"}),
    ("k8s_list_pods", {"namespace": "NS", "healthy": False}),
    ("k8s_list_pods", {"namespace": "NS", "limit": 2}),
    ("k8s_list_services", {"namespace": "NS"}),
    *(("k8s_list_resources", {"kind": name, "limit": 1000}) for name, kind in KINDS.items() if not kind.optional),
    ("k8s_list_resources", {"kind": "deploy", "namespace": "NS", "filters": {"healthy": True}}),
    ("k8s_get_resource", {"kind": "deployments", "name": "web", "namespace": "NS"}),
    ("k8s_get_resource", {"kind": "pods", "name": "broken", "namespace": "NS"}),
    ("k8s_get_resource", {"kind": "services", "name": "web", "namespace": "NS"}),
    ("k8s_get_resource", {"kind": "nodes", "name": "node-0"}),
    ("k8s_get_resource", {"kind": "namespaces", "name": "NS"}),
]


@pytest.mark.timeout(180)
async def test_the_same_call_gives_identical_rows_from_a_fresh_cache_and_live(
    control_plane: ControlPlane, fresh_namespace: str, scanner: ScannerHere, gateway_on: Opener
) -> None:
    """Tool by tool. A cluster never stands still, so what differs is scanned and compared again, until a deadline."""
    _populate(control_plane, fresh_namespace)
    cached, live = await gateway_on(), await gateway_on(agent_enable_cache_query=False)
    different = dict.fromkeys(range(len(CALLS)), "not compared yet")
    deadline = time.monotonic() + 120
    while different and time.monotonic() < deadline:
        await asyncio.to_thread(_scan, scanner)
        for number in list(different):
            tool, template = CALLS[number]
            arguments = {name: fresh_namespace if value == "NS" else value for name, value in template.items()}
            difference = _difference(await cached.call(tool, arguments), await live.call(tool, arguments))
            if difference:
                different[number] = f"{tool} {arguments}: {difference}"
            else:
                del different[number]
    assert different == {}
    assert cached.server_pid is None  # nothing of it was answered live by accident


def _difference(cached: Any, live: Any) -> str:
    assert (cached.source, live.source) == ("cache", "live")
    assert cached.structured.keys() == live.structured.keys()
    for key in cached.structured:
        if key not in ("envelope", "continue") and cached.structured[key] != live.structured[key]:
            return f"{key}: {cached.structured[key]!r} != {live.structured[key]!r}"
    if bool(cached.continue_token) != bool(live.continue_token):
        return f"continue: {cached.continue_token!r} against {live.continue_token!r}"
    one, other = cached.envelope, live.envelope
    same = (one.cluster, one.kind, one.shown, one.more) == (other.cluster, other.kind, other.shown, other.more)
    return "" if same and one.total in (other.total, one.total if other.total is None else -1) else f"{one} against {other}"


async def test_pages_read_from_cache_and_live_hold_the_same_rows_in_the_same_order(
    control_plane: ControlPlane, fresh_namespace: str, scanner: ScannerHere, gateway_on: Opener
) -> None:
    for number in range(7):  # `-` sorts before `/`: a-b comes before a
        control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/services", _service(f"a{'-b' * (number % 3)}{number}"))
    await asyncio.to_thread(_scan, scanner, "services")

    async def names(gateway: CacheFirstGateway) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await gateway.call("k8s_list_services", {"limit": 3, "continue_token": token, "namespace": fresh_namespace})
            found += [row["name"] for row in page.rows]
            token = page.continue_token
            if not token:
                return found

    assert await names(await gateway_on()) == await names(await gateway_on(agent_enable_cache_query=False))


def _service(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


async def test_a_continue_token_of_the_cluster_goes_on_live(
    control_plane: ControlPlane, fresh_namespace: str, scanner: ScannerHere, gateway_on: Opener
) -> None:
    for number in range(4):
        control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/services", _service(f"s{number}"))
    await asyncio.to_thread(_scan, scanner, "services")
    gateway = await gateway_on()
    first = await gateway.call("k8s_list_services", {"namespace": fresh_namespace, "limit": 2}, live=True)
    second = await gateway.call(
        "k8s_list_services", {"namespace": fresh_namespace, "limit": 2, "continue_token": first.continue_token}
    )
    assert (first.source, second.source) == ("live", "live")
    assert [row["name"] for row in [*first.rows, *second.rows]] == ["s0", "s1", "s2", "s3"]


async def test_without_a_database_it_reads_live_and_says_so_in_one_line(
    control_plane: ControlPlane, scanner: ScannerHere, gateway_on: Opener
) -> None:
    answer = await (await gateway_on()).call("k8s_list_nodes", {})
    assert answer.source == "live"
    assert {row["name"] for row in answer.rows} >= {"node-0", "node-1"}
    assert answer.note.endswith(": read live")
    assert str(scanner.database) in answer.note
    assert "\n" not in answer.note


@pytest.mark.parametrize(
    ("state", "words"), [("corrupt", "is damaged"), ("newer", "newer version"), ("locked", "is held by another process")]
)
async def test_a_database_that_cannot_be_used_is_named_in_one_line_and_read_past(
    control_plane: ControlPlane, scanner: ScannerHere, gateway_on: Opener, state: str, words: str
) -> None:
    await asyncio.to_thread(_scan, scanner, "nodes")
    gateway = await gateway_on()
    with _spoiled(scanner.database, state):
        before = await asyncio.to_thread(scanner.database.read_bytes)
        answer = await gateway.call("k8s_list_nodes", {})
        assert (answer.source, answer.note.endswith(": read live")) == ("live", True)
        assert words in answer.note
        assert "\n" not in answer.note
        assert await asyncio.to_thread(scanner.database.read_bytes) == before  # repairing it is the scanner's business
        started = time.monotonic()
        assert (await gateway.call("k8s_list_nodes", {})).source == "live"
        assert time.monotonic() - started < 5  # a lock is waited for once, not by every read


@contextmanager
def _spoiled(database: Path, state: str) -> Iterator[None]:
    if state == "corrupt":
        database.write_bytes(b"no database at all" * 500)
        for extra in database.parent.glob("cache.db-*"):
            extra.unlink()
        yield
        return
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        if state == "newer":
            connection.execute("PRAGMA user_version=9999")
        else:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_stale_cache_is_passed_over_and_said(
    control_plane: ControlPlane, scanner: ScannerHere, gateway_on: Opener
) -> None:
    await asyncio.to_thread(_scan, scanner, "nodes")
    gateway = await gateway_on(clock=lambda: time.time() + 3600)
    answer = await gateway.call("k8s_list_nodes", {})
    assert (answer.source, answer.note) == ("live", f"nodes of {control_plane.context} are 60 min old in the cache: read live")
    assert gateway.ledger.take().text() == f"live: {control_plane.context} · nodes"


async def test_now_means_live_even_when_the_cache_is_fresh(
    control_plane: ControlPlane, scanner: ScannerHere, gateway_on: Opener
) -> None:
    await asyncio.to_thread(_scan, scanner, "nodes")
    gateway = await gateway_on()
    assert (await gateway.call("k8s_list_nodes", {})).source == "cache"
    assert (await gateway.call("k8s_list_nodes", {}, live=True)).source == "live"
    assert re.search(r"nodes \d+ s old \(fresh\) · live: nodes", gateway.ledger.take().text())


async def test_an_object_younger_than_the_cache_is_found_live(
    control_plane: ControlPlane, fresh_namespace: str, scanner: ScannerHere, gateway_on: Opener
) -> None:
    await asyncio.to_thread(_scan, scanner, "services")
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/services", _service("brand-new"))
    arguments = {"kind": "services", "name": "brand-new", "namespace": fresh_namespace}
    answer = await (await gateway_on()).call("k8s_get_resource", arguments)
    assert answer.source == "live"


async def test_logs_are_always_live(
    control_plane: ControlPlane, fresh_namespace: str, scanner: ScannerHere, gateway_on: Opener
) -> None:
    control_plane.pods.create(fresh_namespace, "talker")
    control_plane.logs.set(fresh_namespace, "talker", "first\nlast words\n")
    gateway = await gateway_on(namespace=fresh_namespace)
    answer = await gateway.call("k8s_get_pod_logs", {"name": "talker"})
    assert answer.structured is not None
    assert answer.structured["text_lines"] == 2
    assert answer.text.splitlines()[-2:] == ["first", "last words"]
    assert gateway.ledger.take().text() == f"live: {control_plane.context} · logs {fresh_namespace}/talker"


async def test_what_the_credentials_may_not_do_is_told_and_not_answered_from_the_cache(
    control_plane: ControlPlane, fresh_namespace: str, scanner: ScannerHere, gateway_on: Opener
) -> None:
    await asyncio.to_thread(_scan, scanner, "nodes")
    user = control_plane.users.create(fresh_namespace, "nobody")
    later = {"clock": lambda: time.time() + 3600, "kubeconfig": user.kubeconfig}
    with pytest.raises(NotPermitted):
        await (await gateway_on(**later)).call("k8s_list_nodes", {})
    bad = control_plane.users.with_bad_token()
    with pytest.raises(Unauthorized):
        await (await gateway_on(**(later | {"kubeconfig": bad.kubeconfig}))).call("k8s_list_nodes", {})


async def test_a_context_that_does_not_exist_is_named_with_those_that_do(gateway_on: Opener, control_plane: ControlPlane) -> None:
    gateway = await gateway_on()
    with pytest.raises(ConfigurationError, match=f"'typo'.*{control_plane.context}"):
        await gateway.call("k8s_list_nodes", {"context": "typo"})


async def test_a_stopped_api_server_leaves_the_cache_and_its_return_is_noticed(
    control_plane: ControlPlane, scanner: ScannerHere, gateway_on: Opener
) -> None:
    await asyncio.to_thread(_scan, scanner, "nodes")
    gateway = await gateway_on(clock=lambda: time.time() + 3600)
    with control_plane.api_server.stopped():
        answer = await gateway.call("k8s_list_nodes", {})
        assert answer.source == "cache"
        assert answer.note == "the API server does not answer; this is from the cache, 60 min old"
        with pytest.raises(Unreachable):
            await gateway.call("k8s_get_pod_logs", {"name": "any"})
    assert (await gateway.call("k8s_list_nodes", {})).source == "live"


async def test_the_call_timeout_bounds_a_cluster_that_hangs(
    control_plane: ControlPlane, scanner: ScannerHere, gateway_on: Opener
) -> None:
    gateway = await gateway_on(agent_mcp_call_timeout=1)
    await _answers(gateway)
    with control_plane.api_server.paused():
        started = time.monotonic()
        with pytest.raises(ToolTimeout):
            await gateway.call("k8s_list_nodes", {})
        assert time.monotonic() - started < 20


async def _answers(gateway: CacheFirstGateway) -> None:
    """Returns when a call has been answered in its time: the first one waits for the server's imports as well."""
    deadline = time.monotonic() + 60
    while True:
        try:
            await gateway.call("k8s_list_nodes", {})
        except ToolTimeout:
            assert time.monotonic() < deadline
        else:
            return


async def test_a_read_survives_the_death_of_the_mcp_server_in_the_middle_of_the_call(
    control_plane: ControlPlane, gateway_on: Opener
) -> None:
    gateway = await gateway_on()
    await gateway.call("k8s_list_nodes", {})
    pid = gateway.server_pid
    await freeze(pid)
    reading = asyncio.create_task(gateway.call("k8s_list_nodes", {}))
    await request_arrived(pid)
    os.kill(pid, signal.SIGKILL)
    answer = await reading
    assert (answer.source, gateway.server_pid == pid) == ("live", False)
    assert len(answer.rows) >= 2
