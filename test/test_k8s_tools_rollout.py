"""k8s_scale, k8s_rollout and k8s_rollout_status on the real API server and its controllers."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.api_client import Object
from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from mcp_tools.answer_budget import answer_tokens
from mcp_tools.rollouts import progress
from mcp_tools.tool_declaration import ToolAnswer
from server_fixtures import ToolClient, text_of

SCALE, ROLLOUT, STATUS = "k8s_scale", "k8s_rollout", "k8s_rollout_status"
PASSWORD = {"name": "DB_PASSWORD", "value": "cnry-rollout-secret"}


def workload(control_plane: ControlPlane, namespace: str, resource: str = "deployments", **spec: Any) -> str:
    """Creates `web` with image :1 and a secret in its environment; returns its path."""
    kind = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}[resource]
    container = {"name": "app", "image": "example/web:1", "env": [PASSWORD]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    whole = {"selector": {"matchLabels": {"app": "web"}}, "template": template} | spec
    collection = f"/apis/apps/v1/namespaces/{namespace}/{resource}"
    control_plane.api.post(collection, {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": whole})
    return f"{collection}/web"


def set_image(control_plane: ControlPlane, path: str, image: str) -> None:
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}
    control_plane.api.patch(path, patch, "strategic")


def container_of(control_plane: ControlPlane, path: str) -> Object:
    container: Object = control_plane.api.get(path)["spec"]["template"]["spec"]["containers"][0]
    return container


def real_writes(control_plane: ControlPlane, mark: int) -> list[str]:
    return [
        f"{one.verb} {one.uri.partition('?')[0]}"
        for one in control_plane.audit.requests(mark, user_agent="k8s-mcp/")
        if one.mutating
    ]


def test_scaling_says_from_what_to_what_and_a_dry_run_changes_nothing(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = workload(control_plane, fresh_namespace, replicas=1)
    mark = control_plane.audit.mark()
    arguments: dict[str, Any] = {"kind": "deploy", "name": "web", "namespace": fresh_namespace, "replicas": 3}
    tried = tools(SCALE, arguments, dry_run=True)
    assert real_writes(control_plane, mark) == []
    assert tried["changes"] == [{"path": "spec.replicas", "old": 1, "new": 3}]
    done = tools(SCALE, arguments, current_replicas=1)
    assert "1 -> 3 replicas" in done["note"]
    assert control_plane.api.get(path)["spec"]["replicas"] == 3
    assert [uri.rsplit("/", 1)[1] for uri in real_writes(control_plane, mark)] == ["scale"]
    assert "has 3 replicas already" in tools(SCALE, arguments)["note"]


def test_a_change_of_one_field_costs_few_tokens(tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str) -> None:
    workload(control_plane, fresh_namespace, replicas=1)
    result = tools.result(SCALE, kind="deployments", name="web", namespace=fresh_namespace, replicas=3)
    answer = result.structured_content
    assert (answer["before"], answer["after"], answer["object"]["replicas"]) == (None, None, 1)
    assert [(one["path"], one["old"], one["new"]) for one in answer["changes"]] == [("spec.replicas", 1, 3)]
    assert answer_tokens(ToolAnswer(text_of(result), answer)) < 400


@pytest.mark.parametrize(
    "precondition", [{"current_replicas": 2}, {"uid": "00000000-0000-0000-0000-000000000000"}, {"resource_version": "1"}]
)
def test_scaling_holds_only_while_its_preconditions_do(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, precondition: dict[str, Any]
) -> None:
    path = workload(control_plane, fresh_namespace, replicas=1)
    error = tools.error(SCALE, kind="deployments", name="web", namespace=fresh_namespace, replicas=5, **precondition)
    assert (error["type"], error["status"]) == ("Conflict", 409)
    assert control_plane.api.get(path)["spec"]["replicas"] == 1


def test_scaling_warns_of_an_autoscaler_and_says_what_cannot_be_scaled(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    workload(control_plane, fresh_namespace, replicas=1)
    aim = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {"metadata": {"name": "auto"}, "spec": {"scaleTargetRef": aim, "minReplicas": 1, "maxReplicas": 9}}
    control_plane.api.post(f"/apis/autoscaling/v2/namespaces/{fresh_namespace}/horizontalpodautoscalers", body)
    done = tools(SCALE, kind="deployments", name="web", namespace=fresh_namespace, replicas=2, dry_run=True)
    assert "HorizontalPodAutoscaler auto scales it between 1 and 9" in " ".join(done["warnings"])
    error = tools.error(SCALE, kind="cm", name="kube-root-ca.crt", namespace=fresh_namespace, replicas=2)
    assert "no scale subresource" in error["message"]


def test_a_rollout_is_followed_until_it_is_done_and_its_history_is_told(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = workload(control_plane, fresh_namespace, replicas=2)
    first = tools(STATUS, name="web", namespace=fresh_namespace, wait_seconds=20)
    assert (first["done"], first["message"]) == (True, 'deployment "web" successfully rolled out')
    set_image(control_plane, path, "example/web:2")
    second = tools(STATUS, name="web", namespace=fresh_namespace, wait_seconds=20)
    assert second["done"]
    assert [(one["revision"], one["images"]) for one in second["revisions"]] == [(2, ["example/web:2"]), (1, ["example/web:1"])]


def test_waiting_for_a_rollout_ends_with_its_time_and_says_what_is_missing(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = workload(control_plane, fresh_namespace, replicas=2, paused=True)
    answer = tools(STATUS, name="web", namespace=fresh_namespace, wait_seconds=0.6)
    assert not answer["done"]
    assert "0 out of 2 new replicas have been updated" in answer["message"]
    assert "paused" in answer["message"]
    assert control_plane.api.get(path)["spec"]["paused"]


@pytest.mark.parametrize("resource", ["deployments", "statefulsets", "daemonsets"])
def test_undo_puts_the_earlier_template_back_with_the_secrets_it_had(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, resource: str
) -> None:
    spec = {"deployments": {"replicas": 0}, "statefulsets": {"replicas": 0, "serviceName": "web"}}.get(resource)
    path = workload(control_plane, fresh_namespace, resource, **(spec or {}))
    arguments: dict[str, Any] = {"kind": resource, "name": "web", "namespace": fresh_namespace}
    wait_until(lambda: len(tools(STATUS, arguments)["revisions"]) == 1, "the first revision")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "example/web:2", "env": None}]}}}}
    control_plane.api.patch(path, patch, "strategic")
    wait_until(lambda: len(tools(STATUS, arguments)["revisions"]) == 2, "the second revision")
    tried = tools.result(ROLLOUT, arguments, action="undo", dry_run=True)
    assert container_of(control_plane, path)["image"] == "example/web:2"
    done = tools.result(ROLLOUT, arguments, action="undo", to_revision=1)
    assert not done.is_error, done
    assert "cnry-rollout" not in str(done) + str(tried)
    assert "to revision 1 (example/web:1)" in done.structured_content["note"]
    container = container_of(control_plane, path)
    assert (container["image"], container["env"]) == ("example/web:1", [PASSWORD])
    labels = control_plane.api.get(path)["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app": "web"}


@pytest.mark.parametrize("resource", ["deployments", "statefulsets", "daemonsets"])
def test_the_template_of_a_revision_is_told_without_its_secrets(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str, resource: str
) -> None:
    spec = {"deployments": {"replicas": 0}, "statefulsets": {"replicas": 0, "serviceName": "web"}}.get(resource)
    path = workload(control_plane, fresh_namespace, resource, **(spec or {}))
    of_web: dict[str, Any] = {"kind": resource, "name": "web", "namespace": fresh_namespace}
    wait_until(lambda: len(tools(STATUS, of_web)["revisions"]) == 1, "the first revision")
    set_image(control_plane, path, "example/web:2")
    wait_until(lambda: len(tools(STATUS, of_web)["revisions"]) == 2, "the second revision")
    for number in (1, 2):
        result = tools.result(STATUS, of_web, revision=number)
        answer = result.structured_content
        container = answer["template"]["spec"]["containers"][0]
        assert container["image"] == f"example/web:{number}"
        assert container["env"][0]["value"].startswith("‹redacted:")
        assert answer["template"]["metadata"]["labels"] == {"app": "web"}
        assert set(answer["template"]) == {"metadata", "spec"}
        assert [one["revision"] for one in answer["revisions"]] == [number]
        assert PASSWORD["value"] not in str(result)
        assert f"pod template of revision {number} of" in text_of(result)
    assert tools(STATUS, of_web, revision=1, path="spec.containers[0].image")["template"] == "example/web:1"
    error = tools.error(STATUS, of_web, revision=7)
    assert (error["type"], "has no revision 7; kept are 1, 2" in error["message"]) == ("InvalidArguments", True)


def test_a_long_template_is_cut_to_its_budget_and_a_path_gets_the_rest(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    container = {"name": "app", "image": "example/web:1", "args": [f"--feature-{n}=enabled" for n in range(900)]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    workload(control_plane, fresh_namespace, replicas=0, template=template)
    of_web: dict[str, Any] = {"name": "web", "namespace": fresh_namespace}
    wait_until(lambda: tools(STATUS, of_web)["revisions"], "the first revision")
    result = tools.result(STATUS, of_web, revision=1, max_tokens=1000)
    answer = result.structured_content
    assert answer_tokens(ToolAnswer(text_of(result), answer)) <= 1000
    assert answer["template"]["spec"]["containers"][0]["image"] == "example/web:1"
    (gone,) = answer["left_out"]
    assert gone["path"] in text_of(result)
    shown = answer["template"]["spec"]["containers"][0]["args"][: gone["shown"]]
    assert shown + tools(STATUS, of_web, revision=1, path=gone["path"], max_tokens=100_000)["template"] == container["args"]
    assert "give revision too" in tools.error(STATUS, of_web, path="spec")["message"]


def test_an_undo_that_cannot_be_is_refused_with_what_there_is(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    workload(control_plane, fresh_namespace, replicas=0)
    of_web: dict[str, Any] = {"name": "web", "namespace": fresh_namespace}
    wait_until(lambda: tools(STATUS, of_web)["revisions"], "the first revision")
    assert "no earlier revision" in tools.error(ROLLOUT, of_web, action="undo")["message"]
    assert "has no revision 7; kept are 1" in tools.error(ROLLOUT, of_web, action="undo", to_revision=7)["message"]
    assert "already" in tools.error(ROLLOUT, of_web, action="undo", to_revision=1)["message"]


def test_restart_marks_the_template_as_kubectl_does_and_paused_ones_are_refused(
    tools: ToolClient, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = workload(control_plane, fresh_namespace, replicas=0)
    of_web: dict[str, Any] = {"name": "web", "namespace": fresh_namespace}
    uid = control_plane.api.get(path)["metadata"]["uid"]
    tools(ROLLOUT, of_web, action="restart", uid=uid)
    annotations = control_plane.api.get(path)["spec"]["template"]["metadata"]["annotations"]
    assert list(annotations) == ["kubectl.kubernetes.io/restartedAt"]
    paused = tools(ROLLOUT, of_web, action="pause")
    assert paused["changes"] == [{"path": "spec.paused", "old": None, "new": True}]
    assert control_plane.api.get(path)["spec"]["paused"] is True
    again = tools(ROLLOUT, of_web, action="pause")
    assert (again["changes"], again["note"].split(";")[0]) == ([], f"Deployment {fresh_namespace}/web is paused already")
    assert "resume comes first" in tools.error(ROLLOUT, of_web, action="restart")["message"]
    tools(ROLLOUT, of_web, action="resume")
    assert not control_plane.api.get(path)["spec"].get("paused")
    error = tools.error(ROLLOUT, of_web, action="restart", uid="00000000-0000-0000-0000-000000000000")
    assert (error["type"], error["status"]) == ("Conflict", 409)
    assert "only deployments" in tools.error(ROLLOUT, of_web, kind="statefulsets", action="pause")["message"]
    assert "has no rollouts" in tools.error(ROLLOUT, of_web, kind="pods", action="restart")["message"]


def manifest(spec: Object, status: Object, *, generation: int = 1) -> Object:
    return {"metadata": {"name": "web", "generation": generation}, "spec": spec, "status": {"observedGeneration": 1} | status}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "done", "words"),
    [
        ("deployments", {"replicas": 3}, {"replicas": 3, "updatedReplicas": 1}, False, "1 out of 3 new replicas"),
        ("deployments", {"replicas": 3}, {"replicas": 4, "updatedReplicas": 3}, False, "1 old replicas are pending termination"),
        ("deployments", {"replicas": 3}, {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}, False, "2 of 3 updated"),
        ("deployments", {}, {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}, False, "deadline"),
        ("daemonsets", {}, {"desiredNumberScheduled": 3, "updatedNumberScheduled": 1}, False, "1 out of 3 new pods"),
        ("statefulsets", {"replicas": 3}, {"readyReplicas": 1}, False, "Waiting for 2 pods to be ready"),
        (
            "statefulsets",
            {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {"readyReplicas": 3, "updatedReplicas": 1},
            False,
            "partitioned roll out to finish: 1 out of 2 new pods",
        ),
        (
            "statefulsets",
            {"replicas": 3},
            {"readyReplicas": 3, "updateRevision": "b", "currentRevision": "a"},
            False,
            "revision b",
        ),
        (
            "statefulsets",
            {"replicas": 3},
            {"readyReplicas": 3, "currentReplicas": 3, "updateRevision": "a", "currentRevision": "a"},
            True,
            "3 pods at revision a",
        ),
    ],
)
def test_progress_is_told_in_kubectls_words(kind: str, spec: Object, status: Object, done: bool, words: str) -> None:
    found = progress(kind, manifest(spec, status))
    assert (found.done, words in found.words) == (done, True), found
    assert not progress(kind, manifest(spec, status, generation=2)).done
