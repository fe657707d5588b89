"""Errors of the API: what the API server quotes of objects is left out, what is wrong and where stays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configuration.errors import ClusterError
from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from mcp_tools.api_errors import error_of
from mcp_tools.error_answers import MESSAGE_LENGTH, described, raised
from mcp_tools.quoted_values import LEFT_OUT, without_values
from mcp_tools.redaction import Redactor
from scripted_api import scripted_api
from server_fixtures import KEY, ToolClient, text_of

CANARY = "purpleelephant"
GROUP = "errors.example.com"
TOOL = "k8s_patch_resource"


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("api-errors")
    container = {"name": "app", "image": "example/app:1", "args": ["--greeting", CANARY]}
    container["env"] = [{"name": "GREETING", "value": CANARY}]
    control_plane.pods.create(name, "web", None, spec={"containers": [container]})
    create_job(control_plane, name, "job", container | {"command": ["mysql", f"-p{CANARY}"]})
    yield name
    control_plane.delete_namespace(name)


def create_job(control_plane: ControlPlane, namespace: str, name: str, container: dict[str, Any]) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {"metadata": {"name": name}, "spec": {"suspend": True, "template": template}}
    control_plane.api.post(f"/apis/batch/v1/namespaces/{namespace}/jobs", job)


def of_containers(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", **fields}]}}


IMMUTABLE = {
    "env of a pod": ("pods", "web", of_containers(env=[{"name": "GREETING", "value": "x"}]), "may not change fields other than"),
    "another env of a pod": ("pods", "web", of_containers(env=[{"name": "OTHER", "value": "x"}]), "may not change fields"),
    "args of a pod": ("pods", "web", of_containers(args=["--greeting", "x"]), "spec: Forbidden: pod updates may not change"),
    "template of a job": ("jobs", "job", {"spec": {"template": of_containers(image="y")}}, "field is immutable"),
}


@pytest.mark.parametrize(("kind", "name", "patch", "words"), IMMUTABLE.values(), ids=list(IMMUTABLE))
def test_what_may_not_be_changed_is_named_and_not_shown(
    tools: ToolClient, place: str, kind: str, name: str, patch: dict[str, Any], words: str
) -> None:
    error = tools.error(TOOL, kind=kind, name=name, namespace=place, patch=patch, type="strategic", dry_run=True)
    assert CANARY not in error["message"]
    if "status" in error:  # else refused before it was sent, with no word of the API server's
        assert (error["status"], error["reason"]) == (422, "Invalid")
        assert words in error["message"]
        assert LEFT_OUT in error["message"]
        assert error["message"].endswith("correct the fields that are named")


def test_an_object_that_is_applied_with_force_is_not_quoted_either(tools: ToolClient, place: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, **of_containers(env=[{"name": "A", "value": "x"}])}
    error = tools.error("k8s_apply_manifest", manifest=json.dumps(pod), namespace=place, force=True, dry_run=True)
    assert CANARY not in error["message"]


def test_no_part_of_an_address_shows_wherever_an_error_is_cut(tools: ToolClient, control_plane: ControlPlane, place: str) -> None:
    """A cut in the middle of a secret leaves a half that no rule knows."""
    for padding in range(0, 1600, 400):
        container = {"name": "app", "image": "i" * (10 + padding), "command": ["psql", f"postgres://app:{CANARY}@db/shop"]}
        create_job(control_plane, place, f"padded-{padding}", container)
        patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}}
        error = tools.error(TOOL, kind="jobs", name=f"padded-{padding}", namespace=place, patch=patch, dry_run=True)
        assert CANARY[:4] not in error["message"]
        assert f"Invalid value: {LEFT_OUT}: field is immutable" in error["message"]


def test_a_wrong_value_is_answered_with_its_field_and_the_rule(tools: ToolClient, fresh_namespace: str) -> None:
    tools("k8s_create_deployment", name="web", namespace=fresh_namespace, image="example/web", replicas=0)

    def message(patch: dict[str, Any]) -> str:
        return str(
            tools.error(TOOL, kind="deployments", name="web", namespace=fresh_namespace, patch=patch, dry_run=True)["message"]
        )

    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in message({"spec": {"replicas": -1}})
    labels = message({"metadata": {"labels": {"team": "a b"}}})
    assert 'metadata.labels: Invalid value: "a b": a valid label must be' in labels
    policy = message({"spec": {"strategy": {"type": "Sometimes"}}})
    assert f"Unsupported value: {LEFT_OUT}: supported values: " in policy
    assert '"RollingUpdate"' in policy
    both = message({"spec": {"replicas": -1, "minReadySeconds": -2}})
    assert "spec.replicas: Invalid value: -1: must" in both
    assert "spec.minReadySeconds: Invalid value: -2: must" in both


@pytest.mark.parametrize(
    "text",
    [
        f'spec.x: Invalid value: "a \\"{CANARY}": should match',
        f'spec.x: Invalid value: "{CANARY}',
        f'spec.x: Invalid value: "x" and {CANARY}',
        f'spec.x: Invalid value: []string{{"a", "{CANARY}"}}: too many',
        f'spec.x: Invalid value: [["a"], ["{CANARY}"]]: too many',
        f"spec.x: Invalid value: &Selector{{Match:map[string]string{{app: {CANARY},}},}}: field is immutable",
        f'spec.x: Duplicate value: {{"a":"}}","b":"{CANARY}"}}',
        f'spec: Forbidden: no\n\xa0\xa0core.PodSpec{{\n-\xa0\t"Value": "{CANARY}",',
        f"spec: Forbidden: core.PodSpec{{Args: []string{{{CANARY!r}}}",
        f'hook denied the request: {{"args":["{CANARY}"]}} is not allowed',
        f'conflict with "a" using v1: .spec.words[="{CANARY}"]',
    ],
)
def test_whatever_form_a_quoted_value_has_it_is_left_out(text: str) -> None:
    assert CANARY not in without_values(text)
    assert LEFT_OUT[1:] in without_values(text)


@pytest.mark.parametrize(
    "text",
    [
        'pods "web" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "app")',
        "spec.tokens: Forbidden: field is immutable",
        'spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        'spec.volumes[0].name: Not found: "data"',
        'metadata.name: Invalid value: "A": must match [a-z]{1,9}',
        'Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.DB_PASSWORD',
        'admission webhook "x" denied the request: \n\nrequire-labels:\n  the label `team` is required',
        'strict decoding error: unknown field "spec.replica"',
    ],
)
def test_the_words_of_the_api_server_stay(text: str) -> None:
    assert without_values(text) == text


@pytest.mark.parametrize(
    "part", ["a", "{", "[=", '"', "Invalid value: ", 'Invalid value: "a": ', 'x{"a"} ', "\n- ", "a: Invalid value: [1]: "]
)
def test_an_error_of_a_megabyte_does_not_hold_the_server_up(part: str) -> None:
    started = time.process_time()
    without_values(part * (1_000_000 // len(part)))
    assert time.process_time() - started < 5


def test_an_error_is_redacted_before_it_is_cut_and_its_advice_stays() -> None:
    for padding in range(0, 60, 7):
        filler = "x" * (MESSAGE_LENGTH - 400 + padding)
        error = error_of(400, json.dumps({"message": f"{filler} password='{CANARY} {CANARY}' {'y ' * 400}"}).encode(), "get it")
        told = described(error, Redactor(KEY))["message"]
        assert CANARY[:4] not in told
        assert "(cut, " in told
        assert told.endswith("correct the arguments")
        assert len(told) < MESSAGE_LENGTH + 100


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("7", b"Too many requests", 7),
        ("", b'{"kind": "Status", "details": {"retryAfterSeconds": 2}}', 2),
        ("99999", b"", 3600),  # more is not believed
        ("-1", b"", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", b'{"details": {"retryAfterSeconds": "soon"}}', 0),
        ("", b'{"details": [1]}', 0),
    ],
)
def test_how_long_the_api_server_wants_to_be_left_alone_reaches_who_asked(header: str, body: bytes, seconds: float) -> None:
    error = error_of(429, body, "list pods", retry_after=header)
    told = described(error, Redactor(KEY))
    again = raised("k8s_export_page", "", told)
    assert isinstance(again, ClusterError)
    assert (error.retry_after_seconds, again.retry_after_seconds) == (seconds, seconds)
    assert ("retry_after_seconds" in told) is bool(seconds)


@pytest.mark.parametrize("value", [-1, 10_000, float("nan"), "7", None, [7]])
def test_what_no_api_server_says_of_waiting_is_not_believed_of_another_server(value: Any) -> None:
    told = {"type": "ClusterError", "message": "no", "status": 429, "retry_after_seconds": value}
    error = raised("k8s_export_page", "no", told, ours=False)
    assert isinstance(error, ClusterError)
    assert error.retry_after_seconds == 0


def test_a_retry_after_header_is_told_by_lists_counts_and_watches(tool_client: Callable[..., ToolClient], tmp_path: Path) -> None:
    with scripted_api(refused={"/api/v1/pods": (429, {"Retry-After": "7"})}) as api:
        client = tool_client(api.kubeconfig(tmp_path))
        found = [client.error("k8s_export_page", kind="pods")]
        counted = json.loads(text_of(client.result("k8s_count_objects", counts=[{"kind": "pods"}])))
        watches = [{"kind": "pods", "cursor": "1"}]
        changes = json.loads(text_of(client.result("k8s_list_changes", watches=watches, hold=False, wait_seconds=0)))
    found += [counted["results"][0]["error"], changes["results"][0]["error"]]
    assert [(error["status"], error["retry_after_seconds"]) for error in found] == [(429, 7)] * 3


def test_an_answer_nested_too_deep_is_an_error_like_any_other() -> None:
    assert isinstance(error_of(500, b'{"a":' * 100_000, "get it"), ClusterError)


@pytest.fixture
def deep(control_plane: ControlPlane, fresh_namespace: str) -> Iterator[Callable[[str, int], None]]:
    def create(name: str, levels: int) -> None:
        head = json.dumps({"apiVersion": f"{GROUP}/v1", "kind": "Well", "metadata": {"name": name}})
        text = head[:-1] + ',"spec":' + '{"a":' * levels + "1" + "}" * levels + "}"
        control_plane.kubectl("create", "--validate=false", "-n", fresh_namespace, "-f", "-", stdin=text)

    with installed(control_plane.api, definition("wells", GROUP, "Well")):
        yield create


def test_a_deep_object_is_patched_and_costs_its_neighbours_nothing(
    tools: ToolClient, fresh_namespace: str, deep: Callable[[str, int], None]
) -> None:
    deep("shallow", 1)
    deep("deep", 900)
    for name in ("shallow", "deep"):
        about = {"kind": f"wells.{GROUP}", "name": name, "namespace": fresh_namespace}
        assert tools("k8s_describe", about)["object"]["name"] == name
        tried = tools(TOOL, about, patch={"metadata": {"labels": {"a": "b"}}}, type="merge", dry_run=True)
        assert [change["path"] for change in tried["changes"]] == ["metadata.labels.a"]
