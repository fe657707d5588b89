"""Server-side apply adds to a list that is a set only what it has not: that tells nobody whether a guess is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.control_plane import ControlPlane
from custom_resources import definition, installed
from server_fixtures import ToolClient

APPLY, PATCH = "k8s_apply_manifest", "k8s_patch_resource"
RIGHT, WRONG = "cnry1234", "cnry5678"
GROUP = "sets.example"
TEXT = {"type": "string"}
ITEM = {"type": "object", "properties": {"token": TEXT, "level": TEXT}, "required": ["token"]}
LISTS: dict[str, Any] = {
    "passwords": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
    "accounts": {"type": "array", "items": ITEM, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["token"]},
    "tokens": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "atomic"},
}


@pytest.fixture(scope="module")
def keyrings(control_plane: ControlPlane) -> Iterator[str]:
    """Path of the objects of a kind with a set, a map by a hidden field, and an atomic list."""
    made = definition("keyrings", GROUP, "Keyring")
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": LISTS}}}
    made["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": schema}
    with installed(control_plane.api, made):
        yield f"/apis/{GROUP}/v1/namespaces"


def items(list_: str, guess: str) -> list[Any]:
    return [{"token": guess, "level": "info"}] if list_ == "accounts" else [guess]


@pytest.fixture
def held(keyrings: str, control_plane: ControlPlane, fresh_namespace: str) -> str:
    spec = {name: items(name, RIGHT) for name in LISTS}
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Keyring", "metadata": {"name": "held"}, "spec": spec}
    control_plane.api.post(f"{keyrings}/{fresh_namespace}/keyrings?fieldManager=theirs", body)
    return fresh_namespace


def manifest(namespace: str, list_: str, guess: str) -> str:
    metadata = {"name": "held", "namespace": namespace}
    spec = {list_: items(list_, guess)}
    return json.dumps({"apiVersion": f"{GROUP}/v1", "kind": "Keyring", "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("list_", ["passwords", "accounts"])
def test_a_guess_at_an_item_is_refused_right_or_wrong(list_: str, held: str, tools: ToolClient) -> None:
    for more in (0, 1):  # a list as long as the one that stands there, and a longer one
        errors = []
        for guess in (RIGHT, WRONG):
            document = json.loads(manifest(held, list_, guess))
            document["spec"][list_] += items(list_, "cnry-another") * more
            errors.append(tools.error(APPLY, manifest=json.dumps(document), force=True, dry_run=True))
        assert errors[0] == errors[1]
        assert errors[0]["type"] == "InvalidArguments"
        assert all(words in errors[0]["message"] for words in ("nothing was sent", f"spec.{list_}", "type=merge"))
        assert RIGHT not in repr(errors)


@pytest.mark.parametrize("list_", ["passwords", "accounts"])
def test_written_as_a_whole_right_and_wrong_look_alike(list_: str, held: str, tools: ToolClient) -> None:
    shown = []
    for guess in (RIGHT, WRONG):
        patch = {"spec": {list_: items(list_, guess)}}
        answer = tools(PATCH, kind=f"keyrings.{GROUP}", name="held", namespace=held, patch=patch, type="merge", dry_run=True)
        shown.append((answer["note"], [change["path"] for change in answer["changes"]]))
    assert shown[0] == shown[1]


def test_a_list_that_is_replaced_as_a_whole_is_applied_and_tells_nothing(held: str, tools: ToolClient) -> None:
    shown = []
    for guess in (RIGHT, WRONG):
        answer = tools(APPLY, manifest=manifest(held, "tokens", guess), force=True, dry_run=True)
        shown.append((answer["note"], [change["path"] for change in answer["changes"]]))
    assert shown[0] == shown[1]
    assert shown[0][1]
