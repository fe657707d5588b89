"""In which form kinds are asked for, and what becomes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from configuration.errors import ClusterError
from kinds.registry import KINDS
from kinds.secrets import SECRETS
from mcp_tools.managed_fields import take_manager
from mcp_tools.object_forms import form_of

COLUMNS = [{"name": "Name"}, {"name": "Type"}, {"name": "Data"}, {"name": "Age"}]


def row(count: Any = 2, *, keys: tuple[str, ...] = ("a", "b"), field: str = "data", **metadata: Any) -> dict[str, Any]:
    entry = {
        "manager": "kubectl",
        "time": "2026-01-01T00:00:00Z",
        "fieldsV1": {f"f:{field}": {".": {}} | {f"f:{key}": {} for key in keys}},
    }
    whole = {"name": "s", "namespace": "shop", "uid": "u", "resourceVersion": "7", "managedFields": [entry]} | metadata
    return {"cells": ["s", "Opaque", count, "1s"], "object": {"kind": "PartialObjectMetadata", "metadata": whole}}


def table(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "kind": "Table",
        "metadata": {"resourceVersion": "9", "continue": "c"},
        "columnDefinitions": COLUMNS,
        "rows": list(rows),
    } | fields


def test_secrets_alone_are_asked_for_as_tables_with_metadata() -> None:
    form = form_of(SECRETS)
    assert "as=Table" in form.accept_list
    assert form.accept_watch == form.accept_list
    assert form.query == (("includeObject", "Metadata"),)
    assert {form_of(kind).accept_list for kind in KINDS.values() if kind.name != "secrets"} == {"application/json"}


def test_a_row_becomes_a_secret_without_values() -> None:
    form = form_of(SECRETS)
    page = form.page(json.dumps(table(row())).encode(), "list secrets")
    assert (page.metadata.resource_version, page.metadata.continue_token) == ("9", "c")
    (secret,) = [form.item(raw) for raw in page.items or []]
    assert take_manager(secret) == "kubectl"
    assert secret == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
        "type": "Opaque",
        "keyCount": 2,
        "data": {"a": None, "b": None},
    }


def test_key_names_are_said_only_where_they_are_all_known() -> None:
    item = form_of(SECRETS).item
    assert item(json.dumps(row(1, keys=("p",), field="stringData")).encode())["data"] == {"p": None}
    assert "data" not in item(json.dumps(row(3)).encode())
    assert "data" not in item(json.dumps(row(1)).encode())
    cleared = item(json.dumps(row(1, managedFields=[{}])).encode())
    assert (cleared["keyCount"], "data" in cleared) == (1, False)
    assert item(json.dumps(row(0, keys=())).encode())["data"] == {}


def test_later_events_of_a_watch_are_read_without_column_definitions() -> None:
    events = form_of(SECRETS).event_objects
    first, later = events(table(row())), events(table(row(), columnDefinitions=None))
    assert first == later
    assert later[0]["type"] == "Opaque"
    moved = {"cells": ["Opaque", "s", 2], "object": row()["object"]}
    turned = events(table(moved, columnDefinitions=[{"name": "Type"}, {"name": "Name"}, {"name": "Data"}]))
    assert turned[0]["type"] == "Opaque"


def test_an_answer_with_whole_secrets_is_thrown_away_not_read() -> None:
    """A proxy may drop the Accept header: the values must get no further."""
    form = form_of(SECRETS)
    secret = {"kind": "Secret", "metadata": {"name": "s", "uid": "u"}, "data": {"password": "Q0FOQVJZ"}}
    whole = {"kind": "SecretList", "metadata": {}, "items": [secret]}
    with pytest.raises(ClusterError, match="SecretList") as caught:
        form.page(json.dumps(whole).encode(), "list secrets")
    assert "Q0FOQVJZ" not in str(caught.value)
    with pytest.raises(ClusterError, match="'Secret'"):
        form.event_objects(secret)
    with pytest.raises(ClusterError, match="not a table"):
        form.page(b"<html>", "list secrets")


def test_objects_of_other_kinds_stand_by_themselves() -> None:
    form = form_of(KINDS["deployments"])
    page = form.page(b'{"metadata":{},"items":[{"metadata":{"name":"web"}}]}', "list deployments")
    expected = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    assert [form.item(raw) for raw in page.items or []] == [expected]
    assert form.event_objects({"metadata": {"name": "web"}}) == [expected]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (None, None),
        ([], None),
        ("odd", None),
        ([None, {"manager": 1, "time": 2}], None),
        ([{"manager": "a", "time": "2026-01-01T00:00:01Z"}, {"manager": "b", "time": "2026-01-01T00:00:02Z"}], "b"),
        ([{"manager": "a", "time": "2026-01-01T00:00:02Z"}, {"manager": "b", "time": "2026-01-01T00:00:02Z"}], None),
        ([{"manager": "a", "time": "2026-01-01T00:00:02Z"}, {"manager": "a", "time": "2026-01-01T00:00:02Z"}], "a"),
        ([{"manager": "old"}, {"manager": "a", "time": "2026-01-01T00:00:02Z"}], "a"),
    ],
)
def test_the_manager_is_the_newest_and_unknown_when_two_were(entries: Any, expected: str | None) -> None:
    obj: dict[str, Any] = {"metadata": {"name": "x", "managedFields": entries}}
    assert take_manager(obj) == expected
    assert obj == {"metadata": {"name": "x"}}
