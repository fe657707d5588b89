"""Events: filtered, folded, newest first, inside a budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools.answer_budget import estimate, estimate_json
from server_fixtures import ToolClient, text_of

TOOL = "k8s_list_events"


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("event-place")

    def event(number: int, about: str, reason: str, message: str, *, minute: int, type_: str = "Warning", count: int = 1) -> None:
        time = f"2026-01-02T03:{minute:02d}:00Z"
        body = {
            "metadata": {"name": f"e.{number}"},
            "involvedObject": {"apiVersion": "v1", "kind": about.split("/")[0], "namespace": name, "name": about.split("/")[1]},
            "reason": reason, "message": message, "type": type_, "count": count, "firstTimestamp": time, "lastTimestamp": time,
        }  # fmt: skip
        control_plane.api.post(f"/api/v1/namespaces/{name}/events", body)

    event(1, "Pod/web-0", "BackOff", "Back-off restarting failed container", minute=1, count=7)
    event(2, "Pod/web-0", "BackOff", "Back-off restarting container app", minute=9, count=3)
    event(3, "Pod/web-1", "BackOff", "Back-off", minute=5)
    event(4, "Pod/web-0", "Scheduled", "Assigned", minute=0, type_="Normal")
    event(5, "Service/web-0", "Odd", "password=cnry-event-1 \x1b[31mred", minute=3)
    for number in range(60):
        event(100 + number, f"Job/j-{number:02d}", "Failed", "x" * 300, minute=10 + number % 40, type_="Normal")
    yield name
    control_plane.delete_namespace(name)


def about(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(row["object"], row["reason"], row["count"]) for row in rows]


def test_repeated_events_are_one_row_with_their_count_and_the_newest_message(tools: ToolClient, place: str) -> None:
    answer = tools(TOOL, namespace=place, type="Warning")
    assert about(answer["rows"]) == [("Pod/web-0", "BackOff", 10), ("Pod/web-1", "BackOff", 1), ("Service/web-0", "Odd", 1)]
    first = answer["rows"][0]
    assert (first["message"], first["messages"]) == ("Back-off restarting container app", 2)
    assert first["last_seen"] == "2026-01-02T03:09:00Z"
    assert (answer["envelope"]["total"], answer["envelope"]["note"]) == (3, "4 events folded by object and reason")


def test_events_can_be_read_object_by_object(tools: ToolClient, place: str) -> None:
    rows = tools(TOOL, namespace=place, order="object", kind="pods")["rows"]
    assert about(rows) == [("Pod/web-0", "BackOff", 10), ("Pod/web-0", "Scheduled", 1), ("Pod/web-1", "BackOff", 1)]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"kind": "po", "name": "web-0"}, 2),
        ({"kind": "services", "name": "web-0"}, 1),
        ({"reason": "BackOff"}, 2),
        ({"kind": "pods", "name": "web-0", "type": "Normal"}, 1),
        ({"kind": "pods", "since_seconds": 60}, 0),
        ({"kind": "pods", "name": "absent"}, 0),
    ],
)
def test_filters_choose_events(tools: ToolClient, place: str, filters: dict[str, Any], found: int) -> None:
    assert len(tools(TOOL, {"namespace": place, **filters})["rows"]) == found


def test_the_api_server_chooses_what_it_can(tools: ToolClient, place: str, control_plane: ControlPlane) -> None:
    mark = control_plane.audit.mark()
    tools(TOOL, namespace=place, kind="pods", name="web-0")
    (request,) = control_plane.audit.requests(mark, user_agent="k8s-mcp/")
    assert "involvedObject.name" in request.uri


def test_nothing_that_is_no_name_gets_into_a_field_selector(tools: ToolClient, place: str) -> None:
    assert tools.error(TOOL, namespace=place, kind="pods", name="a,type=Normal")["type"] == "InvalidArguments"
    assert tools.error(TOOL, namespace="a/b")["type"] == "InvalidArguments"
    assert "name needs kind" in tools.error(TOOL, namespace=place, name="web-0")["message"]


def test_secrets_and_escape_sequences_in_messages_stay_hidden(tools: ToolClient, place: str) -> None:
    result = tools.result(TOOL, namespace=place, reason="odd")
    assert "cnry-event-1" not in str(result)
    assert "\x1b" not in str(result)
    assert "password=‹redacted:" in text_of(result)


def test_an_answer_keeps_its_budget_and_names_the_call_for_the_rest(tools: ToolClient, place: str) -> None:
    seen: list[tuple[str, str, int]] = []
    for _ in range(20):
        result = tools.result(TOOL, namespace=place, max_tokens=2000, skip=len(seen))
        answer = result.structured_content
        assert estimate(text_of(result)) + estimate_json(answer) <= 2000
        seen += about(answer["rows"])
        if not answer["envelope"]["more"]:
            break
        assert f"{64 - len(seen)} rows left out: repeat with skip={len(seen)}" in answer["envelope"]["note"]
    assert len(seen) == len(set(seen)) == 64
