"""What k8s_describe says of an object's surroundings where it could not, or may not, look at all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.api_client import Object
from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from mcp_tools.server_policy import ServerPolicy, rules_of
from scripted_api import scripted_api
from server_fixtures import ToolClient, text_of

TOOL = "k8s_describe"
PLACE = "/api/v1/namespaces/shop"
GROUP = "surroundings.example.com"


def sections(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {section["name"]: section for section in answer["sections"]}


def named(name: str, namespace: str | None = "shop", **rest: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"u-{name}", "resourceVersion": "1"}} | rest


def pod(number: int, claim: str | None = None) -> Object:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    containers = [{"name": "app", "image": "example/app:1"}]
    return named(f"web-{number:05d}", spec={"containers": containers, "volumes": volumes}, status={"phase": "Running"})


@pytest.fixture
def claim_section(tool_client: Callable[..., ToolClient], tmp_path: Path) -> Callable[[list[Any]], dict[str, Any]]:
    """What is said of the pods that use the claim `data`, in a namespace with these pods."""

    def describe(pods: list[Any]) -> dict[str, Any]:
        claim = named("data", spec={"accessModes": ["ReadWriteOnce"]}, status={"phase": "Pending"})
        objects = {f"{PLACE}/persistentvolumeclaims/data": claim}
        with scripted_api(items={f"{PLACE}/pods": pods}, objects=objects) as server:
            client = tool_client(server.kubeconfig(tmp_path))
            return sections(client(TOOL, kind="pvc", name="data", namespace="shop")).get("pods that use it", {})

    return describe


def test_that_no_pod_uses_a_claim_is_said_only_when_every_pod_was_read(
    claim_section: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_tools.object_surroundings._MOST_OBJECTS", 500)
    assert claim_section([pod(number) for number in range(3)])["note"] == "no pod uses it"
    assert "note" not in claim_section([pod(1), pod(2, "data")])
    many = [pod(number) for number in range(600)]
    last = claim_section([*many, pod(9_999, "data")])
    assert (last["rows"], last["note"]) == ([], "only 500 pods were looked through; others may use it")
    first = claim_section([pod(9_999, "data"), *many])
    assert [one["name"] for one in first["rows"]] == ["web-09999"]
    assert first["note"] == "only 500 pods were looked through; others may use it"


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"metadata": None}, "1 object could not be read and is left out"),
        (pod(2) | {"spec": {"containers": [], "volumes": [7]}}, "1 object could be read in part only"),
    ],
)
def test_a_pod_that_cannot_be_read_may_use_the_claim(claim_section: Any, odd: Object, words: str) -> None:
    said = claim_section([pod(1), odd])
    assert said["note"].startswith(words)
    assert said["note"].endswith("; others may use it")


def test_a_service_of_whose_endpoints_some_cannot_be_read_is_not_said_to_have_none(
    tool_client: Callable[..., ToolClient], tmp_path: Path
) -> None:
    service = named("web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    with scripted_api(items={slices: [{"metadata": None}]}, objects={f"{PLACE}/services/web": service}) as server:
        note = sections(tool_client(server.kubeconfig(tmp_path))(TOOL, kind="svc", name="web", namespace="shop"))["endpoints"][
            "note"
        ]
    assert note == "0 of 0 get traffic; 1 object could not be read and is left out"


def test_events_beyond_those_that_are_read_are_told(
    tool_client: Callable[..., ToolClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_tools.k8s_tools.events.MOST_EVENTS", 500)
    events = [named(f"e{number}", reason="Pulled", type="Normal", involvedObject={"kind": "Pod"}) for number in range(600)]
    with scripted_api(items={f"{PLACE}/events": events}, objects={f"{PLACE}/pods/web-00001": pod(1)}) as server:
        found = sections(tool_client(server.kubeconfig(tmp_path))(TOOL, kind="pod", name="web-00001", namespace="shop"))
    assert found["events"]["note"] == "only 500 events were read"


@pytest.fixture
def denying(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> Callable[[str], ToolClient]:
    def make(rule: str) -> ToolClient:
        policy = ServerPolicy(approval="client", deny=rules_of([rule], "--deny", ["k8s_describe"]))
        return tool_client(control_plane.kubeconfig, policy=policy)

    return make


def test_a_node_says_that_the_pods_of_a_denied_namespace_are_not_counted(
    denying: Callable[[str], ToolClient], tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    node = sorted(control_plane.ready_nodes())[0]
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    containers = [{"name": "app", "image": "example/app:1", "resources": resources}]
    control_plane.pods.create(fresh_namespace, "heavy", spec={"nodeName": node, "containers": containers})
    said = f"namespace {fresh_namespace} is left out: this server's policy denies it"
    result = denying(f"namespace={fresh_namespace}").result(TOOL, kind="node", name=node)
    found = sections(result.structured_content)
    assert said in text_of(result)
    assert "requests at least " in found["pods"]["note"]
    assert found["pods"]["note"].endswith(said)
    assert found["events"]["note"] == said
    whole = sections(tools(TOOL, kind="node", name=node))
    assert "requests at least" not in whole["pods"]["note"]
    assert "left out" not in str(whole)


def test_children_of_what_is_in_no_namespace_leave_denied_namespaces_out_and_say_so(
    denying: Callable[[str], ToolClient], control_plane: ControlPlane, fresh_namespace: str
) -> None:
    api = control_plane.api
    with installed(api, definition("fleets", GROUP, "Fleet", scope="Cluster")):
        fleet = api.post(f"/apis/{GROUP}/v1/fleets", {"apiVersion": f"{GROUP}/v1", "kind": "Fleet", "metadata": {"name": "all"}})
        owner = {"apiVersion": f"{GROUP}/v1", "kind": "Fleet", "name": "all", "uid": fleet["metadata"]["uid"]}
        config = {"metadata": {"name": "of-all", "ownerReferences": [owner]}}
        api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", config)
        note = {}
        for denied in ("no-such-namespace", fresh_namespace):
            children = sections(denying(f"namespace={denied}")(TOOL, kind=f"fleets.{GROUP}", name="all"))["children"]
            note[denied] = children.get("note", ""), [one["name"] for one in children["rows"]]
    said = f"namespace {fresh_namespace} is left out: this server's policy denies it"
    assert note["no-such-namespace"][1] == ["of-all"]
    assert said not in note["no-such-namespace"][0]
    assert (note[fresh_namespace][1], note[fresh_namespace][0].count(said)) == ([], 1)
