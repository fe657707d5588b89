"""What a caller proposes tells nothing of what a cluster holds: a right guess looks like a wrong one."""

from __future__ import annotations

import asyncio
import base64
import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp_types import ElicitResult

from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from exec_server import exec_server
from mcp_tools.all_tools import ALL_TOOLS
from mcp_tools.moved_secrets import hide_moved
from mcp_tools.proposed_values import Disguise, asked_by, disguise_proposed
from mcp_tools.redaction import MARK, Redactor
from mcp_tools.server import build_server
from mcp_tools.server_policy import ServerPolicy
from server_fixtures import ToolClient

PATCH, APPLY, GET = "k8s_patch_resource", "k8s_apply_manifest", "k8s_get_resource"
RIGHT, WRONG = "cnry1234", "cnry5678"


@pytest.fixture
def settings(control_plane: ControlPlane, fresh_namespace: str) -> str:
    """A namespace with a ConfigMap and a Secret that hold RIGHT."""
    data = {"db_password": RIGHT, "other_password": WRONG, "level": "info"}
    control_plane.api.post(f"/api/v1/namespaces/{fresh_namespace}/configmaps", {"metadata": {"name": "held"}, "data": data})
    control_plane.api.post(
        f"/api/v1/namespaces/{fresh_namespace}/secrets", {"metadata": {"name": "held"}, "stringData": {"password": RIGHT}}
    )
    return fresh_namespace


def shape(answer: dict[str, Any]) -> str:
    """An answer without what a mark says."""
    return MARK.sub("‹mark›", repr({key: answer[key] for key in ("changes", "note", "objects", "warnings") if key in answer}))


def marks(value: Any) -> set[str]:
    return set(re.findall(MARK, repr(value)))


def dry(client: ToolClient, namespace: str, guess: str, how: str) -> dict[str, Any]:
    """A dry run with a guess at data.db_password, in each of the ways that there are."""
    named = {"kind": "configmaps", "name": "held", "namespace": namespace, "dry_run": True}
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": namespace},
        "data": {"db_password": guess},
    }
    secret = named | {"kind": "secrets"}
    packed = base64.b64encode(guess.encode()).decode()
    return {
        "strategic": lambda: client(PATCH, **named, patch={"data": {"db_password": guess}}),
        "merge": lambda: client(PATCH, **named, patch={"data": {"db_password": guess, "level": "debug"}}, type="merge"),
        "json": lambda: client(
            PATCH, **named, patch=[{"op": "replace", "path": "/data/db_password", "value": guess}], type="json"
        ),
        "json of all data": lambda: client(
            PATCH, **named, patch=[{"op": "replace", "path": "/data", "value": {"db_password": guess}}], type="json"
        ),
        "apply": lambda: client(APPLY, manifest=repr(document), force=True, dry_run=True),
        "a Secret's data": lambda: client(PATCH, **secret, patch={"data": {"password": packed}}),
        "a Secret's stringData": lambda: client(PATCH, **secret, patch={"stringData": {"password": guess}}),
        "json to a key that is a number": lambda: client(
            PATCH, **named, patch=[{"op": "add", "path": "/data/0", "value": guess}], type="json"
        ),
        "elsewhere": lambda: client(PATCH, **named, patch={"data": {"new_password": guess}}),
        "where all can be seen": lambda: client(PATCH, **named, patch={"metadata": {"annotations": {"words": guess}}}),
    }[how]()


@pytest.mark.parametrize(
    "how",
    ["strategic", "merge", "json", "json of all data", "apply", "a Secret's data", "a Secret's stringData", "elsewhere"],
)
def test_a_dry_run_tells_no_right_guess_from_a_wrong_one(how: str, settings: str, tools: ToolClient) -> None:
    live = tools(GET, kind="configmaps", name="held", namespace=settings)["manifest"]["data"]
    right, wrong = dry(tools, settings, RIGHT, how), dry(tools, settings, "cnry-other", how)
    assert shape(right) == shape(wrong)
    assert len(right["changes"]) >= 1, "it does not say that nothing differs"
    new = marks([change["new"] for change in right["changes"]])
    assert new, "what was proposed stays hidden in the answer"
    assert not new & marks(live), "the mark of a guess is none that stands anywhere"
    assert not new & marks(dry(tools, settings, RIGHT, how)), "nor that of the next try"


def test_what_is_hidden_elsewhere_is_not_found_by_saying_it_where_all_can_be_seen(settings: str, tools: ToolClient) -> None:
    for guess in (RIGHT, "cnry-other"):
        (change,) = dry(tools, settings, guess, "where all can be seen")["changes"]
        assert guess in repr(change), guess


