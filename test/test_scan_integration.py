"""Scans of a real Kubernetes API server, through the real MCP server, into a real database.

Also runs as `python test/test_scan_integration.py`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.ttl_manager import TtlPolicy
from configuration.errors import Unreachable
from control_plane_fixtures import launch
from every_kind import cluster_objects, namespaced_objects
from kept_server import MakeScannerHere
from kinds.kind import Kind
from kinds.registry import KINDS
from mcp_tools.settings import McpSettings
from mcp_tools.tool_loader import ToolLoader
from scan_fixtures import ScannerProcess, query, stored_versions
from scanner.cluster_scanner import ClusterScanner, Progress

MakeScanner = Callable[..., ScannerProcess]
SERVED = {name: kind for name, kind in KINDS.items() if not kind.optional}
"""Kinds that every cluster has."""


def listed_versions(control_plane: Any, kind: Kind) -> set[tuple[str, str]]:
    items = control_plane.api.get(kind.api_path())["items"]
    return {(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in items}


def assert_cache_equals_cluster(control_plane: Any, scanner: ScannerProcess, kinds: Mapping[str, Kind] = SERVED) -> None:
    """By (uid, resourceVersion). A kind that moved while it was scanned is looked at again."""
    open_kinds, deadline = dict(kinds), time.monotonic() + 150
    while open_kinds:
        before = {name: listed_versions(control_plane, kind) for name, kind in open_kinds.items()}
        report = scanner.report(*(argument for name in open_kinds for argument in ("--kind", name)))
        assert report["exit_code"] == 0, report["stderr"]
        for name, kind in list(open_kinds.items()):
            stored = stored_versions(scanner.database, name, control_plane.context)
            if stored == before[name]:
                del open_kinds[name]
            elif listed_versions(control_plane, kind) == before[name]:
                assert stored == before[name], f"{name} did not move, and differ from the API server's list"
        assert time.monotonic() < deadline, f"{', '.join(open_kinds)} never stood still"


def workload(name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}


def populate(control_plane: Any, namespace: str) -> None:
    """At least one object of every kind that a namespace can hold, and pods in several states."""
    apps = f"/apis/apps/v1/namespaces/{namespace}"
    control_plane.api.post(f"{apps}/deployments", workload("web", replicas=2))
    control_plane.api.post(f"{apps}/statefulsets", workload("db", replicas=1, serviceName="db"))
    control_plane.api.post(f"{apps}/daemonsets", workload("agent"))
    job = workload("migrate")
    job["spec"].pop("selector")
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    control_plane.api.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    control_plane.api.post(f"/api/v1/namespaces/{namespace}/services", service)
    for kind, body in namespaced_objects().items():
        control_plane.api.post(KINDS[kind].api_path(namespace), {"metadata": {"name": "every-kind"}} | body)
    secret = {"metadata": {"name": "every-kind"}, "stringData": {"a": "1"}}
    control_plane.api.post(f"/api/v1/namespaces/{namespace}/secrets", secret)
    control_plane.pods.create(namespace, "looping", "CrashLoopBackOff")
    control_plane.pods.create_unschedulable(namespace, "nowhere")


@pytest.fixture
def cluster_scoped_objects(control_plane: Any) -> Iterator[None]:
    bodies = {kind: {"metadata": {"name": "every-kind"}} | body for kind, body in cluster_objects().items()}
    for kind, body in bodies.items():
        control_plane.api.post(KINDS[kind].api_path(), body)
    yield
    for kind, body in bodies.items():
        control_plane.api.delete(KINDS[kind].api_path(name=body["metadata"]["name"]))


def test_every_kind_equals_what_the_api_server_lists(
    control_plane: Any, fresh_namespace: str, cluster_scoped_objects: None, scanner_here: MakeScannerHere
) -> None:
    populate(control_plane, fresh_namespace)
    scanner = scanner_here(control_plane.kubeconfig)
    assert_cache_equals_cluster(control_plane, scanner)
    found = {kind for kind in SERVED if query(scanner.database, f'SELECT 1 FROM "{kind}" LIMIT 1')}
    assert found == set(SERVED), "the test is worth nothing for a kind of which there is no object"
    status = query(scanner.database, "SELECT name, status FROM pods WHERE namespace = ? AND owner_kind IS NULL", fresh_namespace)
    assert dict(status) == {"looping": "CrashLoopBackOff", "nowhere": "Pending"}
    containers = query(scanner.database, "SELECT reason FROM containers WHERE pod = 'looping'")
    assert containers == [("CrashLoopBackOff",)]


def test_a_second_scan_of_what_did_not_change_writes_metadata_only(
    control_plane: Any, fresh_namespace: str, scanner_here: MakeScannerHere
) -> None:
    for number in range(3):
        control_plane.pods.create(fresh_namespace, f"web-{number}")
    scanner = scanner_here(control_plane.kubeconfig)
    first = scanner.report("--kind", "pods", "--kind", "services")
    assert first["exit_code"] == 0
    tables = ("pods", "containers", "labels", "annotations", "deleted_objects", "changes")
    before = {table: query(scanner.database, f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables}
    for _ in range(5):
        again = scanner.report("--kind", "pods", "--kind", "services")
        pods = next(row for row in again["kinds"] if row["kind"] == "pods")
        if pods["changed"] == pods["added"] == pods["removed"] == 0:
            break
        before = {table: query(scanner.database, f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables}
    assert {table: query(scanner.database, f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in tables} == before
    checked = query(scanner.database, "SELECT last_checked_at FROM cache_metadata WHERE kind = 'pods'")[0][0]
    assert time.time() - checked < 60


def test_a_deleted_object_moves_to_deleted_objects(
    control_plane: Any, fresh_namespace: str, scanner_here: MakeScannerHere
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/services"
    for name in ("kept", "gone"):
        control_plane.api.post(path, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
    scanner = scanner_here(control_plane.kubeconfig)
    scanner.report("--kind", "services")
    control_plane.api.delete(f"{path}/gone")
    report = scanner.report("--kind", "svc")
    assert report["kinds"][0]["removed"] >= 1
    where = " WHERE namespace = ? ORDER BY name"
    assert query(scanner.database, "SELECT name FROM services" + where, fresh_namespace) == [("kept",)]
    assert query(scanner.database, "SELECT kind, name FROM deleted_objects" + where, fresh_namespace) == [("services", "gone")]


def test_a_stopped_api_server_deletes_nothing_and_is_reported(without_controllers: Any, scanner_here: MakeScannerHere) -> None:
    control_plane = without_controllers
    scanner = scanner_here(control_plane.kubeconfig)
    assert scanner.report()["exit_code"] == 0
    before = {kind: stored_versions(scanner.database, kind, control_plane.context) for kind in KINDS}
    with control_plane.api_server.stopped():
        report = scanner.report_of_process()
    assert report["exit_code"] == 1
    assert {row["outcome"] for row in report["kinds"]} == {"failed"}
    assert "does not answer" in report["stderr"]
    assert {kind: stored_versions(scanner.database, kind, control_plane.context) for kind in KINDS} == before
    errors = query(scanner.database, "SELECT DISTINCT last_error FROM cache_metadata")
    assert all("does not answer" in str(error) for (error,) in errors)
    assert scanner.report()["exit_code"] == 0
    assert query(scanner.database, "SELECT count(*) FROM cache_metadata WHERE last_error <> ''") == [(0,)]


@dataclass
class InProcess:
    """The scanner's parts in this process, with small pages, so that a test can act between two of them."""

    loader: ToolLoader
    scanner: ClusterScanner
    database: Path


