"""Least privilege: what may be listed nowhere, in some namespaces, or not watched, on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from control_plane_fixtures import launch
from controlplane.api_client import ApiError
from controlplane.control_plane import ControlPlane
from controlplane.users import User, rule
from follow_fixtures import Following, eventually, following
from kept_server import MakeScannerHere
from scan_fixtures import query

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def bare(control_plane_binaries: Any) -> Iterator[ControlPlane]:
    """Etcd and the API server alone."""
    control_plane = launch(control_plane_binaries, nodes=0, controllers=False)
    yield control_plane
    control_plane.stop()


@pytest.fixture
def api(bare: ControlPlane) -> Iterator[ControlPlane]:
    """Namespaces `a`, `b` and `c` with one ConfigMap each."""
    for namespace in ("a", "b", "c"):
        bare.create_namespace(namespace)
        bare.api.post(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": f"of-{namespace}"}})
    yield bare
    for namespace in ("a", "b", "c", "d", "e"):
        remove(bare, namespace)


def remove(api: ControlPlane, namespace: str) -> None:
    """What the namespace controller does, which does not run here."""
    for path in ("/api/v1/{}/configmaps", "/api/v1/{}/serviceaccounts", f"{RBAC}/{{}}/rolebindings", f"{RBAC}/{{}}/roles"):
        api.api.delete(path.format(f"namespaces/{namespace}"))
    with suppress(ApiError):  # that test has removed it
        api.api.delete(f"/api/v1/namespaces/{namespace}")
        finalize(api, namespace)


def finalize(api: ControlPlane, namespace: str) -> None:
    api.api.put(f"/api/v1/namespaces/{namespace}/finalize", {"metadata": {"name": namespace}, "spec": {"finalizers": []}})


def grant(api: Any, user: User, namespace: str, *rules: Any) -> None:
    """A Role in one more namespace."""
    account = user.name.rsplit(":", 1)[1]
    subject = {"kind": "ServiceAccount", "name": account, "namespace": user.name.split(":")[2]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    path = f"{RBAC}/namespaces/{namespace}"
    api.api.create_or_replace(f"{path}/roles", {"metadata": {"name": "reader"}, "rules": list(rules)})
    api.api.create_or_replace(f"{path}/rolebindings", {"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": role})


def scopes(found: Following, kind: str) -> dict[str, tuple[Any, ...]]:
    """scope -> (permitted, item_count)"""
    sql = "SELECT scope, permitted, item_count FROM cache_metadata WHERE kind = ? ORDER BY scope"
    return {scope: tuple(rest) for scope, *rest in query(found.database, sql, kind)}


async def test_namespaces_are_kept_up_where_the_whole_cluster_may_not_be_listed(api: Any, tmp_path: Path) -> None:
    user = api.users.create("a", "narrow", rules=[rule("configmaps")])
    grant(api, user, "b", rule("configmaps"))
    async with following(
        user.kubeconfig, tmp_path, kinds=("configmaps", "pods", "nodes"), wait=False, scanner_namespaces="a,b,c"
    ) as found:
        await eventually(lambda: {"a", "b"} <= scopes(found, "configmaps").keys(), "both namespaces")
        await eventually(lambda: scopes(found, "pods").get("", (None,))[0] == 0, "pods to be refused")
        assert found.names("configmaps") == {"of-a", "of-b"}
        assert scopes(found, "configmaps") == {"": (0, 0), "a": (1, 1), "b": (1, 1)}
        assert scopes(found, "pods") == {"": (0, 0)}, "not permitted, which is not empty"
        assert scopes(found, "nodes") == {"": (0, 0)}
        mark = api.audit.mark()
        api.api.post("/api/v1/namespaces/b/configmaps", {"metadata": {"name": "later"}})
        await eventually(lambda: "later" in found.names("configmaps"), "a change in a namespace to be followed")
        assert api.audit.requests(mark, user=user.name, verb="list") == []


async def test_without_names_the_namespace_of_the_context_is_tried(api: Any, tmp_path: Path) -> None:
    user = api.users.create("c", "own", rules=[rule("configmaps")])
    async with following(user.kubeconfig, tmp_path, kinds=("configmaps",), wait=False) as found:
        await eventually(lambda: found.names("configmaps") == {"of-c"}, "the context's own namespace")


async def test_a_namespace_that_appears_is_kept_up_too(api: Any, tmp_path: Path) -> None:
    """Namespaces may be listed, ConfigMaps only by a Role in each."""
    user = api.users.create("a", "lister", rules=[rule("configmaps")], cluster_rules=[rule("namespaces")])
    async with following(user.kubeconfig, tmp_path, kinds=("configmaps", "namespaces"), wait=False) as found:
        await eventually(lambda: scopes(found, "configmaps").keys() == {"", "a"}, "the first namespace")
        api.create_namespace("e")  # what has been followed is written with the first change
        await eventually(lambda: found.metadata("namespaces", "strategy") == "follow", "namespaces to be followed")
        grant(api, user, "b", rule("configmaps"))
        api.create_namespace("d")
        await eventually(lambda: "of-b" in found.names("configmaps"), "what a changed set of namespaces lets look for")


def test_exit_codes_tell_refused_kinds_that_were_asked_for(api: Any, scanner_here: MakeScannerHere) -> None:
    user = api.users.create("a", "narrow", rules=[rule("configmaps")])
    scanner = scanner_here(user.kubeconfig, SCANNER_NAMESPACES="a,b")
    whole = scanner.report("--static")
    assert whole["exit_code"] == 0, whole["stderr"]
    by_kind = {row["kind"]: row for row in whole["kinds"]}
    assert (by_kind["configmaps"]["outcome"], by_kind["configmaps"]["namespaces"]) == ("scanned", ["a"])
    assert by_kind["services"]["outcome"] == "not_permitted"
    named = scanner.report("--kind", "services", "--kind", "configmaps")
    assert named["exit_code"] == 3
    assert "services" in named["stderr"]
    assert scanner.report("--kind", "services")["exit_code"] == 1
    again = scanner.report("--kind", "configmaps")
    assert [(row["strategy"], row["namespaces"]) for row in again["kinds"]] == [("check", ["a"])]


def test_a_namespace_that_is_lost_is_no_fault_and_one_that_is_gone_is_forgotten(api: Any, scanner_here: MakeScannerHere) -> None:
    user = api.users.create("a", "loser", rules=[rule("configmaps")], cluster_rules=[rule("namespaces")])
    grant(api, user, "b", rule("configmaps"))
    grant(api, user, "c", rule("configmaps"))
    scanner = scanner_here(user.kubeconfig)
    kinds = ("--kind", "namespaces", "--kind", "configmaps")
    assert scanner.report(*kinds)["exit_code"] == 0
    for namespace in ("b", "c"):
        api.api.delete(f"{RBAC}/namespaces/{namespace}/rolebindings/reader")
    api.api.delete("/api/v1/namespaces/b/configmaps/of-b")
    api.api.delete("/api/v1/namespaces/b")
    finalize(api, "b")
    scanner.report("--kind", "namespaces")
    assert scanner.report("--kind", "configmaps", "--full")["exit_code"] == 0
    status = json.loads(scanner.run("status", "-o", "json").stdout)
    (configmaps,) = (kind for kind in status["kinds"] if kind["kind"] == "configmaps")
    assert (configmaps["state"], configmaps["namespaces"], configmaps["error"]) == ("partly permitted", 1, "")
    stored = "SELECT scope, permitted FROM cache_metadata WHERE kind = 'configmaps' ORDER BY scope"
    assert query(scanner.database, stored) == [("", 0), ("a", 1), ("c", 0)]
    assert query(scanner.database, "SELECT name FROM configmaps ORDER BY name") == [("of-a",), ("of-c",)]
    assert query(scanner.database, "SELECT kind, name FROM deleted_objects ORDER BY kind") == [
        ("configmaps", "of-b"),
        ("namespaces", "b"),
    ]


def test_a_kind_that_is_not_served_makes_no_noise(api: Any, scanner_here: MakeScannerHere) -> None:
    scanner = scanner_here(api.kubeconfig)
    report = scanner.report()
    assert report["exit_code"] == 0
    assert {row["outcome"] for row in report["kinds"] if row["kind"] == "httproutes"} <= {"not_served"}
    assert report["stderr"] == ""
    assert query(scanner.database, "SELECT count(*) FROM cache_metadata WHERE last_error <> ''") == [(0,)]