def words_of_a_list(client: ToolClient, namespace: str, guess: str, how: str) -> str:
    """What a dry run says of a Deployment whose argument and variable hold 4321, when a guess at them is said elsewhere."""
    named = {"kind": "deployments", "name": "held", "namespace": namespace, "dry_run": True}
    at = "/spec/template/spec/containers/0"
    ports = {"spec": {"template": {"spec": {"containers": [{"name": "app", "ports": [{"containerPort": int(guess)}]}]}}}}
    document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "held", "namespace": namespace}, **ports}
    cpu = {"spec": {"template": {"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": int(guess)}}}]}}}}
    answer = {
        "an argument added": lambda: client(
            PATCH, **named, type="json", patch=[{"op": "add", "path": f"{at}/args/-", "value": f"tok3n-{guess}"}]
        ),
        "arguments moved": lambda: client(
            PATCH,
            **named,
            type="json",
            patch=[{"op": "remove", "path": f"{at}/args/0"}, {"op": "add", "path": f"{at}/args/-", "value": f"tok3n-{guess}"}],
        ),
        "a port patched": lambda: client(PATCH, **named, patch=ports),
        "a port applied": lambda: client(APPLY, manifest=repr(document), dry_run=True),
        "an amount": lambda: client(PATCH, **named, patch=cpu),
    }[how]()
    return shape(answer).replace(guess, "‹guess›")


@pytest.mark.parametrize("how", ["an argument added", "arguments moved", "a port patched", "a port applied", "an amount"])
def test_what_is_hidden_elsewhere_is_not_found_by_saying_it_in_a_list(
    how: str, fresh_namespace: str, control_plane: ControlPlane, tools: ToolClient
) -> None:
    container = {
        "name": "app",
        "image": "example/web:1",
        "args": ["--token", "tok3n-4321"],
        "env": [{"name": "DB_PIN_PASSWORD", "value": "4321"}],
        "ports": [{"containerPort": 80}],
    }
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "held"}},
        "template": {"metadata": {"labels": {"app": "held"}}, "spec": {"containers": [container]}},
    }
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    control_plane.api.post(path, {"metadata": {"name": "held"}, "spec": spec})
    wait_until(lambda: control_plane.api.get(f"{path}/held").get("status", {}).get("conditions"), "its controller's first words")
    assert words_of_a_list(tools, fresh_namespace, "4321", how) == words_of_a_list(tools, fresh_namespace, "4322", how)


def test_a_key_that_is_a_number_is_no_place_to_try_words(settings: str, tools: ToolClient) -> None:
    for guess in (RIGHT, "cnry-other"):
        (change,) = dry(tools, settings, guess, "json to a key that is a number")["changes"]
        assert guess in repr(change), guess


def test_an_object_that_does_not_exist_yet_shows_no_mark_of_another(settings: str, tools: ToolClient) -> None:
    live = marks(tools(GET, kind="configmaps", name="held", namespace=settings))
    made = tools("k8s_create_deployment", name="try", namespace=settings, image="nginx", env={"DB_PASSWORD": RIGHT}, dry_run=True)
    assert marks(made)
    assert not marks(made) & live


def test_what_a_command_says_or_prints_has_marks_of_its_own(tool_client: Callable[..., ToolClient], tmp_path: Path) -> None:
    redactor = Redactor(b"k" * 32)
    compared = redactor.redact_text(f"password={RIGHT}")
    with exec_server(messages=[(1, f"password={RIGHT}\n".encode())]) as server:
        client = tool_client(
            server.kubeconfig(tmp_path), policy=ServerPolicy(enable_exec=True, approval="client"), redactor=redactor
        )
        command = ["echo", f"password={RIGHT}"]
        for dry_run in (True, False):
            result = client.result("k8s_exec", name="web-1", namespace="dev", command=command, dry_run=dry_run)
            assert marks(result.model_dump())
            assert not marks(result.model_dump()) & marks(compared)


def test_a_question_shows_what_was_said_and_no_mark_that_can_be_compared(
    settings: str, control_plane: ControlPlane, tool_client: Callable[..., ToolClient]
) -> None:
    asked: list[str] = []

    async def person(_context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"approve": True})

    gate = tool_client(control_plane.kubeconfig, policy=ServerPolicy()).gate()

    async def run() -> Any:
        async with Client(build_server(gate), elicitation_callback=person) as client:
            arguments = {
                "kind": "configmaps",
                "name": "held",
                "namespace": settings,
                "patch": {"data": {"db_password": "cnry-new"}},
            }
            return await client.call_tool(PATCH, arguments)

    done = asyncio.run(run())
    assert not done.is_error, "what is made is what was shown"
    assert '-> "cnry-new"' in asked[0]
    stored = control_plane.api.get(f"/api/v1/namespaces/{settings}/configmaps/held")["data"]
    assert stored["db_password"] == "cnry-new"