@asynccontextmanager
async def in_process(control_plane: Any, folder: Path, *, page_size: int = 10) -> AsyncIterator[InProcess]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(control_plane.kubeconfig)}
    settings = McpSettings(redaction_key_file=folder / "key")
    async with ToolLoader(settings, environment=environment) as loader:
        with CacheManager(folder / "cache.db", policy=TtlPolicy()) as cache:
            scanner = ClusterScanner(loader, cache, timeout_seconds=20, page_size=page_size)
            await scanner.identify(control_plane.context)
            yield InProcess(loader, scanner, folder / "cache.db")


def between_pages(action: Callable[[], None], *, after: int = 1) -> Callable[[Progress], None]:
    """Call `action` once, when so many pages have been stored."""
    pages: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        pages.append(progress)
        if len(pages) == after:
            action()

    return on_progress


@pytest.fixture(scope="module")
def without_controllers(control_plane_binaries: Any) -> Iterator[Any]:
    """Its pods stand still and are read from etcd, so that history can expire."""
    control_plane = launch(control_plane_binaries, nodes=1, controllers=False, watch_cache_sizes="pods#0")
    control_plane.create_namespace("shop")
    yield control_plane
    control_plane.stop()


@pytest.fixture
def pods_without_controllers(without_controllers: Any) -> Any:
    """That cluster with 60 pods."""
    pods = "/api/v1/namespaces/shop/pods"
    for item in without_controllers.api.get(pods)["items"]:
        without_controllers.api.delete(f"{pods}/{item['metadata']['name']}?gracePeriodSeconds=0")
    without_controllers.pods.create_many(60, namespaces=["shop"], nodes=["node-0"], patch_status=True)
    return without_controllers


