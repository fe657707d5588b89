"""The simulated cluster answers everything that the scanner asks of an API server, through the same tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from demo_fixtures import DemoServer
from kinds.registry import KINDS
from server_fixtures import ToolClient, text_of

CERTIFICATES = "certificates.cert-manager.io"


@pytest.fixture
def simulated(demo_server: DemoServer, tool_client: Callable[..., ToolClient]) -> ToolClient:
    return tool_client(demo_server.kubeconfig)


def bulk(tools: ToolClient, tool: str, **arguments: Any) -> Any:
    result = tools.result(tool, arguments)
    assert not result.is_error, text_of(result)
    return json.loads(text_of(result))


@pytest.mark.parametrize("kind", [*(kind.name for kind in KINDS.values() if not kind.optional), CERTIFICATES])
def test_every_kind_can_be_exported_followed_and_counted(simulated: ToolClient, kind: str) -> None:
    page = bulk(simulated, "k8s_export_page", kind=kind, limit=1000)
    assert len(page["managers"]) == len(page["objects"])
    watches = [{"kind": kind, "cursor": page["resource_version"]}]
    (followed,) = bulk(simulated, "k8s_list_changes", watches=watches, hold=False)["results"]
    assert followed["error"] is None
    (counted,) = bulk(simulated, "k8s_count_objects", counts=[{"kind": kind}])["results"]
    assert counted["error"] is None
    if not KINDS.get(kind) or not KINDS[kind].dynamic:
        assert counted["count"] == len(page["objects"])


def test_kinds_that_the_story_has_not_installed_are_not_served(simulated: ToolClient) -> None:
    for kind in (kind.name for kind in KINDS.values() if kind.optional):
        assert simulated.error("k8s_export_page", kind=kind)["type"] == "KindNotServed"


def test_secrets_come_with_the_names_of_their_keys_and_a_helm_release_with_its_labels(simulated: ToolClient) -> None:
    secrets = {one["metadata"]["name"]: one for one in bulk(simulated, "k8s_export_page", kind="secrets")["objects"]}
    release = secrets["sh.helm.release.v1.ingress-nginx.v1"]
    assert (release["type"], release["data"]) == ("helm.sh/release.v1", {"release": None})
    assert release["metadata"]["labels"]["owner"] == "helm"
    assert all(secret["keyCount"] == len(secret["data"]) for secret in secrets.values())
    assert {value for secret in secrets.values() for value in secret["data"].values()} == {None}


def test_discovery_names_the_story_s_custom_resource(simulated: ToolClient) -> None:
    (row,) = simulated("k8s_list_api_resources", name="cert")["rows"]
    assert (f"{row['name']}.{row['group']}", row["kind"], row["namespaced"]) == (CERTIFICATES, "Certificate", True)
    (listed,) = simulated("k8s_list_resources", kind="cert")["rows"]
    assert (listed["name"], listed["ready"]) == ("shop-tls", True)


def test_permissions_and_an_expired_cursor_are_answered_as_by_an_api_server(simulated: ToolClient) -> None:
    answer = bulk(simulated, "k8s_permitted_namespaces", kinds=["pods", "secrets"])
    assert "shop" in answer["permitted"]["pods"]
    assert answer["permitted"]["secrets"] == answer["namespaces"]
    (gone,) = bulk(simulated, "k8s_list_changes", watches=[{"kind": "pods", "cursor": "1"}], hold=False)["results"]
    assert gone["error"]["type"] == "Expired"
