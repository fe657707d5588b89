"""Several clusters in one scanner: one in trouble delays no other, and two that look alike never mix."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cache.cache_manager import CacheManager, ClusterIdentity
from cache.cache_reader import CacheReader
from cache.sql_guard import run_query
from cache_fixtures import Clock, api_object, pods, scan
from demo_fixtures import DemoServer, start_demo_server
from expiring_proxy import kubeconfig_of
from kept_server import MakeScannerHere
from kinds.list_query import ListQuery
from kinds.registry import KINDS
from scan_fixtures import ScannerProcess, query, stored_versions
from scanner.fair_slots import FairSlots

MakeScanner = Callable[..., ScannerProcess]
SLACK_SECONDS = 5.0
"""What a busy machine may need longer for the same scan; a cluster that hangs takes 15 to 90 s to give up on."""


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refusing_server() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def troubled(control_plane: Any, tmp_path: Path) -> Iterator[list[Path]]:
    """Kubeconfigs of three clusters: one hangs, one refuses connections, one does not take the credentials."""
    expired = copied(control_plane.users.with_expired_token().kubeconfig, tmp_path / "expired.yaml", context="expired")
    with silent_server() as silent:
        hanging = kubeconfig_of(tmp_path / "hanging.yaml", "hanging", silent, {"token": "t"})
        refusing = kubeconfig_of(tmp_path / "refusing.yaml", "refusing", refusing_server(), {"token": "t"})
        yield [hanging, refusing, expired]


def copied(kubeconfig: Path, path: Path, *, context: str = "") -> Path:
    """A kubeconfig of one context with names of its own for cluster and user: in a merge the first of a name wins."""
    document = yaml.safe_load(kubeconfig.read_text())
    name = context or document["current-context"]
    made = kubeconfig_of(path, name, "", document["users"][0]["user"])
    own = yaml.safe_load(made.read_text())
    own["clusters"][0]["cluster"] = document["clusters"][0]["cluster"]
    made.write_text(yaml.safe_dump(own))
    return made


def joined(files: list[Path]) -> Path:
    """As KUBECONFIG names several files."""
    return Path(os.pathsep.join(map(str, files)))


def wait_for(holds: Callable[[], Any], what: str, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.02)


def complete_kinds(scanner: ScannerProcess, cluster: str) -> int:
    """How many kinds the cache holds as a whole."""
    if not scanner.database.exists():
        return 0
    try:
        sql = "SELECT count(*) FROM cache_metadata WHERE cluster = ? AND complete"
        return int(query(scanner.database, sql, cluster)[0][0])
    except Exception:  # noqa: BLE001  the file is just being created
        return 0


def seconds_to_fill(scanner: ScannerProcess, cluster: str, kinds: int) -> float:
    """How long a daemon takes, from its start, until it holds every kind of that cluster. Ends the daemon."""
    started = time.monotonic()
    process = scanner.start()
    wait_for(lambda: complete_kinds(scanner, cluster) >= kinds, f"all kinds of {cluster}", 180)
    taken = time.monotonic() - started
    process.kill()
    process.wait()
    return taken


def servable_kinds(control_plane: Any, scanner: ScannerProcess) -> int:
    """How many kinds that API server has."""
    report = scanner.report()
    assert report["exit_code"] == 0, report["stderr"]
    return sum(row["outcome"] == "scanned" for row in report["kinds"] if row["cluster"] == control_plane.context)


def test_clusters_that_hang_refuse_or_do_not_let_in_delay_no_other(
    control_plane: Any, troubled: list[Path], scanner_process: MakeScanner, scanner_here: MakeScannerHere
) -> None:
    kinds = servable_kinds(control_plane, scanner_here(control_plane.kubeconfig))
    alone = seconds_to_fill(scanner_process(control_plane.kubeconfig), control_plane.context, kinds)
    beside = scanner_process(joined([*troubled, control_plane.kubeconfig]), K8S_CONTEXTS="*", SCANNER_CONCURRENT_LIMIT="1")
    taken = seconds_to_fill(beside, control_plane.context, kinds)
    assert taken < alone * 2 + SLACK_SECONDS, f"{taken:.1f} s beside three clusters in trouble, {alone:.1f} s alone"


def test_a_one_shot_scan_names_each_cluster_in_trouble_and_keeps_the_others(
    control_plane: Any, troubled: list[Path], scanner_process: MakeScanner
) -> None:
    scanner = scanner_process(joined([*troubled, control_plane.kubeconfig]), K8S_CONTEXTS="*")
    report = scanner.report("--kind", "pods", "--kind", "namespaces", SCANNER_TIMEOUT="5")
    assert report["exit_code"] == 3
    outcomes = {(row["cluster"], row["outcome"]) for row in report["kinds"]}
    assert outcomes == {(control_plane.context, "scanned"), *((name, "failed") for name in ("hanging", "refusing", "expired"))}
    errors = {row["cluster"]: row["error"] for row in report["kinds"]}
    assert "401" in errors["expired"]
    assert "does not answer" in errors["refusing"]
    assert "answer" in errors["hanging"]
    assert all(name in report["stderr"] for name in ("hanging", "refusing", "expired"))
    status = json.loads(scanner.run("status", "-o", "json").stdout)
    states = {(row["cluster"], row["state"]) for row in status["kinds"] if row["kind"] == "pods"}
    assert (control_plane.context, "fresh") in states
    assert {cluster for cluster, state in states if state == "failed"} == {"hanging", "refusing", "expired"}


def test_a_cluster_that_freezes_later_leaves_the_other_current(
    control_plane: Any,
    control_plane_factory: Callable[..., Any],
    fresh_namespace: str,
    scanner_process: MakeScanner,
    tmp_path: Path,
) -> None:
    """Both have been scanned; then one API server stands still with connections open, in the middle of whatever was asked."""
    frozen = control_plane_factory(controllers=False)
    intervals = {"SCANNER_DYNAMIC_INTERVAL": "4", "SCANNER_STATIC_INTERVAL": "4", "SCANNER_CONCURRENT_LIMIT": "2"}
    files = [copied(one.kubeconfig, tmp_path / f"{one.name}.yaml") for one in (frozen, control_plane)]
    scanner = scanner_process(joined(files), K8S_CONTEXTS="*", **intervals)
    scanner.start()
    for cluster in (frozen.context, control_plane.context):
        wait_for(lambda cluster=cluster: complete_kinds(scanner, cluster) > 25, f"a first scan of {cluster}", 120)
    with frozen.api_server.paused():
        for number in range(6):
            name = f"during-{number}"
            path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
            control_plane.api.post(path, {"metadata": {"name": name}})
            wait_for(lambda name=name: knows_configmap(scanner, name), f"{name} in the cache", 25)
            time.sleep(1)


def knows_configmap(scanner: ScannerProcess, name: str) -> bool:
    return bool(query(scanner.database, "SELECT cluster FROM configmaps WHERE name = ?", name))


def test_several_kubeconfig_files_give_their_contexts_by_name_or_all(
    control_plane: Any, control_plane_factory: Callable[..., Any], scanner_here: MakeScannerHere, tmp_path: Path
) -> None:
    other = control_plane_factory(controllers=False)
    both = {control_plane.context, other.context}
    files = [copied(one.kubeconfig, tmp_path / f"{one.name}.yaml") for one in (control_plane, other)]
    scanner = scanner_here(joined(files))
    for contexts, expected in (("", {control_plane.context}), (other.context, {other.context}), ("*", both)):
        report = scanner.report("--kind", "namespaces", K8S_CONTEXTS=contexts)
        assert {row["cluster"] for row in report["kinds"]} == expected
    names = f"{other.context},{control_plane.context}"
    assert {row["cluster"] for row in scanner.report("--kind", "pods", K8S_CONTEXTS=names)["kinds"]} == both
    for cluster, server in ((control_plane.context, control_plane.api), (other.context, other.api)):
        listed = {item["metadata"]["uid"] for item in server.get("/api/v1/namespaces")["items"]}
        assert {uid for uid, _ in stored_versions(scanner.database, "namespaces", cluster)} >= listed


# --- inside a cluster


IN_POD = """
set -e
mount -t tmpfs none /run
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
cp "$POD_FILES/token" "$POD_FILES/ca.crt" /var/run/secrets/kubernetes.io/serviceaccount/
scanner="$1"; shift
"$scanner" scan -o json --kind pods > "$POD_FILES/first.json"
cp "$POD_FILES/new-token" /var/run/secrets/kubernetes.io/serviceaccount/token
exec "$scanner" scan -o json --kind pods
"""


def can_mount() -> bool:
    """Whether this user may have a file system tree of its own, which stands for a pod's."""
    try:
        return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_inside_a_pod_its_service_account_is_used_and_its_token_may_rotate(
    control_plane: Any, fresh_namespace: str, tmp_path: Path, scanner_process: MakeScanner
) -> None:
    if not can_mount():
        pytest.skip("no user namespaces here: /var/run/secrets cannot be provided")
    from controlplane.users import rule

    user = control_plane.users.create(fresh_namespace, "in-pod", cluster_rules=[rule("pods", "namespaces")])
    again = control_plane.users.create(fresh_namespace, "in-pod", cluster_rules=[rule("pods", "namespaces")])
    (tmp_path / "token").write_text(user.token)
    (tmp_path / "new-token").write_text(again.token)
    (tmp_path / "ca.crt").write_bytes(control_plane.ca_file.read_bytes())
    host, _, port = control_plane.server.removeprefix("https://").partition(":")
    in_pod = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "POD_FILES": str(tmp_path)}
    scanner = scanner_process(None, **in_pod)
    command = ["unshare", "-rm", "sh", "-c", IN_POD, "sh", str(Path(sys.executable).with_name("scanner"))]
    done = subprocess.run(command, env=scanner.environment, cwd=scanner.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for text in ((tmp_path / "first.json").read_text(), done.stdout):
        (report,) = json.loads(text)["kinds"]
        assert (report["cluster"], report["outcome"]) == ("in-cluster", "scanned")
    listed = {item["metadata"]["uid"] for item in control_plane.api.get("/api/v1/pods")["items"]}
    assert {uid for uid, _ in stored_versions(scanner.database, "pods", "in-cluster")} <= listed


# --- clusters that look alike


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[DemoServer, DemoServer, Path]]:
    """Two clusters of the same seed, as a restored snapshot: the same names and uids. And a kubeconfig with both."""
    with ExitStack() as stack:
        servers = []
        for name in ("left", "right"):
            (tmp_path / name).mkdir()
            servers.append(start_demo_server(stack, tmp_path / name, "--speed", "0"))
        merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "left"}
        for name, server in zip(("left", "right"), servers, strict=True):
            document = json.loads(server.kubeconfig.read_text())
            for section, body in (("clusters", "cluster"), ("users", "user")):
                merged.setdefault(section, []).append({"name": name, body: document[section][0][body]})
            merged.setdefault("contexts", []).append({"name": name, "context": {"cluster": name, "user": name}})
        path = tmp_path / "both.yaml"
        path.write_text(yaml.safe_dump(merged))
        yield servers[0], servers[1], path