def test_what_a_json_patch_does_to_its_own_values_can_be_approved_and_made(
    settings: str, control_plane: ControlPlane, tool_client: Callable[..., ToolClient]
) -> None:
    async def person(_context: Any, _params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"approve": True})

    gate = tool_client(control_plane.kubeconfig, policy=ServerPolicy()).gate()
    steps = [
        {"op": "add", "path": "/metadata/annotations", "value": {"a": "1", "b": "2"}},
        {"op": "remove", "path": "/metadata/annotations/a"},
        {"op": "add", "path": "/metadata/annotations/c", "value": "3"},
    ]

    async def run() -> Any:
        async with Client(build_server(gate), elicitation_callback=person) as client:
            arguments = {"kind": "configmaps", "name": "held", "namespace": settings, "type": "json", "patch": steps}
            return await client.call_tool(PATCH, arguments)

    done = asyncio.run(run())
    assert not done.is_error, done
    stored = control_plane.api.get(f"/api/v1/namespaces/{settings}/configmaps/held")["metadata"]["annotations"]
    assert stored == {"b": "2", "c": "3"}


# --- places

KEYS = st.sampled_from(["a", "b", "0"])
VALUES = st.recursive(
    st.sampled_from(["x", 1, None, True]), lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3)
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace"]),
            "path": st.sampled_from(["/a", "/a/a", "/a/b", "/a/0", "/a/-", "/b", "/b/a", "/a/a/b"]),
            "value": VALUES | st.dictionaries(KEYS, VALUES, min_size=1, max_size=3),
        }
    ),
    min_size=2,
    max_size=5,
)


@given(before=st.dictionaries(KEYS, VALUES, max_size=3), after=st.dictionaries(KEYS, VALUES, max_size=3), patch=OPERATIONS)
def test_no_json_patch_is_altered_by_previewing_it(before: dict[str, Any], after: dict[str, Any], patch: list[Any]) -> None:
    redactor = Redactor(b"k" * 32)
    given_, was = copy.deepcopy(patch), copy.deepcopy(before)
    said = asked_by(patch, before)
    hide_moved(before, after, redactor.marks_of, said)
    disguise_proposed(before, after, said, Disguise(), "x")
    assert (patch, before) == (given_, was)


def test_where_a_json_patch_cannot_be_followed_all_that_is_new_is_hidden() -> None:
    """Negative indexes, and whatever else an API server reads in its own way."""
    redactor = Redactor(b"k" * 32)
    before = redactor.redact_object({"args": ["--token", RIGHT]})
    patch = [{"op": "add", "path": "/args/-1", "value": RIGHT}]
    for guess in (RIGHT, WRONG):
        after = hide_moved(before, {"args": ["--token", guess, "x"]}, redactor.marks_of, asked_by(patch, before))
        assert guess not in repr(after)


def disguised(before: Any, after: Any, patch: Any, disguise: Disguise | None = None) -> Any:
    disguise_proposed(before, after, asked_by(patch, before), disguise or Disguise(), "x")
    return after


def test_what_the_caller_does_not_name_keeps_its_mark_though_items_move() -> None:
    held, other = "‹redacted:aaaaaaaaaaaa›", "‹redacted:bbbbbbbbbbbb›"
    before = {"env": [{"name": "A", "value": held}, {"name": "B", "value": other}]}
    after = {"env": [{"name": "B", "value": other}, {"name": "A", "value": held}]}
    assert disguised(before, after, {"env": [{"name": "A", "value": "guess"}]})["env"][0]["value"] == other
    assert after["env"][1]["value"] != held


@pytest.mark.parametrize("path", ["/args/-", "/args/0"])
def test_a_list_that_a_json_patch_adds_to_is_the_callers_as_a_whole(path: str) -> None:
    held = "‹redacted:aaaaaaaaaaaa›"
    after = {"args": [held, held], "image": held}
    disguised({"args": [held], "image": held}, after, [{"op": "add", "path": path, "value": "guess"}])
    assert held not in after["args"]
    assert after["args"][0] != after["args"][1], "two places never show that they hold the same"
    assert after["image"] == held


def test_one_call_marks_the_same_value_at_the_same_place_alike() -> None:
    patch, mark, once = {"a": "guess"}, "‹redacted:aaaaaaaaaaaa›", Disguise()
    first, second = (disguised({"a": mark}, {"a": mark}, patch, once) for _ in range(2))
    assert first == second, "or nothing that is made could be held to what was shown"
    assert disguised({"a": mark}, {"a": mark}, patch) != first


def test_a_value_that_moves_stays_hidden_where_the_caller_does_not_say_it() -> None:
    redactor = Redactor(b"k" * 32)
    before = redactor.redact_object({"env": [{"name": "DB_PASSWORD", "value": RIGHT}]})
    patch = [{"op": "replace", "path": "/env/0/name", "value": "WORDS"}]
    after = hide_moved(before, {"env": [{"name": "WORDS", "value": RIGHT}]}, redactor.marks_of, asked_by(patch, before))
    assert RIGHT not in repr(after)


def test_every_tool_that_changes_something_is_known_here() -> None:
    """A new one has to say what its callers can propose."""
    assert {tool.name for tool in ALL_TOOLS if not tool.read_only} == {
        PATCH, APPLY, "k8s_create_deployment", "k8s_exec",  # take values
        "k8s_delete_resource", "k8s_scale", "k8s_rollout", "k8s_node",  # take names and numbers
    }  # fmt: skip
