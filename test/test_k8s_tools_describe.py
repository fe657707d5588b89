"""k8s_describe: an object and what one needs to know around it, for any kind, inside a budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controlplane.api_client import ApiClient, Object
from controlplane.control_plane import ControlPlane
from controlplane.pods import failing
from controlplane.polling import wait_until
from custom_resources import definition, installed
from kinds.envelope import live
from mcp_tools.answer_budget import answer_tokens, estimate, estimate_json
from mcp_tools.description import Call, Description, Section
from server_fixtures import ToolClient, text_of

TOOL = "k8s_describe"
GROUP = "describe.example.com"


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("describe-place")
    api = control_plane.api
    template = {"metadata": {"labels": {"app": "web"}, "annotations": failing("CrashLoopBackOff")}}
    template["spec"] = {"containers": [{"name": "app", "image": "example/app:1"}]}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    api.post(f"/apis/apps/v1/namespaces/{name}/deployments", {"metadata": {"name": "web"}, "spec": spec})
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    api.post(f"/api/v1/namespaces/{name}/services", service)
    api.post(
        f"/api/v1/namespaces/{name}/services",
        service | {"metadata": {"name": "lost"}, "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}},
    )
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "describe-volume"}
    claim["storageClassName"] = ""
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/none"}}
    api.post("/api/v1/persistentvolumes", {"metadata": {"name": "describe-volume"}, "spec": volume})
    api.post(f"/api/v1/namespaces/{name}/persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": claim})
    uses = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    control_plane.pods.create(name, "user", None, spec=uses, wait=False)
    control_plane.pods.create(name, "stray", None, labels={"app": "web"})
    wait_until(lambda: len(crashing(control_plane, name)) == 3, "three pods in CrashLoopBackOff", timeout_seconds=30)
    yield name
    control_plane.delete_namespace(name)
    api.delete("/api/v1/persistentvolumes/describe-volume")


def crashing(control_plane: ControlPlane, namespace: str) -> list[str]:
    pods = control_plane.api.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Dweb")["items"]
    statuses = ((pod["metadata"]["name"], pod["status"].get("containerStatuses") or []) for pod in pods)
    return [name for name, containers in statuses if any("waiting" in one["state"] for one in containers)]


def sections(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {section["name"]: section for section in answer["sections"]}


def test_a_pod_comes_with_its_containers_their_last_end_its_owners_and_its_events(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    pod = crashing(control_plane, place)[0]
    wait_until(lambda: tools("k8s_list_events", namespace=place, kind="pods", name=pod, type="Warning")["rows"], "an event")
    result = tools.result(TOOL, kind="po", name=pod, namespace=place)
    answer = result.structured_content
    found = sections(answer)
    (container,) = found["containers"]["rows"]
    assert (container["name"], container["reason"], container["restarts"]) == ("app", "CrashLoopBackOff", 5)
    assert (container["last_reason"], container["last_exit_code"]) == ("Error", 1)
    assert [(one["kind"], one["state"]) for one in found["owners"]["rows"]] == [
        ("ReplicaSet", "exists"),
        ("Deployment", "exists"),
    ]
    assert "BackOff" in [event["reason"] for event in found["events"]["rows"]]
    assert (answer["facts"]["status"], answer["facts"]["healthy"]) == ("CrashLoopBackOff", False)
    assert answer["object"]["name"] == pod
    assert answer["left_out"] == []
    assert estimate(text_of(result)) + estimate_json(answer) <= 4000
    assert all(word in text_of(result) for word in ("CrashLoopBackOff", "Deployment", "BackOff", "containers (1 of 1)"))


def test_a_deployment_comes_with_its_replica_sets_pods_and_what_they_complain_of(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    found = sections(tools(TOOL, kind="deploy", name="web", namespace=place))
    children = found["children"]["rows"]
    assert sorted(one["kind"] for one in children) == ["Pod", "Pod", "Pod", "ReplicaSet"]
    assert {one["status"] for one in children if one["kind"] == "Pod"} == {"CrashLoopBackOff"}
    assert {one["object"].split("/")[1] for one in found["warnings of children"]["rows"]} <= set(crashing(control_plane, place))
    assert found["warnings of children"]["rows"]
    assert "stray" not in [one["name"] for one in children], "it has the labels, but no owner"


def test_a_service_comes_with_its_endpoints_and_says_when_it_has_none(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    wait_until(lambda: len(sections(tools(TOOL, kind="svc", name="web", namespace=place))["endpoints"]["rows"]) == 4, "endpoints")
    endpoints = sections(tools(TOOL, kind="svc", name="web", namespace=place))["endpoints"]
    assert {one["pod"] for one in endpoints["rows"][:3]} == set(crashing(control_plane, place))
    assert endpoints["rows"][3] == endpoints["rows"][3] | {"pod": "stray", "ready": True}
    assert endpoints["note"] == "1 of 4 get traffic"
    lost = sections(tools(TOOL, kind="svc", name="lost", namespace=place))["endpoints"]
    assert (lost["rows"], "nobody" in lost["note"]) == ([], True)


def test_a_node_comes_with_its_pods_those_first_that_are_not_healthy(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    pod = control_plane.pods.get(place, crashing(control_plane, place)[0])
    pods = sections(tools(TOOL, kind="node", name=pod["spec"]["nodeName"]))["pods"]
    assert pods["rows"][0]["status"] != "Running"
    assert "CrashLoopBackOff" in pods["note"]
    assert "requests" in pods["note"]


def test_a_claim_comes_with_its_volume_and_the_pods_that_use_it(tools: ToolClient, place: str) -> None:
    found = sections(tools(TOOL, kind="pvc", name="data", namespace=place))
    assert found["volume"]["rows"][0]["name"] == "describe-volume"
    assert [one["name"] for one in found["pods that use it"]["rows"]] == ["user"]


def test_a_namespace_comes_with_what_is_in_it(tools: ToolClient, place: str) -> None:
    rows = sections(tools(TOOL, kind="ns", name=place))["objects in it"]["rows"]
    assert {"kind": "services", "count": 2} in rows


@contextmanager
def out_of_the_collectors_reach(api: ApiClient, collection: str, name: str) -> Iterator[str]:
    """The path of an object on its way out, held by a finalizer: the garbage collector leaves its lost owners to it."""
    path = f"{collection}/{name}"
    api.post(collection, {"metadata": {"name": name, "finalizers": ["example.com/held"]}})
    api.delete(path)
    try:
        yield path
    finally:
        api.patch(path, {"metadata": {"finalizers": None}})


def test_a_kind_that_nobody_declared_comes_with_its_spec_children_and_lost_owners(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    api = control_plane.api
    with installed(api, definition("widgets", GROUP, "Widget")):
        path = f"/apis/{GROUP}/v1/namespaces/{place}/widgets"
        body: Object = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "big"}}
        condition = {"type": "Ready", "status": "False", "reason": "O\x1b[31mdd", "message": "no wheels; password=cnry-widget"}
        widget = api.post(
            path, body | {"spec": {"wheels": [{"size": 3}], "colour": "\x1b[31mred"}, "status": {"conditions": [condition]}}
        )
        owner = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "name": "big", "uid": widget["metadata"]["uid"]}
        gone = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never-there", "uid": "0-0"}
        with out_of_the_collectors_reach(api, f"/api/v1/namespaces/{place}/configmaps", "of-big") as config:
            api.patch(config, {"metadata": {"ownerReferences": [owner | {"controller": True}, gone]}})
            result = tools.result(TOOL, kind="widgets", name="big", namespace=place)
            answer, found = result.structured_content, sections(result.structured_content)
            assert ("ConfigMap", "of-big") in [(one["kind"], one["name"]) for one in found["children"]["rows"]]
            assert found["conditions"]["rows"][0]["message"].startswith("no wheels; password=‹redacted:")
            assert answer["text_lines"] == len(text_of(result).split("\n\n")[-1].split("\n"))
            assert "size: 3" in text_of(result).split("\n\n")[-1]
            assert "\x1b" not in text_of(result)
            assert "cnry-widget" not in str(result)
            assert "\\x1b" not in repr(answer)
            owners = sections(tools(TOOL, kind="cm", name="of-big", namespace=place))["owners"]["rows"]
            assert [(one["name"], one["state"]) for one in owners] == [("big", "exists"), ("never-there", "gone")]


@pytest.mark.parametrize("max_tokens", [1000, 2000])
def test_a_small_budget_is_kept_and_what_is_left_out_is_said_with_the_call_that_gets_it(
    tools: ToolClient, place: str, max_tokens: int
) -> None:
    result = tools.result(TOOL, kind="deploy", name="web", namespace=place, max_tokens=max_tokens)
    answer = result.structured_content
    assert estimate(text_of(result)) + estimate_json(answer) <= max_tokens
    assert answer["envelope"]["more"] is bool(answer["left_out"])
    if max_tokens < 2000:
        assert answer["left_out"]
    for one in answer["left_out"]:
        assert one["shown"] < one["total"]
        assert one["call"].startswith("k8s_")
        assert f"{one['what']}: {one['shown']} of {one['total']} shown; the rest: {one['call']}" in text_of(result)


def description_of(rows: int, *, first_rows: int = 2, longest: int = 0) -> Description:
    """As of a Deployment with so many pods; `longest` characters in each fact."""
    children = [{"kind": "Pod", "name": f"web-7c9f4b-{number:05d}", "status": "Running"} for number in range(rows)]
    said = [{"type": f"Type{number}", "status": "False", "message": "not enough pods"} for number in range(first_rows)]
    facts = {f"fact_{number}": "x" * longest or number for number in range(26)}
    sections = [Section(name, said, Call("k8s_x", {})) for name in ("conditions", "events")]
    return Description(
        "a head", {"name": "web"}, facts, [Section("children", children, Call("k8s_x", {})), *sections], Call("k8s_y", {})
    )


def shown(description: Description, max_tokens: int) -> dict[str, int]:
    answer = description.answer(live("c", "deployments", now=0.0, shown=1, total=1, more=False), max_tokens)
    assert answer.structured is not None
    assert answer_tokens(answer) <= max_tokens
    rows = {name: len(section["rows"]) for name, section in sections(answer.structured).items()}
    return rows | {"facts": len(answer.structured["facts"])}


@pytest.mark.parametrize("rows", [30, 400, 5000])
def test_a_section_of_any_length_leaves_the_facts_conditions_and_events_whole(rows: int) -> None:
    found = shown(description_of(rows), 4000)
    assert (found["facts"], found["conditions"], found["events"]) == (26, 2, 2)
    assert found["children"] >= 30


def test_every_section_keeps_something_while_there_is_room_and_the_longest_is_cut_first() -> None:
    found = shown(description_of(400, first_rows=300), 4000)
    assert found["facts"] == 26
    assert min(found["conditions"], found["events"]) > found["children"] >= 2
    assert shown(description_of(400, longest=300), 2000)["facts"] >= 2
    assert min(shown(description_of(400), 700).values()) >= 1


@pytest.mark.parametrize("kind", ["deploy", "node"])
def test_a_call_for_the_rest_is_for_the_context_that_was_asked(
    tools: ToolClient, place: str, control_plane: ControlPlane, kind: str
) -> None:
    context = tools("k8s_list_pods", namespace=place)["envelope"]["cluster"]
    name = control_plane.pods.get(place, crashing(control_plane, place)[0])["spec"]["nodeName"] if kind == "node" else "web"
    answers = [
        tools(TOOL, kind=kind, name=name, namespace=place, max_tokens=1000, **asked) for asked in ({"context": context}, {})
    ]
    calls, without = ([one["call"] for one in answer["left_out"]] for answer in answers)
    assert calls
    assert all(f'(context="{context}", ' in call for call in calls)
    assert not any("context=" in call for call in without)


def test_the_conditions_that_are_wrong_come_first(tools: ToolClient, place: str, control_plane: ControlPlane) -> None:
    told = {"Fine": "True", "DiskPressure": "False", "Ready": "True", "Initialized": "False", "LogsLost": "True"}
    about = {"reason": "Told", "message": "why", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [{"type": type_, "status": status} | about for type_, status in told.items()]
    path = f"/api/v1/namespaces/{place}/services/lost/status"
    control_plane.api.patch(path, {"status": {"conditions": conditions}})
    rows = sections(tools(TOOL, kind="svc", name="lost", namespace=place))["conditions"]["rows"]
    assert [one["type"] for one in rows] == ["Initialized", "LogsLost", "Ready", "Fine", "DiskPressure"]


def test_what_may_not_be_read_costs_its_own_section_only(place: str, control_plane: ControlPlane, tool_client: Any) -> None:
    user = control_plane.users.create(
        place, "describer", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    )
    found = sections(tool_client(user.kubeconfig)(TOOL, kind="pods", name="user", namespace=place))
    assert found["containers"]["rows"]
    assert "cannot be read: cannot list events" in found["events"]["note"]


def test_what_does_not_exist_is_an_error_that_says_so(tools: ToolClient, place: str) -> None:
    assert tools.error(TOOL, kind="pods", name="absent", namespace=place)["type"] == "NotFound"
    assert tools.error(TOOL, kind="nonsense", name="x")["type"] == "UnknownKind"
    assert tools.error(TOOL, kind="pods", name="../secrets/x", namespace=place)["type"] == "InvalidArguments"