def call(path: Path, context: str, method: str, url: str) -> Any:
    """A request to the API server of a context."""
    import base64
    import ssl
    import urllib.request

    document = yaml.safe_load(path.read_text())
    cluster = next(item["cluster"] for item in document["clusters"] if item["name"] == context)
    user = next(item["user"] for item in document["users"] if item["name"] == context)
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    request = urllib.request.Request(cluster["server"] + url, method=method, headers={"Authorization": f"Bearer {user['token']}"})
    with urllib.request.urlopen(request, context=ssl.create_default_context(cadata=authority)) as answer:
        return json.load(answer)


def test_two_clusters_with_the_same_uids_and_names_never_mix(
    twins: tuple[DemoServer, DemoServer, Path], scanner_here: MakeScannerHere
) -> None:
    _, _, kubeconfig = twins
    scanner = scanner_here(kubeconfig, K8S_CONTEXTS="*")
    assert scanner.report()["exit_code"] == 0
    left, right = (stored_versions(scanner.database, "configmaps", name) for name in ("left", "right"))
    assert {uid for uid, _ in left} == {uid for uid, _ in right}, "the test is worth nothing if they differ"
    tables = ("pods", "containers", "labels", "annotations", "services", "events")
    before = {table: rows_of(scanner, table, "right") for table in tables}
    assert all(before.values())

    victim = next(item["metadata"] for item in call(kubeconfig, "left", "GET", "/api/v1/namespaces/shop/services")["items"])
    call(kubeconfig, "left", "DELETE", f"/api/v1/namespaces/shop/services/{victim['name']}")
    assert scanner.report()["exit_code"] == 0
    known = "SELECT cluster FROM services WHERE uid = ?"
    assert query(scanner.database, known, victim["uid"]) == [("right",)]
    assert query(scanner.database, "SELECT cluster FROM deleted_objects WHERE uid = ?", victim["uid"]) == [("left",)]
    assert {table: rows_of(scanner, table, "right") for table in tables} == before
    assert query(scanner.database, "SELECT DISTINCT cluster FROM changes") in ([], [("left",)])


