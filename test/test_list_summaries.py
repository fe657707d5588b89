"""Lists that are too long for an answer: counted as a whole, what is not healthy first, and every row a call away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agent.commands.tools import count_tokens
from controlplane.control_plane import ControlPlane
from demo_fixtures import start_demo_server
from kinds.registry import KINDS
from mcp_tools.continue_tokens import Position
from mcp_tools.list_answers import FIRST_UNHEALTHY, SHORTEST_ROW
from mcp_tools.list_summary import ListSummary, brief_columns, counted_columns
from server_fixtures import ToolClient, text_of

MANY = 60
PODS = KINDS["pods"]


def tokens_of(result: Any) -> int:
    """By the real tokenizer: text and structured content."""
    return count_tokens(text_of(result)) + count_tokens(
        json.dumps(result.structured_content, ensure_ascii=False, separators=(",", ":"))
    )


@pytest.fixture(scope="module")
def crowd(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace with sixty pods: every fifth one crashes."""
    name = control_plane.create_namespace("summaries")
    for number in range(MANY):
        control_plane.pods.create(name, f"web-{number:03d}", "CrashLoopBackOff" if number % 5 == 4 else None)
    yield name
    control_plane.delete_namespace(name)


def called(text: str, before: str) -> dict[str, Any]:
    """The arguments of the call that stands after `before` in an answer's text."""
    found = re.search(rf"^{re.escape(before)}: k8s_\w+\((.*)\)$", text, re.MULTILINE)
    assert found, text
    return {name: json.loads(value) for name, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\{.*?\}|[\w.]+)', found[1])}


def test_all_rows_are_answered_when_they_fit(tools: ToolClient, crowd: str) -> None:
    found = tools("k8s_list_pods", namespace=crowd, max_tokens=40_000)
    assert "summary" not in found
    assert len(found["rows"]) == found["envelope"]["total"] == MANY
    assert not found["continue"]


def test_a_list_that_does_not_fit_is_counted_and_what_is_not_healthy_comes_first(tools: ToolClient, crowd: str) -> None:
    result = tools.result("k8s_list_pods", namespace=crowd)
    found = result.structured_content
    assert tokens_of(result) <= 4000
    assert found["summary"]["total"] == MANY
    assert found["summary"]["states"] == {"Running": 48, "CrashLoopBackOff": 12}
    assert found["summary"]["unhealthy"] == 12
    assert [row["name"] for row in found["summary"]["unhealthy_rows"]] == [f"web-{n:03d}" for n in range(4, MANY, 5)]
    assert list(found["summary"]["unhealthy_rows"][0]) == ["namespace", "name", "ready", "status", "restarts"]
    assert found["summary"]["namespaces"] == [{"namespace": crowd, "total": MANY, "unhealthy": 12}]
    assert (found["envelope"]["total"], found["envelope"]["shown"], found["envelope"]["more"]) == (MANY, 5, True)
    for words in ("CrashLoopBackOff 12", "not healthy: 12 of 60", "12 of 12 that are not healthy shown", "5 of 60 pods shown"):
        assert words in text_of(result)


def test_a_summary_with_the_smallest_budget_shows_what_is_not_healthy_before_namespaces_and_first_rows(
    tools: ToolClient, crowd: str
) -> None:
    assert "at least 1000" in tools.error("k8s_list_pods", max_tokens=999)["message"]
    result = tools.result("k8s_list_pods", max_tokens=1000)
    assert tokens_of(result) <= 1000
    assert len(result.structured_content["summary"]["unhealthy_rows"]) >= FIRST_UNHEALTHY
    assert result.structured_content["rows"] == []


def test_the_call_that_a_summary_names_gives_the_rows_after_it(tools: ToolClient, crowd: str) -> None:
    result = tools.result("k8s_list_pods", namespace=crowd)
    rows = result.structured_content["rows"]
    call = called(text_of(result), "more")
    while call:
        result = tools.result("k8s_list_pods", call)
        rows += result.structured_content["rows"]
        call = called(text_of(result), "more") if result.structured_content["continue"] else {}
    assert [row["name"] for row in rows] == [f"web-{n:03d}" for n in range(MANY)]


@pytest.mark.parametrize("tool", [("k8s_list_pods", {}), ("k8s_list_resources", {"kind": "pods"})], ids=lambda tool: tool[0])
def test_unhealthy_rows_that_do_not_fit_are_a_call_away(tools: ToolClient, crowd: str, tool: tuple[str, dict[str, Any]]) -> None:
    name, more = tool
    result = tools.result(name, namespace=crowd, max_tokens=1000, **more)
    shown = result.structured_content["summary"]["unhealthy_rows"]
    assert 0 < len(shown) < 12
    assert f"{len(shown)} of 12 that are not healthy shown" in text_of(result)
    rest = tools(name, called(text_of(result), "more of them"), max_tokens=4000)
    assert [row["name"] for row in shown + rest["rows"]] == [f"web-{n:03d}" for n in range(4, MANY, 5)]
    assert not rest["continue"]


