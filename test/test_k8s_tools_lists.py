"""The reading tools against a real API server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.control_plane import ControlPlane
from controlplane.users import rule
from kinds.kind import row
from kinds.record import sort_key
from kinds.registry import KINDS
from server_fixtures import ToolClient, text_of


def all_rows(tools: ToolClient, tool: str, **arguments: object) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """All rows, page by page, and the envelopes."""
    rows, envelopes, token = [], [], ""
    while True:
        page = tools(tool, **arguments, continue_token=token)
        rows += page["rows"]
        envelopes.append(page["envelope"])
        token = page["continue"]
        if not token:
            return rows, envelopes


@pytest.fixture(scope="module")
def shop(control_plane: ControlPlane) -> str:
    """A namespace with nine pods: every third one crashes."""
    name = control_plane.create_namespace("lists-shop", {"team": "shop"})
    for number in range(9):
        failing = "CrashLoopBackOff" if number % 3 == 2 else None
        control_plane.pods.create(name, f"web-{number}", failing)
    control_plane.pods.create(name, "web", None)
    yield name
    control_plane.delete_namespace(name)


def test_a_list_has_the_columns_of_kubectl_in_name_order(tools: ToolClient, shop: str, control_plane: ControlPlane) -> None:
    page = tools("k8s_list_pods", namespace=shop)
    expected = [
        row(KINDS["pods"], KINDS["pods"].read(pod)) for pod in control_plane.api.get(f"/api/v1/namespaces/{shop}/pods")["items"]
    ]
    assert page["rows"] == expected
    assert [list(one) for one in page["rows"]] == [list(KINDS["pods"].list_columns)] * 10
    assert page["envelope"] | {"as_of": ""} == {
        "source": "live", "cluster": control_plane.context, "kind": "pods", "as_of": "", "age_seconds": 0, "ttl_seconds": None,
        "fresh": True, "complete": True, "total": 10, "shown": 10, "more": False,
        "asked": f"in namespace {shop}",
    }  # fmt: skip


def test_a_list_says_what_its_numbers_count(tools: ToolClient, shop: str, control_plane: ControlPlane) -> None:
    asked = f"with healthy=false, labels !nothing in namespace {shop}"
    for view in ("auto", "summary", "rows"):
        result = tools.result("k8s_list_pods", namespace=shop, healthy=False, label_selector="!nothing", view=view)
        assert result.structured_content["envelope"]["asked"] == asked
        assert f"3 pods {asked} of {control_plane.context}, live" in text_of(result).splitlines()[0]
    events = tools.result("k8s_list_events", namespace=shop, type="Warning", since_seconds=60)
    told = f"events with type=Warning, since_seconds=60 in namespace {shop} of {control_plane.context}"
    assert told in text_of(events).splitlines()[0]
    assert "asked" not in tools("k8s_list_nodes")["envelope"]
    assert f" nodes in {control_plane.context}, live" in text_of(tools.result("k8s_list_nodes")).splitlines()[0]


@pytest.mark.parametrize("asked", [("k8s_list_pods", {}), ("k8s_list_pods", {"view": "rows"}), ("k8s_list_events", {})])
def test_a_namespace_that_does_not_exist_is_not_an_empty_one(
    tools: ToolClient, fresh_namespace: str, asked: tuple[str, dict[str, object]]
) -> None:
    tool, arguments = asked
    refused = tools.result(tool, namespace="no-such-namespace", **arguments)
    assert refused.is_error
    assert "there is no namespace no-such-namespace" in text_of(refused)
    assert tools(tool, namespace=fresh_namespace, **arguments)["rows"] == []


@pytest.mark.parametrize("view", ["auto", "summary", "rows"])
def test_a_status_that_nothing_has_is_answered_with_those_that_there_are(tools: ToolClient, shop: str, view: str) -> None:
    page = tools("k8s_list_pods", namespace=shop, status="CrashLoop", view=view)
    assert page["rows"] == []
    assert page["envelope"]["note"] == "status is one of Running (7), CrashLoopBackOff (3)"
    assert "note" not in tools("k8s_list_pods", namespace=shop, status="CrashLoopBackOff", view=view)["envelope"]


@pytest.mark.parametrize(("asked", "real"), [("running", "Running"), ("crashloopbackoff", "CrashLoopBackOff")])
@pytest.mark.parametrize("view", ["auto", "summary", "rows"])
def test_a_status_is_found_in_any_case_and_answered_as_it_is_spelt(
    tools: ToolClient, shop: str, asked: str, real: str, view: str
) -> None:
    found = tools("k8s_list_pods", namespace=shop, status=asked, view=view)
    spelt = tools("k8s_list_pods", namespace=shop, status=real, view=view)
    assert {one["status"] for one in found["rows"]} == {real}
    assert found["rows"] == spelt["rows"]
    assert tools("k8s_list_resources", kind="po", namespace=shop, filters={"status": asked}, view=view)["rows"] == found["rows"]
    assert tools("k8s_list_pods", namespace=shop, node="NODE-1", view=view)["rows"] == []


@pytest.mark.parametrize("limit", [1, 3, 4, 10, 11])
@pytest.mark.parametrize("filters", [{}, {"healthy": False}, {"status": "Running"}, {"label_selector": "!nothing"}])
def test_pages_put_together_are_the_whole_list(tools: ToolClient, shop: str, limit: int, filters: dict[str, object]) -> None:
    whole = tools("k8s_list_pods", namespace=shop, limit=1000, **filters)["rows"]
    rows, envelopes = all_rows(tools, "k8s_list_pods", namespace=shop, limit=limit, **filters)
    assert rows == whole
    assert [bytes(sort_key(str(one["namespace"]), str(one["name"]))) for one in rows] == sorted(
        sort_key(str(one["namespace"]), str(one["name"])) for one in rows
    )
    assert envelopes[-1]["total"] == len(whole)
    assert all(envelope["more"] for envelope in envelopes[:-1])
    assert not envelopes[-1]["more"]
    if not filters:
        assert {envelope["total"] for envelope in envelopes} == {10}
    assert {"healthy": 3}.get(next(iter(filters), ""), len(whole)) == len(whole)


def test_large_objects_are_read_in_smaller_pages_and_none_is_lost(
    tools: ToolClient, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = all_rows(tools, "k8s_list_pods", namespace=shop)
    monkeypatch.setattr("mcp_tools.live_lists.PAGE_BYTES", 100)
    small, envelopes = all_rows(tools, "k8s_list_pods", namespace=shop, limit=6)
    assert [pod["name"] for pod in small] == [pod["name"] for pod in whole]
    assert [envelope["shown"] for envelope in envelopes] == [6, 4]


def test_a_filtered_page_stays_exact_when_objects_come_and_go_between_calls(
    tools: ToolClient, fresh_namespace: str, control_plane: ControlPlane
) -> None:
    for name in ("b", "d", "f", "h"):
        control_plane.pods.create(fresh_namespace, name, None)
    first = tools("k8s_list_pods", namespace=fresh_namespace, status="Running", limit=2)
    assert [one["name"] for one in first["rows"]] == ["b", "d"]
    control_plane.pods.create(fresh_namespace, "a", None)
    control_plane.kubectl("delete", "pod", "b", "-n", fresh_namespace, "--wait=true")
    second = tools("k8s_list_pods", namespace=fresh_namespace, status="Running", limit=2, continue_token=first["continue"])
    assert [one["name"] for one in second["rows"]] == ["f", "h"]


def test_the_generic_list_answers_as_the_named_one(tools: ToolClient, shop: str) -> None:
    for kind in ("pods", "po", "Pod"):
        generic = tools("k8s_list_resources", kind=kind, namespace=shop, filters={"healthy": False}, limit=2)
        named = tools("k8s_list_pods", namespace=shop, healthy=False, limit=2)
        assert generic["rows"] == named["rows"]
        assert generic["continue"] == named["continue"]


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.optional])
def test_a_kind_that_is_not_installed_is_said_to_be_missing(tools: ToolClient, kind: str) -> None:
    assert tools.error("k8s_list_resources", kind=kind)["type"] == "KindNotServed"


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if not kind.optional])
def test_every_kind_can_be_listed_and_got(tools: ToolClient, shop: str, kind: str) -> None:
    namespace = {"namespace": shop} if KINDS[kind].namespaced else {}  # elsewhere objects come and go with other tests
    rows = tools("k8s_list_resources", kind=kind, limit=3, **namespace)["rows"]
    for one in rows[:1]:
        found = tools(
            "k8s_get_resource",
            kind=kind,
            name=one["name"] if "name" in one else _event_name(tools, shop),
            namespace=one.get("namespace") or "",
        )
        assert found["manifest"]["apiVersion"] == KINDS[kind].api_version
        assert "managedFields" not in found["manifest"]["metadata"]
        assert list(found["row"]) == list(KINDS[kind].list_columns)


def _event_name(tools: ToolClient, namespace: str) -> str:
    import json

    page = json.loads(text_of(tools.result("k8s_export_page", kind="events", namespace=namespace, limit=1)))
    return str(page["objects"][0]["metadata"]["name"])


def test_a_token_answers_only_the_question_it_was_given_for(tools: ToolClient, shop: str) -> None:
    token = tools("k8s_list_pods", namespace=shop, limit=1)["continue"]
    for other in ({"namespace": "default"}, {"namespace": shop, "healthy": True}, {"namespace": shop, "label_selector": "a=b"}):
        assert tools.error("k8s_list_pods", limit=1, continue_token=token, **other)["type"] == "InvalidArguments"
    for damaged in ("x", "!!", token[:-5], "bnVsbA"):
        assert "continue_token" in tools.error("k8s_list_pods", namespace=shop, continue_token=damaged)["message"]


def test_an_expired_token_says_to_list_again(
    control_plane_factory: Callable[..., ControlPlane], tool_client: Callable[..., ToolClient]
) -> None:
    own = control_plane_factory(controllers=False, watch_cache_sizes="namespaces#0")
    for name in ("a", "b", "c"):
        own.create_namespace(name)
    tools = tool_client(own.kubeconfig)
    token = tools("k8s_list_namespaces", limit=1)["continue"]
    own.expire_history()
    error = tools.error("k8s_list_namespaces", limit=1, continue_token=token)
    assert (error["type"], error["status"]) == ("Expired", 410)
    assert "list again from the start" in error["message"]


@pytest.mark.parametrize(
    ("tool", "arguments", "type_", "words"),
    [
        ("k8s_list_resources", {"kind": "gizmos"}, "UnknownKind", "known kinds: namespaces"),
        ("k8s_get_resource", {"kind": "Gizmo", "name": "x"}, "UnknownKind", "known kinds: namespaces"),
        ("k8s_export_page", {"kind": "gizmos"}, "UnknownKind", "known kinds: namespaces"),
        ("k8s_list_resources", {"kind": "pods", "filters": {"bogus": "x"}}, "ConfigurationError", "it knows: status"),
        ("k8s_list_resources", {"kind": "pods", "filters": {"healthy": "yes"}}, "InvalidArguments", "must be a boolean"),
        ("k8s_list_pods", {"label_selector": "app in (a"}, "InvalidSelector", "as kubectl does"),
        ("k8s_list_pods", {"namespace": "../../x"}, "InvalidArguments", "not a Kubernetes name"),
        ("k8s_get_resource", {"kind": "pods", "name": "x/log"}, "InvalidArguments", "not a Kubernetes name"),
        ("k8s_get_resource", {"kind": "pods", "name": "--server=https://x.example"}, "InvalidArguments", "not a Kubernetes name"),
        ("k8s_get_resource", {"kind": "pods", "name": ".."}, "InvalidArguments", "not a Kubernetes name"),
        ("k8s_get_resource", {"kind": "pods", "name": "a%2f..%2fb"}, "InvalidArguments", "not a Kubernetes name"),
        ("k8s_get_resource", {"kind": "pods", "name": "a\r\nHost: x"}, "InvalidArguments", "not a Kubernetes name"),
        ("k8s_get_resource", {"kind": "pods", "name": "absent"}, "NotFound", 'pods "absent" not found'),
        ("k8s_list_pods", {"context": "elsewhere"}, "ConfigurationError", "known: testcluster-"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_answered_with_what_to_do(
    tools: ToolClient, tool: str, arguments: dict[str, object], type_: str, words: str
) -> None:
    error = tools.error(tool, arguments)
    assert error["type"] == type_
    assert words in error["message"]


def test_a_forbidden_list_names_what_was_tried_and_the_reason(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], fresh_namespace: str
) -> None:
    user = control_plane.users.create(fresh_namespace, "reader", rules=[rule("pods", verbs=("get", "list"))])
    tools = tool_client(user.kubeconfig)
    assert tools("k8s_list_pods", namespace=fresh_namespace)["rows"] == []
    error = tools.error("k8s_list_pods")
    assert (error["type"], error["status"], error["reason"]) == ("NotPermitted", 403, "Forbidden")
    assert "cannot list pods" in error["message"]
    assert control_plane.context in error["message"]
    facts = tools("k8s_get_cluster_info", check_permissions=True)
    assert facts["cluster_uid"] is None
    assert facts["counts"] == {"namespaces": None, "nodes": None, "pods": None}
    assert facts["may_list"]["pods"] is False


def test_a_bad_token_is_unauthorized(control_plane: ControlPlane, tool_client: Callable[..., ToolClient]) -> None:
    error = tool_client(control_plane.users.with_bad_token().kubeconfig).error("k8s_list_nodes")
    assert (error["type"], error["status"]) == ("Unauthorized", 401)
    assert "not-a-token" not in error["message"]


def test_cluster_info_names_the_cluster_by_the_uid_of_kube_system(tools: ToolClient, control_plane: ControlPlane) -> None:
    facts = tools("k8s_get_cluster_info", check_permissions=True)
    assert facts["cluster_uid"] == control_plane.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    assert facts["server_version"] == control_plane.api.get("/version")["gitVersion"]
    assert facts["api_server"] == control_plane.server
    assert facts["counts"]["nodes"] == 2
    assert facts["may_list"] == dict.fromkeys(KINDS, True)


def test_reading_changes_nothing_and_says_who_it_is(tools: ToolClient, control_plane: ControlPlane, shop: str) -> None:
    mark = control_plane.audit.mark()
    tools("k8s_list_pods", namespace=shop)
    tools("k8s_get_cluster_info", check_permissions=True)
    tools.result("k8s_export_page", kind="pods")
    requests = control_plane.audit.requests(mark, user_agent="k8s-mcp/")
    assert requests
    assert not [request for request in requests if request.mutating]


def test_an_unfiltered_page_costs_one_request_of_just_that_size(
    tools: ToolClient, control_plane: ControlPlane, shop: str
) -> None:
    mark = control_plane.audit.mark()
    tools("k8s_list_pods", namespace=shop, limit=4)
    (request,) = control_plane.audit.requests(mark, user_agent="k8s-mcp/")
    assert request.uri == f"/api/v1/namespaces/{shop}/pods?limit=4"


def test_contexts_of_several_files_are_listed_and_each_can_be_asked(
    control_plane: ControlPlane, tool_client: Callable[..., ToolClient], tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.write_text(control_plane.kubeconfig.read_text().replace(control_plane.context, "second"))
    tools = tool_client(f"{control_plane.kubeconfig}:{second}:{tmp_path / 'missing'}")
    contexts = tools("k8s_list_contexts")["contexts"]
    assert [(entry["name"], entry["current"]) for entry in contexts] == [(control_plane.context, True), ("second", False)]
    assert tools("k8s_list_nodes", context="second")["envelope"]["cluster"] == "second"
    assert tools("k8s_list_nodes")["envelope"]["cluster"] == control_plane.context
    only = tool_client(f"{control_plane.kubeconfig}:{second}", allowed=("second",))
    assert only("k8s_list_nodes")["envelope"]["cluster"] == "second"
    assert "not allowed" in only.error("k8s_list_nodes", context=control_plane.context)["message"]