def rows_of(scanner: ScannerProcess, table: str, cluster: str) -> list[tuple[Any, ...]]:
    return sorted(query(scanner.database, f'SELECT * FROM "{table}" WHERE cluster = ?', cluster), key=repr)


def test_sql_and_lists_over_twins_show_one_cluster_at_a_time(open_manager: Callable[..., CacheManager], clock: Clock) -> None:
    manager = open_manager()
    for cluster, count in (("left", 3), ("right", 2)):
        manager.register_cluster(ClusterIdentity(cluster=cluster, uid="the same"))
        scan(manager, "pods", pods(count), cluster=cluster)
    with CacheReader(manager.path, clock=clock) as reader:
        found = {cluster: reader.list(cluster, ListQuery(KINDS["pods"])) for cluster in ("left", "right")}
    assert {cluster: page.envelope.total for cluster, page in found.items()} == {"left": 3, "right": 2}
    counted = {
        cluster: run_query(manager.path, "SELECT count(*), count(DISTINCT uid) FROM pods", cluster=cluster).rows
        for cluster in ("left", "right")
    }
    assert {cluster: list(map(list, rows)) for cluster, rows in counted.items()} == {"left": [[3, 3]], "right": [[2, 2]]}
    scan(manager, "pods", [], cluster="left")
    assert query(manager.path, "SELECT cluster, count(*) FROM pods GROUP BY cluster") == [("right", 2)]
    assert query(manager.path, "SELECT cluster, count(*) FROM containers GROUP BY cluster") == [("right", 4)]
    assert api_object("pods", "web-00000", "team-0")["metadata"]["uid"] in {
        uid for uid, _ in stored_versions(manager.path, "pods", "right")
    }


