"""One part of an object by its path, and an object that is too long: what is left out, what is said, how to get it."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from configuration.errors import InvalidArguments
from controlplane.control_plane import ControlPlane
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.object_cutting import cut_text, shortened
from mcp_tools.object_parts import NOTE_START, parse_path, part_at, path_text
from mcp_tools.redaction import contains_mark
from mcp_tools.tool_declaration import ToolAnswer
from server_fixtures import ToolClient, text_of

OBJECT = {
    "metadata": {"name": "web", "annotations": {"example.com/a.b": "x", 'odd"key]': "y"}},
    "spec": {"containers": [{"name": "web", "image": "nginx"}, {"name": "proxy"}]},
}


@pytest.mark.parametrize(
    ("path", "found", "canonical"),
    [
        ("", OBJECT, ""),
        ("spec.containers[1].name", "proxy", "spec.containers[1].name"),
        (".spec.containers[0]", {"name": "web", "image": "nginx"}, "spec.containers[0]"),
        ('metadata.annotations["example.com/a.b"]', "x", 'metadata.annotations["example.com/a.b"]'),
        ("metadata.annotations.example.com/a.b", "x", 'metadata.annotations["example.com/a.b"]'),
        ("spec.containers[1:]", [{"name": "proxy"}], "spec.containers[1:]"),
        ("spec.containers[:1]", [{"name": "web", "image": "nginx"}], "spec.containers[0:1]"),
        ("spec.containers[0][1:2]", {"image": "nginx"}, "spec.containers[0][1:2]"),
        ("[1:]", {"spec": OBJECT["spec"]}, "[1:]"),
        ('metadata.annotations["odd\\"key]"]', "y", 'metadata.annotations["odd\\"key]"]'),
    ],
)
def test_a_path_names_a_part(path: str, found: Any, canonical: str) -> None:
    part, steps = part_at(OBJECT, parse_path(path))
    assert part == found
    assert path_text(steps) == canonical
    assert part_at(OBJECT, parse_path(canonical)) == (found, steps)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("spec.bogus", "spec has no bogus; it has containers"),
        ("spec.containers[7]", r"spec.containers has no \[7\]; it is a list of 2"),
        ("spec.containers.name", "it is a list of 2"),
        ("metadata.name.x", "it has no parts"),
        ("spec.containers[2:]", r"spec.containers has no \[2:\]; it is a list of 2"),
        ("metadata.name[0:]", r"metadata.name has no \[0:\]; it has no parts"),
        ("spec.containers[0:][0]", "a range such as"),
        ("spec[", "cannot be read from character 5 on"),
        ("spec. containers", "cannot be read"),
        ('metadata["x', "cannot be read"),
    ],
)
def test_a_path_that_leads_nowhere_is_answered_with_what_there_is(path: str, words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        part_at(OBJECT, parse_path(path))


def _share_of(budget: int) -> Callable[[Any, Any], float]:
    return lambda value, _left_out: len(json.dumps(value)) / budget


def test_of_a_long_object_the_smallest_part_that_is_enough_is_left_out() -> None:
    value = {"spec": {"a": "x" * 300, "b": "y" * 900, "c": "z" * 5000}}
    short, left_out = shortened(value, _share_of(6200))
    assert [one.path for one in left_out] == ["spec.a"]
    assert short["spec"]["a"].startswith(NOTE_START)
    assert len(short["spec"]["c"]) == 5000
    value = {"spec": {"a": "x" * 300, "b": "y" * 900, "c": "z" * 5000}}
    short, left_out = shortened(value, _share_of(1600))
    assert [one.path for one in left_out] == ["spec.c"]


def test_what_an_object_is_called_is_never_left_out() -> None:
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n" * 253, "labels": {"a": "b" * 900}}, "data": "x" * 9000}
    short, left_out = shortened(deepcopy(value), _share_of(800))
    assert {one.path for one in left_out} == {"metadata.labels.a", "data"}
    assert short["metadata"]["name"] == "n" * 253
    short, _ = shortened(deepcopy(value), _share_of(10))
    assert short["metadata"]["name"] == "n" * 253, "not for any budget"


def test_a_text_is_cut_at_the_end_and_says_how_much_of_it_is_shown() -> None:
    cut = cut_text("abc" * 1000, lambda text: len(text) <= 500)
    assert len(cut) <= 500
    assert cut.startswith("abcabc")
    assert "of 3000 characters shown" in cut
    assert cut_text("abc", lambda text: len(text) <= 500) == "abc"


def test_a_note_can_never_be_written_back() -> None:
    short, _ = shortened({"data": {"a": "x" * 9000}}, _share_of(500))
    assert contains_mark(short)


@pytest.fixture
def long_config(control_plane: ControlPlane, fresh_namespace: str) -> tuple[str, dict[str, str]]:
    """A ConfigMap of about 60,000 tokens: one file is most of it."""
    data = {f"file-{number}.conf": f"workers = {number}\n" * 200 for number in range(5)}
    data["large.txt"] = "\n".join(f"line {number} of the table of routes" for number in range(6000))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "long"}, "data": data}
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", body)
    return fresh_namespace, data


@pytest.mark.parametrize("budget", [1000, 4000, 20_000])
def test_a_long_object_stays_in_its_budget_and_each_part_can_be_asked_for(
    tools: ToolClient, long_config: tuple[str, dict[str, str]], budget: int
) -> None:
    namespace, data = long_config
    asked = {"kind": "configmaps", "name": "long", "namespace": namespace}
    result = tools.result("k8s_get_resource", asked, max_tokens=budget)
    found = result.structured_content
    assert answer_tokens(ToolAnswer(text_of(result), found)) <= budget
    assert found["manifest"]["metadata"]["name"] == "long"
    assert found["left_out"]
    assert 'k8s_get_resource(kind="configmaps", name="long", namespace=' in text_of(result)
    for one in found["left_out"]:
        part = tools("k8s_get_resource", asked, path=one["path"], max_tokens=500_000)
        whole = data if one["path"] == "data" else data[json.loads(one["path"].removeprefix("data[").removesuffix("]"))]
        assert part["part"] == whole
        assert part["manifest"] is None


def test_a_part_that_is_a_long_text_is_cut(tools: ToolClient, long_config: tuple[str, dict[str, str]]) -> None:
    namespace, data = long_config
    result = tools.result("k8s_get_resource", kind="cm", name="long", namespace=namespace, path="data.large.txt")
    part = result.structured_content["part"]
    assert data["large.txt"].startswith(part.split("…")[0])
    assert f"of {len(data['large.txt'])} characters shown" in part
    assert 3000 < answer_tokens(ToolAnswer(text_of(result), result.structured_content)) <= 4000


def test_programs_get_the_whole_object(tools: ToolClient, long_config: tuple[str, dict[str, str]]) -> None:
    namespace, data = long_config
    found = tools("k8s_get_resource", kind="cm", name="long", namespace=namespace, max_tokens=4_000_000)
    assert found["manifest"]["data"] == data
    assert "left_out" not in found


def test_the_kinds_of_a_cluster_are_listed_within_the_budget_and_the_rest_is_a_call_away(tools: ToolClient) -> None:
    whole = tools("k8s_list_api_resources", max_tokens=100_000)["rows"]
    rows: list[Any] = []
    while len(rows) < len(whole):
        result = tools.result("k8s_list_api_resources", offset=len(rows), max_tokens=2000)
        page = result.structured_content
        assert answer_tokens(ToolAnswer(text_of(result), page)) <= 2000
        assert page["total"] == len(whole)
        rows += page["rows"]
        assert (f"more: k8s_list_api_resources(offset={len(rows)})" in text_of(result)) == (len(rows) < len(whole))
    assert rows == whole


def test_many_contexts_are_listed_within_the_budget(tool_client: Callable[..., ToolClient], tmp_path: Any) -> None:
    names = [f"production-cluster-{number:03d}" for number in range(300)]
    config = {
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": "shop"}} for name in names],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": names[0],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    client = tool_client(path)
    first = client.result("k8s_list_contexts")
    shown = first.structured_content["contexts"]
    assert 20 < len(shown) < 300
    assert f"{len(shown)} of 300 contexts shown; more: k8s_list_contexts(offset={len(shown)})" in text_of(first)
    assert len(client("k8s_list_contexts", max_tokens=100_000)["contexts"]) == 300
    assert client("k8s_list_contexts", offset=len(shown))["contexts"][0]["name"] == names[len(shown)]
