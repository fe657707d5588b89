"""Objects too long for an answer, of whatever shape: the budget holds, and each part that is missing can be asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.control_plane import ControlPlane
from mcp_tools.answer_budget import answer_tokens, fits
from mcp_tools.k8s_tools.reading import object_answer
from mcp_tools.object_cutting import NOTE_KEY
from mcp_tools.object_parts import NOTE_START, parse_path, part_at
from mcp_tools.redaction import contains_mark
from mcp_tools.tool_declaration import ToolAnswer
from mcp_tools.tool_spec import SMALLEST_BUDGET
from server_fixtures import ToolClient, text_of

IDENTITY = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n" * 60, "namespace": "shop", "uid": "u" * 36}}
ASKED = {"context": "", "kind": "configmaps", "name": "n" * 60, "namespace": "shop"}


def answer_of(value: Any, max_tokens: int, path: str = "", row: dict[str, Any] | None = None) -> ToolAnswer:
    facts = {"row": row or {}, "envelope": {"cluster": "c"}}
    return object_answer(json.loads(json.dumps(value)), parse_path(path), facts, dict(ASKED), max_tokens)


def wide(parts: list[Any], times: int, key: str) -> dict[str, Any]:
    return {f"{key}{number}-{again}": part for again in range(times) for number, part in enumerate(parts)}


def deep(part: Any, levels: int, key: str) -> Any:
    for level in range(levels):
        part = {key: part} if level % 3 else [part]
    return part


KEYS = st.one_of(st.text(max_size=12), st.sampled_from(["data", "example.com/a", "k" * 40, "k" * 300, "k" * 3000, "schlüssel"]))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.text(max_size=40),
    st.builds(
        lambda text, times: text * times, st.sampled_from(["x", "word ", "0f", "é", "漢", '"', "\n"]), st.integers(0, 6000)
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(wide, st.lists(parts, min_size=1, max_size=4), st.sampled_from([1, 1, 2, 40, 200]), KEYS),
        st.builds(lambda items, times: items * times, st.lists(parts, min_size=1, max_size=4), st.sampled_from([1, 2, 40, 300])),
        st.builds(deep, parts, st.integers(1, 30), KEYS),
        st.dictionaries(KEYS, parts, max_size=6),
    ),
    max_leaves=6,
).filter(lambda value: len(json.dumps(value)) < 400_000)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=VALUES, whole=st.booleans(), budget=st.integers(SMALLEST_BUDGET, 12_000))
def test_an_object_of_any_shape_keeps_any_budget_and_what_is_left_out_can_be_asked_for(
    value: Any, whole: bool, budget: int
) -> None:
    value = IDENTITY | {"spec": value} | (value if whole and isinstance(value, dict) else {})
    row = {"name": "n" * 60, "keys": list(value), "spec": value["spec"]} if whole else {}
    answer = answer_of(value, budget, row=row)
    assert fits(answer, budget)
    if "left_out" not in answer.structured:
        assert answer.structured["manifest"] == value
        return
    assert contains_mark(answer.structured["manifest"])
    for one in answer.structured["left_out"]:
        part_at(value, parse_path(one["path"]))
        assert fits(answer_of(value, budget, one["path"]), budget)


@pytest.mark.parametrize("budget", [SMALLEST_BUDGET, 4000])
@pytest.mark.parametrize(
    ("value", "path"),
    [
        (IDENTITY | {"data": {f"{number:03d}-{'x' * 41}": "v" for number in range(300)}}, "data"),
        (IDENTITY | {"spec": {"list": [f"item {number}" for number in range(3000)]}}, "spec.list"),
        (IDENTITY | {f"key-{number}": number for number in range(2000)}, ""),
        (IDENTITY | {"spec": {"list": [f"{number} {'long ' * 60}" for number in range(200)]}}, "spec.list"),
    ],
    ids=["keys", "list", "members of the object", "parts that are not small"],
)
def test_many_parts_are_read_one_range_after_the_other(value: Any, path: str, budget: int) -> None:
    whole = part_at(value, parse_path(path))[0]
    found: Any = type(whole)()
    asked: str | None = path
    calls = 0
    while asked is not None:
        answer = answer_of(value, budget, asked)
        assert fits(answer, budget)
        part = answer.structured.get("part", answer.structured["manifest"])
        rest = [one for one in answer.structured.get("left_out", []) if "total" in one]
        if rest:
            assert f"{rest[0]['shown']} of {rest[0]['total']} shown" in answer.text
            assert f'path="{rest[0]["path"]}")' in answer.text
            assert rest[0]["shown"] > 0
        note = part.pop(NOTE_KEY, "") if isinstance(part, dict) else part.pop() if rest else ""
        assert note.startswith(NOTE_START) == bool(rest)
        if isinstance(part, list):  # the last of them may be notes that say where each can be read
            noted = {f"path={one['path']}›": one["path"] for one in answer.structured.get("left_out", [])}
            paths = [noted.get(item[item.rfind("path=") :]) if item.startswith(NOTE_START) else None for item in part]
            part = [part_at(value, parse_path(at))[0] if at else item for item, at in zip(part, paths, strict=True)]
        found = found | part if isinstance(whole, dict) else found + part
        asked = rest[0]["path"] if rest else None
        calls += 1
    assert {**found, **IDENTITY} == {**whole, **IDENTITY} if path == "" else found == whole
    assert calls > 1


def test_of_a_part_with_many_small_members_the_first_are_kept_in_the_object() -> None:
    value = IDENTITY | {"data": {f"{number:03d}-{'x' * 41}": "v" for number in range(300)}}
    answer = answer_of(value, 4000, row={"name": "n", "keys": list(value["data"])})
    kept = answer.structured["manifest"]["data"]
    (left,) = answer.structured["left_out"]
    assert left["total"] == 300
    assert list(kept) == [*list(value["data"])[: left["shown"]], NOTE_KEY]
    assert 20 < left["shown"] < 300
    assert left["path"] == f"data[{left['shown']}:]"
    assert "shown, a larger max_tokens" in answer.structured["row"]["keys"][-1]
    assert answer_tokens(answer) > 3500, "the budget is used"


LABELS = {f"example.com/label-{number}": f"value-{number}" for number in range(1000)}
MANY: dict[str, dict[str, Any]] = {
    "keys": {"data": {f"{number:03d}-{'x' * 41}": "v" for number in range(300)}},
    "labels": {"metadata": {"labels": LABELS, "annotations": LABELS}},
}


@pytest.mark.parametrize("name", MANY)
def test_objects_with_many_small_parts_are_got_and_described_within_any_budget(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, name: str
) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap"} | MANY[name]
    body["metadata"] = {"name": name} | body.get("metadata", {})
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", body)
    asked = {"kind": "configmaps", "name": name, "namespace": fresh_namespace}
    paths = ["data"] if name == "keys" else ["metadata.labels", "metadata.annotations", "metadata"]
    for budget in (SMALLEST_BUDGET, 4000):
        calls = [("k8s_describe", asked), *(("k8s_get_resource", asked | {"path": path}) for path in ("", *paths))]
        for tool, arguments in calls:
            result = tools.result(tool, arguments, max_tokens=budget)
            assert not result.is_error, text_of(result)
            assert fits(ToolAnswer(text_of(result), result.structured_content), budget)
    rest = tools("k8s_get_resource", asked, path=paths[0])["left_out"][0]["path"]
    assert tools("k8s_get_resource", asked, path=rest, max_tokens=100_000)["part"]
