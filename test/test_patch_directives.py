"""Directives of strategic patches: those that look for a value are refused, right guess or wrong; the others work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools.k8s_tools.patch import _directives
from server_fixtures import ToolClient

PATCH = "k8s_patch_resource"
RIGHT, WRONG = "cnry1234", "cnry5678"
LISTS = ["args", "command"]
KINDS = ["deployments", "jobs", "pods"]


@pytest.fixture
def held(control_plane: ControlPlane, fresh_namespace: str) -> Iterator[str]:
    """A namespace with a Deployment, a Job and a Pod called held, whose container is started with RIGHT."""
    words = ["serve", "--token", RIGHT]
    env = [{"name": "A", "value": RIGHT}, {"name": "B", "value": "words"}]
    container = {"name": "app", "image": "example/web:1", "args": words, "command": words, "env": env}
    control_plane.pods.create(fresh_namespace, "held", spec={"containers": [container]})
    labels = {"labels": {"app": "held"}}
    deployment = {
        "replicas": 0,
        "selector": {"matchLabels": labels["labels"]},
        "template": {"metadata": labels, "spec": {"containers": [container]}},
    }
    job = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    for group, kind, spec in (("apps", "deployments", deployment), ("batch", "jobs", job)):
        path = f"/apis/{group}/v1/namespaces/{fresh_namespace}/{kind}"
        control_plane.api.post(path, {"metadata": {"name": "held", "finalizers": ["example.com/kept"]}, "spec": spec})
    yield fresh_namespace
    for group, kind in (("apps", "deployments"), ("batch", "jobs")):
        control_plane.api.patch(f"/apis/{group}/v1/namespaces/{fresh_namespace}/{kind}/held", {"metadata": {"finalizers": []}})


def patch_of(kind: str, **container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "app"} | container]}
    return {"spec": spec if kind == "pods" else {"template": {"spec": spec}}}


def guesses(name: str, list_: str, guess: str) -> dict[str, Any]:
    return {f"{name}/{list_}": [guess] if name == "$deleteFromPrimitiveList" else ["serve", guess, "--token"]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("list_", LISTS)
@pytest.mark.parametrize("name", ["$deleteFromPrimitiveList", "$setElementOrder"])
def test_a_directive_that_looks_for_a_value_is_refused_right_guess_or_wrong(
    name: str, list_: str, kind: str, held: str, tools: ToolClient
) -> None:
    errors = []
    for guess in (RIGHT, WRONG):
        patch = patch_of(kind, **guesses(name, list_, guess))
        errors.append(tools.error(PATCH, kind=kind, name="held", namespace=held, patch=patch, dry_run=True))
    assert errors[0] == errors[1]
    assert errors[0]["type"] == "InvalidArguments"
    assert all(words in errors[0]["message"] for words in ("nothing was sent", f"{name}/{list_}", "type=json", "op: replace"))


@pytest.mark.parametrize("name", ["$deleteFromPrimitiveList", "$setElementOrder"])
def test_the_api_server_itself_would_tell_one_guess_from_the_other(name: str, held: str, control_plane: ControlPlane) -> None:
    """What the refusal is for."""
    path = f"/apis/apps/v1/namespaces/{held}/deployments/held"
    words = []
    for guess in (RIGHT, WRONG):
        patch = patch_of("deployments", **guesses(name, "args", guess))
        after = control_plane.api.patch(f"{path}?dryRun=All", patch, "strategic")
        words.append(after["spec"]["template"]["spec"]["containers"][0]["args"])
    assert words[0] != words[1]


def test_they_are_refused_wherever_they_stand_and_however_they_are_written() -> None:
    patch = {
        "$setElementOrder/a": [],
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]},
        "spec": [{"x": [[{"$deleteFromPrimitiveList": 1}]]}, {"$deleteFromPrimitiveListX/args": []}, {"$later": 1}],
    }
    assert list(_directives(patch, "patch")) == [
        "patch.$setElementOrder/a",
        "patch.metadata.$deleteFromPrimitiveList/finalizers",
        "patch.spec.0.x.0.0.$deleteFromPrimitiveList",
        "patch.spec.1.$deleteFromPrimitiveListX/args",
        "patch.spec.2.$later",
    ]


def test_what_the_refusal_says_to_write_instead_works(held: str, tools: ToolClient) -> None:
    named = {"kind": "deployments", "name": "held", "namespace": held, "dry_run": True}
    steps: list[Any] = [{"op": "remove", "path": "/metadata/finalizers/0"}]
    assert tools(PATCH, named | {"type": "json", "patch": steps})["changes"]
    assert tools(PATCH, named | {"type": "merge", "patch": {"metadata": {"finalizers": []}}})["changes"]
    shown = []
    for guess in (RIGHT, WRONG):
        steps = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["serve", "--token", guess]}]
        answer = tools(PATCH, named | {"type": "json", "patch": steps})
        shown.append([change["path"] for change in answer["changes"]])
    assert shown[0] == shown[1] != []


def test_directives_about_names_and_fields_work_and_tell_nothing_of_values(held: str, tools: ToolClient) -> None:
    named = {"kind": "deployments", "name": "held", "namespace": held, "dry_run": True}
    gone = tools(PATCH, named, patch=patch_of("deployments", env=[{"name": "B", "$patch": "delete"}]))
    assert [change["new"] for change in gone["changes"]] == [None]
    strategy = {"$retainKeys": ["type"], "type": "Recreate"}
    assert tools(PATCH, named, patch={"spec": {"strategy": strategy}})["changes"]
    for env in (
        lambda guess: [{"$patch": "replace"}, {"name": "A", "value": guess}],
        lambda guess: [{"name": "A", "value": guess, "$patch": "replace"}],
        lambda guess: [{"name": "A", "value": guess, "$patch": "delete"}],
        lambda guess: [{"name": "A", "value": guess, "$retainKeys": ["name", "value"]}],
        lambda guess: [{"$patch": "delete", "name": guess}],
    ):
        shown = []
        for guess in (RIGHT, WRONG):
            answer = tools(PATCH, named, patch=patch_of("deployments", env=env(guess)))
            shown.append((answer["note"], [(change["path"], change["new"] is None) for change in answer["changes"]]))
        assert shown[0] == shown[1], env(WRONG)
