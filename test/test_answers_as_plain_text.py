"""No tool for models passes on what a terminal would obey: escape sequences, control characters, direction overrides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools import server
from mcp_tools.tool_declaration import ToolAnswer
from server_fixtures import ToolClient, text_of

EVIL = "\x1b]0;title\x07\x1b[31mred\u202e\x9b31m\r\nnext"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("plain-text")
    control_plane.api.post(f"/api/v1/namespaces/{name}/configmaps", config_map())
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": name, "name": "evil"},
        "reason": f"Odd{EVIL}", "message": EVIL, "type": "Warning", "count": 1,
        "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    control_plane.api.post(f"/api/v1/namespaces/{name}/events", event)
    yield name
    control_plane.delete_namespace(name)


def config_map(value: str = EVIL) -> dict[str, Any]:
    metadata = {"name": "evil", "annotations": {"note": EVIL}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": value}}


def strings(value: object) -> Iterator[str]:
    """All of a decoded JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("k8s_get_resource", {"kind": "configmaps", "name": "evil"}),
        ("k8s_describe", {"kind": "configmaps", "name": "evil"}),
        ("k8s_list_events", {}),
        ("k8s_list_resources", {"kind": "events"}),
        ("k8s_apply_manifest", {"manifest": json.dumps(config_map(EVIL + "2")), "dry_run": True, "force": True}),
        (
            "k8s_patch_resource",
            {"kind": "configmaps", "name": "evil", "type": "merge", "patch": {"data": {"a": EVIL}}, "dry_run": True},
        ),
    ],
)
def test_an_answer_holds_nothing_that_a_terminal_obeys(
    tools: ToolClient, place: str, tool: str, arguments: dict[str, Any]
) -> None:
    result = tools.result(tool, {**arguments, "namespace": place})
    assert not result.is_error, text_of(result)
    said = [text_of(result), *strings(result.structured_content)]
    assert any("next" in one for one in said), "the planted text did not come at all"
    assert [one for one in said if OBEYED.search(one)] == []


def test_one_unfinished_escape_sequence_does_not_swallow_the_rest_of_an_answer() -> None:
    answer = ToolAnswer("a\x9dtitle\nb\u202e\tc", {"rows": [{"a\x1b[1m": "\x9dtitle"}, {"b": ("\u202ec",)}]})
    result = server._result(answer, bulk=False)
    assert text_of(result) == "atitle\nb\tc"
    assert result.structured_content == {"rows": [{"a": ""}, {"b": ["c"]}]}
