"""Where an API server's refusal would tell a right guess from a wrong one, both are refused before they are sent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools.comparing_refusals import Item, _owns
from server_fixtures import ToolClient

PATCH, APPLY = "k8s_patch_resource", "k8s_apply_manifest"
RIGHT, WRONG = "cnry1234", "cnry5678"
OTHERS = "fieldManager=operator-of-theirs"


@pytest.fixture
def held(control_plane: ControlPlane, fresh_namespace: str) -> str:
    """A namespace with objects of another manager that hold RIGHT; `fixed` ones cannot be changed."""
    core = f"/api/v1/namespaces/{fresh_namespace}"
    batch = f"/apis/batch/v1/namespaces/{fresh_namespace}"
    for name, immutable in (("open", False), ("fixed", True)):
        meta = {"metadata": {"name": name}, "immutable": immutable}
        data = {"db_password": RIGHT, "level": "info"}
        control_plane.api.post(f"{core}/configmaps?{OTHERS}", {**meta, "data": data})
        control_plane.api.post(f"{core}/secrets?{OTHERS}", {**meta, "stringData": {"password": RIGHT}})
    container = {
        "name": "app",
        "image": "example/web:1",
        "args": ["--token", RIGHT],
        "env": [{"name": "GREETING", "value": RIGHT}],
    }
    control_plane.pods.create(fresh_namespace, "held", spec={"containers": [container]})
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    control_plane.api.post(
        f"{batch}/jobs?{OTHERS}", {"metadata": {"name": "held"}, "spec": {"suspend": True, "template": template}}
    )
    return fresh_namespace


def proposal(how: str, namespace: str, guess: str) -> tuple[str, dict[str, Any]]:
    """Tool and arguments of a dry run with a guess."""
    packed = base64.b64encode(guess.encode()).decode()
    env = {"containers": [{"name": "app", "env": [{"name": "GREETING", "value": guess}]}]}
    args = {"containers": [{"name": "app", "args": ["--token", guess]}]}

    def patch(kind: str, name: str, patch: Any, type_: str = "strategic") -> tuple[str, dict[str, Any]]:
        return PATCH, {"kind": kind, "name": name, "namespace": namespace, "patch": patch, "type": type_, "dry_run": True}

    def apply(version: str, kind: str, name: str, force: bool, **fields: Any) -> tuple[str, dict[str, Any]]:
        document = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **fields}
        return APPLY, {"manifest": json.dumps(document), "force": force, "dry_run": True}

    at = "/spec/containers/0/env/0"
    return {
        "immutable ConfigMap": lambda: patch("configmaps", "fixed", {"data": {"db_password": guess}}),
        "immutable ConfigMap, json": lambda: patch(
            "configmaps", "fixed", [{"op": "replace", "path": "/data", "value": {"db_password": guess, "level": "info"}}], "json"
        ),
        "immutable ConfigMap, applied": lambda: apply("v1", "ConfigMap", "fixed", True, data={"db_password": guess}),
        "immutable Secret": lambda: patch("secrets", "fixed", {"stringData": {"password": guess}}),
        "immutable Secret, data": lambda: patch("secrets", "fixed", {"data": {"password": packed}}, "merge"),
        "immutable Secret, applied": lambda: apply("v1", "Secret", "fixed", True, data={"password": packed}),
        "Pod env": lambda: patch("pods", "held", {"spec": env}),
        "Pod args": lambda: patch("pods", "held", {"spec": args}),
        "Pod env, json": lambda: patch("pods", "held", [{"op": "replace", "path": f"{at}/value", "value": guess}], "json"),
        "Pod env, removed and added": lambda: patch(
            "pods",
            "held",
            [{"op": "remove", "path": at}, {"op": "add", "path": at, "value": {"name": "GREETING", "value": guess}}],
            "json",
        ),
        "Pod env, applied": lambda: apply("v1", "Pod", "held", True, spec=env),
        "Job env": lambda: patch("jobs", "held", {"spec": {"template": {"spec": env}}}),
        "Job args": lambda: patch("jobs", "held", {"spec": {"template": {"spec": args}}}),
        "ConfigMap of others": lambda: apply("v1", "ConfigMap", "open", False, data={"db_password": guess}),
        "Secret of others": lambda: apply("v1", "Secret", "open", False, data={"password": packed}),
    }[how]()


FIXED = [
    "immutable ConfigMap", "immutable ConfigMap, json", "immutable ConfigMap, applied", "immutable Secret",
    "immutable Secret, data", "immutable Secret, applied", "Pod env", "Pod args", "Pod env, json", "Pod env, removed and added",
    "Pod env, applied", "Job env", "Job args",
]  # fmt: skip


@pytest.mark.parametrize("how", FIXED)
def test_a_guess_at_what_cannot_be_changed_is_refused_right_or_wrong(how: str, held: str, tools: ToolClient) -> None:
    errors = []
    for guess in (RIGHT, WRONG):
        tool, arguments = proposal(how, held, guess)
        errors.append(tools.error(tool, arguments))
    assert errors[0] == errors[1]
    assert errors[0]["type"] == "InvalidArguments"
    assert "nothing was sent" in errors[0]["message"]
    assert RIGHT not in repr(errors)


@pytest.mark.parametrize("how", ["ConfigMap of others", "Secret of others"])
def test_a_guess_at_what_another_manager_owns_is_a_conflict_right_or_wrong(how: str, held: str, tools: ToolClient) -> None:
    errors = []
    for guess in (RIGHT, WRONG):
        tool, arguments = proposal(how, held, guess)
        errors.append(tools.error(tool, arguments))
    assert errors[0] == errors[1]
    assert (errors[0]["type"], errors[0]["status"]) == ("Conflict", 409)
    assert all(word in errors[0]["message"] for word in ("nothing was sent", "operator-of-theirs", "force=true", "password"))
    tool, arguments = proposal(how, held, RIGHT)
    assert tools(tool, arguments | {"force": True})["changes"], "taking over is no comparison"


def test_variables_of_another_managers_workload_are_a_conflict_right_or_wrong(
    fresh_namespace: str, tools: ToolClient, control_plane: ControlPlane
) -> None:
    container = {"name": "app", "image": "example/web:1", "env": [{"name": "GREETING", "value": RIGHT}]}
    template = {"metadata": {"labels": {"app": "held"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "held"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments?{OTHERS}"
    control_plane.api.post(path, {"metadata": {"name": "held"}, "spec": spec})
    errors = []
    for guess in (RIGHT, WRONG):
        env = {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "GREETING", "value": guess}]}]}}}
        document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "held"}, "spec": env}
        errors.append(tools.error(APPLY, manifest=json.dumps(document), namespace=fresh_namespace, dry_run=True))
    assert errors[0] == errors[1]
    assert "spec.template.spec.containers.app.env.GREETING.value" in errors[0]["message"]


@pytest.mark.parametrize("payload", ["data", "stringData"])
def test_a_secret_is_applied_and_applied_again_by_the_manager_that_owns_it(
    payload: str, fresh_namespace: str, tools: ToolClient, control_plane: ControlPlane
) -> None:
    for value in ("cnry-first", "cnry-second", "cnry-second"):
        said = value if payload == "stringData" else base64.b64encode(value.encode()).decode()
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}, payload: {"password": said}}
        tools(APPLY, manifest=json.dumps(document), namespace=fresh_namespace)
        stored = control_plane.api.get(f"/api/v1/namespaces/{fresh_namespace}/secrets/own")["data"]["password"]
        assert base64.b64decode(stored).decode() == value


def test_what_says_nothing_of_a_hidden_value_goes_through(held: str, tools: ToolClient) -> None:
    label = {"metadata": {"labels": {"a": "b"}}}
    image = {"spec": {"containers": [{"name": "app", "image": "example/web:2"}]}}
    for kind, name, patch in (("configmaps", "fixed", label), ("secrets", "fixed", label), ("pods", "held", image)):
        assert tools(PATCH, kind=kind, name=name, namespace=held, patch=patch, dry_run=True)["changes"], kind
    steps = [{"op": "replace", "path": "/spec/containers/0/image", "value": "example/web:2"}]
    assert tools(PATCH, kind="pods", name="held", namespace=held, type="json", patch=steps, dry_run=True)["changes"]
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "open", "namespace": held}, "data": {"mode": "new"}}
    assert tools(APPLY, manifest=json.dumps(document), dry_run=True)["changes"]
    readable = document | {"data": {"level": "debug"}}
    assert "Apply failed with" in tools.error(APPLY, manifest=json.dumps(readable), dry_run=True)["message"]


@pytest.mark.parametrize(
    ("fields", "owned"),
    [
        ({"f:env": {'k:{"name":"A"}': {".": {}, "f:value": {}}}}, True),
        ({"f:env": {'k:{"name":"B"}': {".": {}, "f:value": {}}}}, False),
        ({"f:env": {'k:{"name":"A"}': {".": {}, "f:valueFrom": {}}}}, False),
        ({"f:env": {}}, True),
        ({"f:env": {"i:0": {}}}, True),
        ({"f:args": {}}, False),
        (None, False),
    ],
)
def test_who_owns_a_place_is_read_from_managed_fields(fields: Any, owned: bool) -> None:
    assert _owns(fields, ("env", Item(0, {"name": "A", "value": "x"}), "value")) is owned


def test_a_json_patch_that_cannot_be_followed_is_taken_to_name_all_that_is_fixed(held: str, tools: ToolClient) -> None:
    """An API server counts negative indexes from the end."""
    errors = []
    for guess in (RIGHT, WRONG):
        steps = [{"op": "replace", "path": "/spec/containers/-1/env/0/value", "value": guess}]
        errors.append(tools.error(PATCH, kind="pods", name="held", namespace=held, type="json", patch=steps, dry_run=True))
    assert errors[0] == errors[1]
    assert errors[0]["type"] == "InvalidArguments"
