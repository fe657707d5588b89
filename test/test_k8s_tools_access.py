"""k8s_auth_can_i: one question, or everything that may be done; answered by reviews, which change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from controlplane.users import User, rule
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.tool_declaration import ToolAnswer
from server_fixtures import ToolClient, text_of

NAMESPACE = "auth-can-i"


@pytest.fixture(scope="module")
def reader(control_plane: ControlPlane) -> Iterator[User]:
    control_plane.create_namespace(NAMESPACE)
    named = rule("configmaps", verbs=("get",), groups=("",)) | {"resourceNames": ["settings"]}
    scale = rule("deployments/scale", verbs=("patch",), groups=("apps",))
    yield control_plane.users.create(
        NAMESPACE, "reader", rules=[rule("pods", "pods/log", "deployments", groups=("", "apps")), named, scale]
    )
    control_plane.delete_namespace(NAMESPACE)


@pytest.fixture
def readers_tools(reader: User, tool_client: Callable[..., ToolClient]) -> ToolClient:
    return tool_client(reader.kubeconfig, read_only=True)


@pytest.mark.parametrize(
    ("asked", "allowed", "question"),
    [
        ({"verb": "list", "resource": "pods", "namespace": NAMESPACE}, True, "list pods in namespace auth-can-i"),
        ({"verb": "list", "resource": "pods"}, False, "list pods in all namespaces"),
        ({"verb": "delete", "resource": "po", "namespace": NAMESPACE}, False, "delete pods in namespace auth-can-i"),
        ({"verb": "get", "resource": "deploy", "namespace": NAMESPACE}, True, "get deployments.apps in namespace auth-can-i"),
        (
            {"verb": "patch", "resource": "deployments.apps", "subresource": "scale", "namespace": NAMESPACE},
            True,
            "patch deployments.apps/scale in namespace auth-can-i",
        ),
        ({"verb": "get", "resource": "pods/log", "namespace": NAMESPACE}, True, "get pods/log in namespace auth-can-i"),
        ({"verb": "get", "resource": "po/exec", "namespace": NAMESPACE}, False, "get pods/exec in namespace auth-can-i"),
        ({"verb": "get", "resource": "pods/log", "name": "web", "namespace": NAMESPACE}, True, "get pods/log web in"),
        (
            {"verb": "patch", "resource": "deployments.apps/scale", "namespace": NAMESPACE},
            True,
            "patch deployments.apps/scale in namespace auth-can-i",
        ),
        (
            {"verb": "patch", "resource": "deployments/scale.apps", "namespace": NAMESPACE},
            True,
            "patch deployments.apps/scale in",
        ),
        ({"verb": "patch", "resource": "deploy/scale", "subresource": "scale", "namespace": NAMESPACE}, True, "patch deploy"),
        ({"verb": "patch", "resource": "*/scale", "namespace": NAMESPACE}, False, "patch */scale in namespace"),
        ({"verb": "get", "resource": "cm", "namespace": NAMESPACE, "name": "settings"}, True, "get configmaps settings in"),
        ({"verb": "get", "resource": "cm", "namespace": NAMESPACE, "name": "other"}, False, "get configmaps other in"),
        ({"verb": "get", "resource": "nodes"}, False, "get nodes"),
        ({"verb": "*", "resource": "*"}, False, "* * in all namespaces"),
        ({"verb": "get", "resource": "/healthz"}, True, "get /healthz"),
        ({"verb": "get", "resource": "/metrics"}, False, "get /metrics"),
        ({"verb": "create", "resource": "localsubjectaccessreviews.authorization.k8s.io"}, False, "create localsubject"),
    ],
)
def test_one_question_is_answered_by_the_api_server(
    readers_tools: ToolClient, asked: dict[str, Any], allowed: bool, question: str
) -> None:
    answer = readers_tools("k8s_auth_can_i", asked)
    assert answer["allowed"] is allowed
    assert answer["question"].startswith(question)
    assert answer["complete"]
    assert text_of(readers_tools.result("k8s_auth_can_i", asked)).startswith("yes: " if allowed else "no: ")


def test_an_administrator_may_do_everything(tools: ToolClient) -> None:
    assert tools("k8s_auth_can_i", verb="*", resource="*")["allowed"]
    assert tools("k8s_auth_can_i")["rules"][0] == {"verbs": ["*"], "resources": ["*", "*.*"], "names": []}


def test_without_a_verb_everything_that_may_be_done_in_a_namespace_is_listed(readers_tools: ToolClient) -> None:
    answer = readers_tools("k8s_auth_can_i", namespace=NAMESPACE)
    rules = answer["rules"]
    assert {"verbs": ["get", "list", "watch"], "resources": ["deployments", "deployments.apps", "pods", "pods.apps",
            "pods/log", "pods/log.apps"], "names": []} in rules  # fmt: skip
    assert {"verbs": ["get"], "resources": ["configmaps"], "names": ["settings"]} in rules
    assert {"verbs": ["patch"], "resources": ["deployments/scale.apps"], "names": []} in rules
    assert answer["allowed"] is None
    assert answer["shown"] == answer["total"] == len(rules)
    assert answer["complete"]
    assert any("/healthz" in rule["resources"] for rule in rules)


def test_a_list_over_the_budget_says_what_it_left_out(
    control_plane: ControlPlane, reader: User, tool_client: Callable[..., ToolClient]
) -> None:
    many = [rule("configmaps", verbs=("get",), groups=("",)) | {"resourceNames": [f"settings-{n}"]} for n in range(60)]
    asker = control_plane.users.create(NAMESPACE, "of-many-rules", rules=[rule("pods"), *many])
    result = tool_client(asker.kubeconfig, read_only=True).result("k8s_auth_can_i", namespace=NAMESPACE, max_tokens=1000)
    answer = result.structured_content
    assert answer is not None
    assert answer["shown"] < answer["total"]
    assert f"{answer['shown']} of {answer['total']} rules shown" in answer["note"]
    assert answer_tokens(ToolAnswer(text_of(result), answer)) <= 1000


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"verb": "get"}, "resource is missing"),
        ({"resource": "pods"}, "verb is missing"),
        ({"verb": "get;rm", "resource": "pods"}, "verb 'get;rm' is none"),
        ({"verb": "get", "resource": "pods", "subresource": "../exec"}, "subresource '../exec' is none"),
        ({"verb": "get", "resource": "pods/log", "subresource": "exec"}, "contradict each other"),
        ({"verb": "get", "resource": "pods/"}, "no subresource after its slash"),
        ({"verb": "get", "resource": "pods/../exec"}, "no subresource after its slash"),
        ({"verb": "get", "resource": "pods/log/x"}, "no subresource after its slash"),
        ({"verb": "get", "resource": "pods", "name": "../x"}, "is not a Kubernetes name"),
        ({"verb": "get", "resource": "pods", "namespace": "a/b"}, "is not a Kubernetes name"),
        ({"verb": "get", "resource": "/x\r\ny"}, "a URL path has"),
        ({"verb": "get", "resource": "/healthz", "namespace": "default"}, "neither namespace nor name"),
        ({"verb": "get", "resource": "nothings"}, "unknown kind 'nothings'"),
    ],
)
def test_a_question_that_makes_no_sense_is_not_asked(tools: ToolClient, asked: dict[str, Any], words: str) -> None:
    assert words in tools.error("k8s_auth_can_i", asked)["message"]


def test_asking_changes_nothing(control_plane: ControlPlane, readers_tools: ToolClient, fresh_namespace: str) -> None:
    mark = control_plane.audit.mark()
    readers_tools("k8s_auth_can_i", verb="delete", resource="pods", namespace=fresh_namespace)
    readers_tools("k8s_auth_can_i", namespace=fresh_namespace)
    ours = [one for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if one.verb not in ("get", "list", "watch")]
    assert {(one.verb, one.resource) for one in ours} == {
        ("create", "selfsubjectaccessreviews"),
        ("create", "selfsubjectrulesreviews"),
    }