# --- the shared limit


async def test_however_many_clusters_hang_a_slot_is_left_for_the_others() -> None:
    slots = FairSlots(3, patience_seconds=0.05)
    slots.share_between(9)
    hanging = [asyncio.create_task(hold(slots, f"hanging-{number % 8}")) for number in range(24)]
    try:
        async with asyncio.timeout(5):
            for _ in range(3):
                async with slots.slot("healthy") as slot:
                    slot.progress()
    finally:
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_scan_that_makes_progress_keeps_its_slot() -> None:
    slots = FairSlots(1, patience_seconds=0.2)
    slots.share_between(2)
    waiting: asyncio.Task[None] | None = None
    async with slots.slot("large") as slot:
        waiting = asyncio.create_task(hold(slots, "other"))
        for _ in range(30):
            await asyncio.sleep(0.02)
            slot.progress()
            assert not slot.stalled
        assert len(slots._slots) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_one_cluster_never_has_more_scans_than_its_share_even_when_they_stall() -> None:
    slots = FairSlots(2, patience_seconds=0.01)
    slots.share_between(2)
    tasks = [asyncio.create_task(hold(slots, "hanging")) for _ in range(5)]
    await asyncio.sleep(0.1)
    assert len(slots._slots) == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def hold(slots: FairSlots, cluster: str) -> None:
    async with slots.slot(cluster):
        await asyncio.Event().wait()