@pytest.mark.parametrize("budget", [1000, 1500, 4000])
@pytest.mark.parametrize("filters", [{}, {"healthy": False}, {"label_selector": "!nothing"}])
def test_rows_that_the_budget_cuts_put_together_are_the_whole_list(
    tools: ToolClient, crowd: str, budget: int, filters: dict[str, Any]
) -> None:
    whole = tools("k8s_list_pods", namespace=crowd, limit=1000, max_tokens=100_000, **filters)["rows"]
    rows: list[Any] = []
    result = tools.result("k8s_list_pods", namespace=crowd, view="rows", limit=1000, max_tokens=budget, **filters)
    for _ in range(MANY):
        page = result.structured_content
        assert tokens_of(result) <= budget
        assert page["envelope"]["total"] in (len(whole), None)
        rows += page["rows"]
        if not page["continue"]:
            break
        assert page["rows"], "no progress"
        result = tools.result("k8s_list_pods", called(text_of(result), "more"), max_tokens=budget)
    assert rows == whole


def test_a_row_that_alone_is_too_long_is_cut_in_its_values_and_not_left_out(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    data = {f"a-very-long-name-of-a-file-in-a-configuration-{number:04d}.properties": "x" for number in range(600)}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keys"}, "data": data}
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", body)
    page = tools("k8s_list_resources", kind="configmaps", namespace=fresh_namespace, view="rows", max_tokens=1000)
    (row,) = [row for row in page["rows"] if row["name"] == "keys"] or page["rows"]
    assert "characters shown" in json.dumps(row, ensure_ascii=False)


def test_a_summary_of_a_page_is_refused(tools: ToolClient, crowd: str) -> None:
    token = tools("k8s_list_pods", namespace=crowd, limit=1)["continue"]
    error = tools.error("k8s_list_pods", namespace=crowd, view="summary", continue_token=token)
    assert "leave continue_token out" in error["message"]


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_can_be_summarised(kind: str) -> None:
    declared = KINDS[kind]
    row: dict[str, Any] = dict.fromkeys(counted_columns(declared)) | {"namespace": "a", "healthy": False}
    summary = ListSummary(declared, kept=3)
    summary.add([row] * 5, [Position("", str(number), number) for number in range(6)])
    facts = summary.facts(summary.worst_namespaces())
    assert facts["total"] == 5
    assert facts["unhealthy"] == (5 if "healthy" in declared.columns_by_name else None)
    assert set(brief_columns(declared)) <= set(declared.list_columns)


def test_what_is_kept_while_counting_does_not_grow_with_the_list() -> None:
    summary = ListSummary(PODS, kept=10)
    for page in range(200):
        rows = [{"namespace": f"n{page}", "name": f"p{n}", "status": f"odd {page} {n}", "healthy": False} for n in range(500)]
        summary.add(rows, [Position("", str(n), n) for n in range(501)])
    assert (summary.total, summary.unhealthy) == (100_000, 100_000)
    assert (len(summary.first_rows), len(summary.unhealthy_rows), len(summary.places)) == (10, 10, 11)
    assert len(summary.states) <= 20_001
    states = summary.facts(summary.worst_namespaces())["states"]
    assert sum(states.values()) == 100_000
    assert len(states) <= 26


@pytest.mark.parametrize(("pods", "pages"), [(500, 2), (10_000, 21)])
def test_at_any_size_the_default_answer_says_how_many_of_each_state_there_are_and_which_are_not_healthy(
    pods: int, pages: int, tmp_path: Any, tool_client: Callable[..., ToolClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_tools import live_lists

    requests: list[str] = []
    read_page = live_lists._read_page

    async def counted(*arguments: Any, **named: Any) -> Any:
        requests.append(arguments[3])
        return await read_page(*arguments, **named)

    monkeypatch.setattr(live_lists, "_read_page", counted)
    with ExitStack() as stack:
        server = start_demo_server(stack, tmp_path, "--pods", str(pods), "--speed", "0")
        result = tool_client(server.kubeconfig).result("k8s_list_pods")
    found = result.structured_content["summary"]
    assert tokens_of(result) < 2500
    assert found["total"] > pods
    assert sum(found["states"].values()) == found["total"]
    assert found["unhealthy"] == len(found["unhealthy_rows"]) == 8
    assert {"CrashLoopBackOff", "ImagePullBackOff", "OOMKilled", "Pending"} <= {row["status"] for row in found["unhealthy_rows"]}
    assert len(requests) == pages


def test_no_row_is_shorter_than_what_bounds_the_rows_that_are_kept(tools: ToolClient) -> None:
    found = tools.result("k8s_list_namespaces", limit=1)
    (row,) = found.structured_content["rows"]
    assert count_tokens("\t".join(map(str, row.values()))) + count_tokens(json.dumps(row)) > SHORTEST_ROW
