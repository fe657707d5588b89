"""Kinds that are not declared here: odd shapes, large and deep objects, and the names by which users switch them on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cache.cache_manager import CacheManager
from cache.cache_reader import CacheReader
from cache_fixtures import CLUSTER, scan, staged
from configuration.errors import ToolError
from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from kinds.bounded_json import MOST_BYTES
from kinds.generic import choose_kinds, generic_kind
from kinds.list_query import ListQuery
from mcp_tools.extra_kinds import resolve_extra_kinds
from mcp_tools.json_repair import CUT
from mcp_tools.tool_spec import WHOLE_ANSWER, ToolResult
from server_fixtures import ToolClient, text_of

GROUP = "generic.example.com"
KIND = generic_kind(f"things.{GROUP}", GROUP, "v1", "Thing", namespaced=True)


def read(**fields: Any) -> Any:
    return KIND.read({"metadata": {"name": "x", "namespace": "shop", "uid": "u"}, **fields})


def condition(type_: Any, status: Any, **more: Any) -> dict[str, Any]:
    return {"type": type_, "status": status} | more


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, (None, None, {})),
        ([], (None, None, {})),
        ("fine", (None, None, {})),
        ({"phase": "Grown"}, ("Grown", None, {})),
        ({"phase": {"odd": 1}, "state": "On"}, ("On", None, {})),
        ({"health": {"status": "Degraded"}}, ("Degraded", None, {})),
        ({"conditions": {"Ready": True}}, (None, None, {})),
        ({"conditions": [None, 7, {"status": "True"}, condition(3, "True")]}, (None, None, {})),
        (
            {"conditions": [condition("Ready", "False"), condition("Synced", "True")]},
            (None, False, {"Ready": "False", "Synced": "True"}),
        ),
        ({"conditions": [condition("Synced", "True")]}, (None, True, {"Synced": "True"})),
        ({"conditions": [condition("Ready", "Unknown")]}, (None, None, {"Ready": "Unknown"})),
        ({"conditions": [condition("Ready", None, reason=7, message=[])]}, (None, None, {"Ready": "None"})),
    ],
)
def test_a_status_of_any_shape_is_read(status: Any, expected: tuple[Any, ...]) -> None:
    record = read(status=status, spec=None)
    assert (record.status_phase, record.ready, record.conditions) == expected
    assert (record.spec, record.status) == (None, status)


def test_a_spec_of_a_megabyte_is_bounded_and_keeps_its_small_parts() -> None:
    record = read(spec={"size": 3, "script": "x" * 1_000_000, "list": [{"n": n} for n in range(100_000)]})
    assert record.spec["size"] == 3
    assert "left out" in record.spec["script"]
    assert record.spec["list"][0] == {"n": 0}
    assert len(json.dumps(record.spec, ensure_ascii=False).encode()) < 2 * MOST_BYTES


def test_clusters_that_serve_another_version_share_a_table() -> None:
    other = generic_kind(KIND.name, GROUP, "v1beta1", "Thing", namespaced=True)
    assert other.declaration_hash == KIND.declaration_hash
    assert other.api_path("shop", "x") == f"/apis/{GROUP}/v1beta1/namespaces/shop/things/x"


def test_a_table_whose_name_has_dots_is_written_and_read(manager: CacheManager, reader: CacheReader) -> None:
    objects = [{"metadata": {"name": f"t{n}", "namespace": "shop", "uid": f"u{n}", "resourceVersion": "1"}} for n in range(3)]
    scan(manager, KIND, staged(KIND, *objects))
    assert [one["name"] for one in reader.list(CLUSTER, ListQuery(KIND)).rows] == ["t0", "t1", "t2"]


@pytest.fixture(scope="module")
def things(control_plane: ControlPlane) -> Iterator[str]:
    namespace = control_plane.create_namespace("generic-kinds")
    with installed(control_plane.api, definition("things", GROUP, "Thing")):
        path = f"/apis/{GROUP}/v1/namespaces/{namespace}/things"
        odd: dict[str, dict[str, Any]] = {
            "bare": {},
            "large": {"spec": {"script": "x" * 1_000_000}},
            "listed": {"status": ["a", {"b": 1}], "spec": None},
            "plain": {"spec": {"size": 1}, "status": {"conditions": [condition("Ready", "True")]}},
        }
        for name, fields in odd.items():
            control_plane.api.post(path, {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": name}, **fields})
        for levels in (300, 1_500):
            control_plane.kubectl(
                "create", "--validate=false", "-n", namespace, "-f", "-", stdin=nested(f"deep-{levels}", levels)
            )
        yield namespace
    control_plane.delete_namespace(namespace)


def nested(name: str, levels: int) -> str:
    head = json.dumps({"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": name}})
    return head[:-1] + ',"spec":' + '{"a":' * levels + "1" + "}" * levels + "}"


def test_an_object_that_is_nested_too_deep_costs_only_its_own_depth(tools: ToolClient, things: str) -> None:
    page = json.loads(text_of(tools.result("k8s_export_page", kind=KIND.name, namespace=things)))
    found = {one["metadata"]["name"]: one for one in page["objects"]}
    assert set(found) == {"bare", "deep-300", "deep-1500", "large", "listed", "plain"}
    assert found["plain"]["spec"] == {"size": 1}
    assert len(found["large"]["spec"]["script"]) == 1_000_000
    for name in ("deep-300", "deep-1500"):
        assert CUT in json.dumps(found[name], ensure_ascii=False)
    rows = {one["name"]: one for one in tools("k8s_list_resources", kind="things", namespace=things)["rows"]}
    assert (len(rows), rows["plain"]["ready"]) == (6, True)
    assert CUT in str(tools("k8s_get_resource", kind="things", name="deep-300", namespace=things)["manifest"])


ROWS = [
    {"name": "widgets", "group": "a.io", "version": "v1", "kind": "Widget", "namespaced": True, "verbs": ["list"]},
    {"name": "gadgets", "group": "a.io", "version": "v1", "kind": "Gadget", "namespaced": False, "verbs": ["list"]},
    {"name": "gadgets", "group": "b.io", "version": "v2", "kind": "Gadget", "namespaced": True, "verbs": ["list"]},
    {"name": "reviews", "group": "a.io", "version": "v1", "kind": "Review", "namespaced": True, "verbs": ["create"]},
    {"name": "podtemplates", "group": "", "version": "v1", "kind": "PodTemplate", "namespaced": True, "verbs": ["list"]},
]


def test_names_that_users_give_become_kinds_or_are_told_apart() -> None:
    wanted = ["widgets", "widgets.a.io", "gadgets", "gadgets.b.io", "reviews", "gizmos.c.io", "pods", "podtemplates"]
    chosen = choose_kinds(wanted, ROWS)
    assert [(kind.name, kind.api_version, kind.resource) for kind in chosen.kinds] == [
        ("widgets.a.io", "a.io/v1", "widgets"),
        ("gadgets.b.io", "b.io/v2", "gadgets"),
        ("podtemplates", "v1", "podtemplates"),
    ]
    assert chosen.absent == ("reviews", "gizmos.c.io")
    assert chosen.declared == ("pods",)
    assert chosen.ambiguous == {"gadgets": ("gadgets.a.io", "gadgets.b.io")}


def test_extra_kinds_are_asked_for_once_and_not_at_all_when_none_are_wanted() -> None:
    calls: list[tuple[str, Any]] = []

    class Tools:
        def __init__(self) -> None:
            self.answer: dict[str, Any] | None = {"rows": ROWS}

        async def call(self, name: str, arguments: Any, *, timeout_seconds: float = 30) -> ToolResult:
            calls.append((name, arguments))
            return ToolResult("", self.answer, timeout_seconds)

    tools = Tools()
    assert asyncio.run(resolve_extra_kinds(tools, "one", [])).kinds == ()
    assert calls == []
    (kind,) = asyncio.run(resolve_extra_kinds(tools, "one", ["widgets"])).kinds
    assert (kind.name, calls) == ("widgets.a.io", [("k8s_list_api_resources", {"context": "one", "max_tokens": WHOLE_ANSWER})])
    tools.answer = None
    with pytest.raises(ToolError, match="another one, or older"):
        asyncio.run(resolve_extra_kinds(tools, "one", ["widgets"]))
