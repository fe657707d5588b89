"""The kinds of the Gateway API. That they print as kubectl prints them: test_kinds_as_kubectl_prints_them.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from custom_resources import GATEWAY_GROUP, definition, installed
from kinds.registry import KINDS
from server_fixtures import ToolClient, text_of

ACCEPTED = {"type": "Accepted", "status": "True"}
PROGRAMMED = {"type": "Programmed", "status": "True"}
RESOLVED = {"type": "ResolvedRefs", "status": "True"}
OPTIONAL = [kind.name for kind in KINDS.values() if kind.optional]


def read(kind: str, **fields: Any) -> Any:
    return KINDS[kind].read({"metadata": {"name": "x", "namespace": "shop", "uid": "u"}, **fields})


def test_the_gateway_kinds_may_be_absent_and_no_others() -> None:
    assert OPTIONAL == ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"]


@pytest.mark.parametrize("kind", OPTIONAL)
def test_where_its_group_is_absent_a_kind_is_not_served_rather_than_empty(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], kind: str
) -> None:
    tools = tool_client(control_plane.kubeconfig)
    for tool in ("k8s_export_page", "k8s_list_resources"):
        error = tools.error(tool, kind=kind)
        assert (error["type"], error["status"]) == ("KindNotServed", 404)
        assert f"does not serve gateway.networking.k8s.io/{KINDS[kind].version} {kind}" in error["message"]


@pytest.mark.parametrize(
    ("conditions", "listener", "healthy", "reason"),
    [
        ([ACCEPTED, PROGRAMMED], [RESOLVED], True, None),
        ([ACCEPTED, PROGRAMMED], [], True, None),
        ([ACCEPTED, {"type": "Programmed", "status": "False", "reason": "AddressNotAssigned"}], [], False, "AddressNotAssigned"),
        ([ACCEPTED, PROGRAMMED], [{"type": "ResolvedRefs", "status": "False", "reason": "NoCert"}], False, "NoCert"),
        ([ACCEPTED, PROGRAMMED], [{"type": "Conflicted", "status": "True", "reason": "HostnameConflict"}], False, None),
        ([], [], False, None),
    ],
)
def test_a_gateway_is_healthy_when_it_and_all_its_listeners_are(
    conditions: list[Any], listener: list[Any], healthy: bool, reason: str | None
) -> None:
    told = {"name": "http", "attachedRoutes": 3, "conditions": listener}
    status = {"conditions": conditions, "listeners": [told], "addresses": [{"value": "192.0.2.1"}, {"value": "192.0.2.2"}]}
    gateway = read("gateways", spec={"listeners": [{"name": "http", "port": 80}]}, status=status)
    assert (gateway.healthy, gateway.reason, gateway.attached_routes) == (healthy, reason, 3)
    assert (gateway.address, gateway.addresses) == ("192.0.2.1", ["192.0.2.1", "192.0.2.2"])


def test_listeners_name_their_certificates_in_full() -> None:
    tls = {"certificateRefs": [{"name": "own"}, {"name": "other", "namespace": "certs"}]}
    listeners = [{"name": "a", "tls": tls}, {"name": "b", "tls": {"mode": "Passthrough"}}, {"name": "c"}]
    rows = read("gateways", spec={"listeners": listeners}).listeners
    assert [(row.tls_mode, row.certificates) for row in rows] == [
        ("Terminate", ["shop/own", "certs/other"]),
        ("Passthrough", []),
        (None, None),
    ]


@pytest.mark.parametrize("kind", ["httproutes", "grpcroutes"])
def test_a_route_is_healthy_when_every_parent_accepted_it_and_found_its_services(kind: str) -> None:
    """A controller repeats the reference to a parent with its defaults filled in."""
    parents = [{"name": "public"}, {"name": "inner", "namespace": "edge", "sectionName": "https"}]
    full = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop", "name": "public"}
    good = {"parentRef": full, "controllerName": "c", "conditions": [ACCEPTED, RESOLVED]}
    gone = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "message": "no service"}
    bad = {"parentRef": parents[1], "controllerName": "c", "conditions": [ACCEPTED, gone]}
    backends = [{"name": "web", "port": 80}, {"name": "api", "namespace": "other", "weight": 0, "kind": "ServiceImport"}]
    spec = {"parentRefs": parents, "rules": [{"backendRefs": backends}, {}]}
    route = read(kind, spec=spec, status={"parents": [good, bad]})
    assert (route.healthy, route.reason, route.message, route.rule_count) == (False, "BackendNotFound", "no service", 2)
    assert [(row.parent, row.parent_namespace, row.accepted, row.refs_resolved, row.reason) for row in route.parents] == [
        ("public", "shop", True, True, None),
        ("inner", "edge", True, False, "BackendNotFound"),
    ]
    assert [(row.rule, row.service, row.service_namespace, row.weight, row.backend_kind) for row in route.backends] == [
        (0, "web", "shop", 1, "Service"),
        (0, "api", "other", 0, "ServiceImport"),
    ]
    assert read(kind, spec={"parentRefs": parents[:1]}, status={"parents": [good]}).healthy
    assert not read(kind, spec={"parentRefs": parents}, status={"parents": [good]}).healthy
    assert not read(kind).healthy


def test_a_cluster_that_serves_an_older_version_is_asked_in_that_one(
    control_plane: ControlPlane, fresh_namespace: str, tool_client: Callable[..., ToolClient]
) -> None:
    older = definition("httproutes", GATEWAY_GROUP, "HTTPRoute", versions=("v1beta1",))
    with installed(control_plane.api, older):
        route = {"apiVersion": f"{GATEWAY_GROUP}/v1beta1", "kind": "HTTPRoute", "metadata": {"name": "old"}}
        control_plane.api.post(f"/apis/{GATEWAY_GROUP}/v1beta1/namespaces/{fresh_namespace}/httproutes", route)
        tools = tool_client(control_plane.kubeconfig)
        (row,) = tools("k8s_list_resources", kind="httproutes", namespace=fresh_namespace)["rows"]
        assert row["name"] == "old"
        found = tools("k8s_get_resource", kind="httproutes", name="old", namespace=fresh_namespace)
        assert found["manifest"]["apiVersion"] == route["apiVersion"]
        page = json.loads(text_of(tools.result("k8s_export_page", kind="httproutes")))
        assert [one["apiVersion"] for one in page["objects"]] == [route["apiVersion"]]
        error = tools.error("k8s_list_resources", kind="gateways")
        assert error["type"] == "KindNotServed", "the others of the group stay absent"
