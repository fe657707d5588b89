"""k8s_top. Nothing measures usage on the tests' control plane: metrics.k8s.io is played by definitions of that group, whose
objects have the shape that metrics-server answers with; the requests, the paths and the API server are real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.api_client import Object
from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from mcp_tools.answer_budget import estimate, estimate_json
from server_fixtures import ToolClient, text_of

TOOL = "k8s_top"
GROUP = "metrics.k8s.io"
ROOT = f"/apis/{GROUP}/v1beta1"


def measured(kind: str, name: str, labels: dict[str, str] | None = None, **more: Any) -> Object:
    metadata = {"name": name, "labels": labels or {}}
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": kind,
        "metadata": metadata,
        "timestamp": "2026-01-02T03:04:05Z",
        "window": "15s",
        **more,
    }


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("top-place")
    played = [
        definition(plural, GROUP, kind, versions=("v1beta1",), scope=scope)
        for plural, kind, scope in (("pods", "PodMetrics", "Namespaced"), ("nodes", "NodeMetrics", "Cluster"))
    ]
    with installed(control_plane.api, *played):
        for pod in range(60):
            containers = [
                {"name": "app", "usage": {"cpu": f"{pod}m", "memory": f"{100 - pod}Mi"}},
                {"name": "proxy", "usage": {"cpu": "500u", "memory": "1024Ki"}},
            ]
            body = measured("PodMetrics", f"pod-{pod:02d}", {"half": str(pod % 2)}, containers=containers)
            control_plane.api.post(f"{ROOT}/namespaces/{name}/pods", body)
        control_plane.api.post(
            f"{ROOT}/namespaces/{name}/pods", measured("PodMetrics", "odd", containers=[{"usage": {"cpu": "many"}}])
        )
        nodes = control_plane.api.get("/api/v1/nodes")["items"]
        control_plane.api.post(
            f"{ROOT}/nodes", measured("NodeMetrics", nodes[0]["metadata"]["name"], usage={"cpu": "1", "memory": "1Gi"})
        )
        control_plane.api.post(f"{ROOT}/nodes", measured("NodeMetrics", "gone", usage={"cpu": "2", "memory": "1Gi"}))
        yield name
    control_plane.delete_namespace(name)


def test_without_the_api_the_answer_says_what_to_install(tools: ToolClient) -> None:
    error = tools.error(TOOL)
    assert error["type"] == "KindNotServed"
    assert "metrics-server" in error["message"]


def test_pods_come_with_the_sum_of_their_containers_highest_first(tools: ToolClient, place: str) -> None:
    rows = tools(TOOL, namespace=place)["rows"]
    assert rows[0] == {"namespace": place, "name": "pod-59", "cpu_millicores": 60, "memory_bytes": 42 * 2**20}
    by_memory = tools(TOOL, namespace=place, sort_by="memory", label_selector="half=1")["rows"]
    assert by_memory[0]["name"] == "pod-01"
    assert len(by_memory) == 30


def test_nodes_come_with_their_part_of_what_is_allocatable(tools: ToolClient, place: str, control_plane: ControlPlane) -> None:
    gone, node = tools(TOOL, kind="nodes")["rows"]
    assert (gone["name"], gone["cpu_percent"]) == ("gone", None)
    allocatable = control_plane.api.get(f"/api/v1/nodes/{node['name']}")["status"]["allocatable"]
    assert node["cpu_millicores"] == 1000
    assert node["cpu_percent"] == round(100 / int(allocatable["cpu"]))


def test_an_answer_keeps_its_budget_and_names_the_call_for_the_rest(tools: ToolClient, place: str) -> None:
    result = tools.result(TOOL, namespace=place, max_tokens=1000)
    answer = result.structured_content
    shown = len(answer["rows"])
    assert estimate(text_of(result)) + estimate_json(answer) <= 1000
    assert f"{60 - shown} rows left out: repeat with skip={shown}" in answer["envelope"]["note"]
    rest = tools(TOOL, namespace=place, skip=shown)["rows"]
    assert rest[0]["cpu_millicores"] < answer["rows"][-1]["cpu_millicores"]


def test_a_selector_that_is_none_is_refused(tools: ToolClient, place: str) -> None:
    assert tools.error(TOOL, label_selector="a=b&c")["type"] == "InvalidSelector"