async def test_an_api_server_that_stops_in_the_middle_of_a_list_changes_nothing(
    pods_without_controllers: Any, tmp_path: Path
) -> None:
    control_plane = pods_without_controllers
    async with in_process(control_plane, tmp_path) as parts:
        await parts.scanner.scan(control_plane.context, KINDS["pods"])
        before = stored_versions(parts.database, "pods", control_plane.context)
        assert len(before) == 60
        gone = control_plane.api.get("/api/v1/namespaces/shop/pods")["items"][-1]["metadata"]["name"]
        control_plane.api.delete(f"/api/v1/namespaces/shop/pods/{gone}?gracePeriodSeconds=0")
        with pytest.raises(Unreachable):
            await parts.scanner.scan(control_plane.context, KINDS["pods"], between_pages(control_plane.api_server.stop))
        control_plane.api_server.start()
        assert stored_versions(parts.database, "pods", control_plane.context) == before
        assert query(parts.database, "SELECT count(*) FROM deleted_objects") == [(0,)]
        report = await parts.scanner.scan(control_plane.context, KINDS["pods"])
        assert (report.removed, report.objects) == (1, 59)


async def test_an_mcp_server_that_is_killed_in_the_middle_of_a_list_is_replaced_and_the_list_goes_on(
    pods_without_controllers: Any, tmp_path: Path
) -> None:
    control_plane = pods_without_controllers
    async with in_process(control_plane, tmp_path) as parts:
        pid = parts.loader.server_pid
        assert pid is not None
        report = await parts.scanner.scan(control_plane.context, KINDS["pods"], between_pages(lambda: os.kill(pid, 9), after=2))
        assert parts.loader.server_pid != pid
        assert (report.objects, report.pages) == (60, 6)
        stored = stored_versions(parts.database, "pods", control_plane.context)
        assert stored == listed_versions(control_plane, KINDS["pods"])


async def test_a_continue_token_that_expires_starts_the_list_again(pods_without_controllers: Any, tmp_path: Path) -> None:
    control_plane = pods_without_controllers
    pages: list[int] = []
    async with in_process(control_plane, tmp_path) as parts:
        expire = between_pages(control_plane.expire_history, after=2)

        def on_progress(progress: Progress) -> None:
            pages.append(progress.objects)
            expire(progress)

        report = await parts.scanner.scan(control_plane.context, KINDS["pods"], on_progress)
        assert pages.count(10) == 2, "the list was started twice"
        assert report.objects == 60
        stored = stored_versions(parts.database, "pods", control_plane.context)
        assert stored == listed_versions(control_plane, KINDS["pods"])


def test_kinds_that_may_not_be_read_are_recorded_and_count_only_when_asked_for(
    control_plane: Any, fresh_namespace: str, scanner_here: MakeScannerHere
) -> None:
    from controlplane.users import rule

    reader = control_plane.users.create(
        fresh_namespace, "reader", cluster_rules=[rule("pods", "services", "namespaces", "deployments")]
    )
    scanner = scanner_here(reader.kubeconfig)
    report = scanner.report()
    assert report["exit_code"] == 0, report["stderr"]
    outcomes = {row["kind"]: row["outcome"] for row in report["kinds"]}
    assert {kind for kind, outcome in outcomes.items() if outcome == "scanned"} == {
        "pods",
        "services",
        "namespaces",
        "deployments",
    }
    assert set(outcomes.values()) == {"scanned", "not_permitted"}
    assert query(scanner.database, "SELECT DISTINCT permitted FROM cache_metadata WHERE kind = 'nodes'") == [(0,)]
    named = scanner.report("--kind", "pods", "--kind", "nodes")
    assert named["exit_code"] == 3
    assert "nodes" in named["stderr"]
    assert scanner.report("--kind", "nodes")["exit_code"] == 1


def test_credentials_that_expired_are_bad_input_and_nothing_is_written(control_plane: Any, scanner_process: MakeScanner) -> None:
    expired = control_plane.users.with_expired_token()
    scanner = scanner_process(expired.kubeconfig)
    done = scanner.run("scan")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "401" in line
    assert control_plane.context in line
    assert not scanner.database.exists()


def test_a_scan_reads_and_changes_nothing_in_a_cluster(control_plane: Any, scanner_process: MakeScanner) -> None:
    scanner = scanner_process(control_plane.kubeconfig)
    for verbs in ({"get", "list"}, {"get", "list", "watch"}):  # the second scan catches up
        mark = control_plane.audit.mark()
        scanner.report("--kind", "pods")
        assert {request.verb for request in control_plane.audit.requests(mark)} <= verbs


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", __file__, *sys.argv[1:]]))
