"""Bulk pages for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools.redaction import REDACTOR_VERSION, Redactor
from server_fixtures import KEY, ToolClient, text_of


@pytest.fixture(scope="module")
def crowd(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("bulk-crowd")
    control_plane.pods.create_many(12, namespaces=[name], nodes=["node-0", "node-1"], patch_status=False)
    control_plane.pods.create(name, "odd", None)
    yield name
    control_plane.delete_namespace(name)


def export(tools: ToolClient, **arguments: Any) -> dict[str, Any]:
    result = tools.result("k8s_export_page", kind="pods", **arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content is None
    assert len(result.content) == 1
    page: dict[str, Any] = json.loads(text_of(result))
    return page


def test_pages_hold_every_object_whole_but_for_secrets_and_managed_fields(
    tools: ToolClient, crowd: str, control_plane: ControlPlane
) -> None:
    objects, token, versions = [], "", set()
    while True:
        page = export(tools, namespace=crowd, limit=5, continue_token=token)
        objects += page["objects"]
        versions.add(page["resource_version"])
        token = page["continue"]
        if not token:
            break
    assert len(versions) == 1
    assert (page["kind"], page["redactor_version"], page["key_id"]) == ("pods", REDACTOR_VERSION, Redactor(KEY).key_id)
    expected = control_plane.api.get(f"/api/v1/namespaces/{crowd}/pods")["items"]
    for pod in expected:
        pod["metadata"].pop("managedFields")
    redactor = Redactor(KEY)
    assert objects == [redactor.redact_object({"apiVersion": "v1", "kind": "Pod"} | pod) for pod in expected]


def test_a_page_that_is_too_large_is_read_again_with_fewer_objects(tools: ToolClient, crowd: str) -> None:
    whole = export(tools, namespace=crowd)
    assert (len(whole["objects"]), whole["continue"], whole["remaining"]) == (13, "", None)
    for pod in whole["objects"]:
        pod["metadata"]["name"]
    small = export(tools, namespace=crowd, max_bytes=65536, limit=1000)
    assert small["objects"]
    bounded = export(tools, namespace=crowd, max_bytes=65536)
    assert len(json.dumps(bounded)) <= 65536


def test_the_tools_for_programs_are_marked_as_bulk_and_have_no_output_schema(tools: ToolClient) -> None:
    bulk = {"k8s_export_page", "k8s_list_changes", "k8s_count_objects", "k8s_api_usage", "k8s_permitted_namespaces"}
    listed = {tool.name: tool for tool in tools.gate().listed()}
    assert {name for name, tool in listed.items() if (tool.meta or {}).get("k8s-mcp/bulk")} == bulk & set(listed)
    assert {name for name, tool in listed.items() if tool.output_schema is None} == bulk & set(listed)
