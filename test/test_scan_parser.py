"""Pages of objects into records: what is kept, what is set aside, and that nothing stops a scan."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from cache_fixtures import api_object
from configuration.errors import ToolError
from kinds.registry import KINDS
from scanner.resource_parser import ParsedPage, open_page, parse_objects

PODS = KINDS["pods"]


def page(*objects: Any, **head: Any) -> str:
    return json.dumps({"kind": "pods", "resource_version": "7", "objects": list(objects), **head}, separators=(",", ":"))


def parsed(*objects: Any) -> ParsedPage:
    return parse_objects(open_page(page(*objects)).objects, PODS)


def test_an_object_becomes_its_record_and_the_very_bytes_that_arrived() -> None:
    pod = api_object("pods", "web-1", labels={"app": "wéb"})
    text = page(pod)
    (staged,) = parse_objects(open_page(text).objects, PODS).staged
    assert staged.record == PODS.read(pod)
    assert staged.manifest in text.encode()
    assert json.loads(staged.manifest) == pod


def test_the_envelope_of_a_page_is_read_without_its_objects() -> None:
    opened = open_page(page({"broken": 1}, **{"continue": "abc", "remaining": 3, "redactor_version": "2", "key_id": "k1"}))
    assert (opened.resource_version, opened.continue_token, opened.remaining) == ("7", "abc", 3)
    assert opened.redaction == "2/k1"


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"objects": 3, "resource_version": "1"}', '{"objects": [}'])
def test_text_that_is_no_page_is_an_error_of_the_tool(text: str) -> None:
    with pytest.raises(ToolError, match="k8s_export_page"):
        open_page(text)


def without(obj: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in obj.items() if name != key}


POD = api_object("pods", "odd")
ODD_OBJECTS = {
    "no metadata": (without(POD, "metadata"), "field 'metadata' is missing"),
    "metadata is a list": (POD | {"metadata": []}, "AttributeError"),
    "no uid": (POD | {"metadata": without(POD["metadata"], "uid")}, "field 'uid' is missing"),
    "not an object": ("just text", "not a JSON object but a str"),
    "null": (None, "not a JSON object but a NoneType"),
    "a number as name": (POD | {"metadata": POD["metadata"] | {"name": 7}}, "name is int"),
    "an object as phase": (POD | {"status": {"phase": {"no": "text"}}}, "is dict, which its column cannot hold"),
    "a date that is none": (POD | {"metadata": POD["metadata"] | {"creationTimestamp": "yesterday"}}, "ValueError"),
    "a date beyond the calendar": (
        POD | {"metadata": POD["metadata"] | {"creationTimestamp": "99999-01-01T00:00:00Z"}},
        "ValueError",
    ),
    "a quantity that is none": (
        POD | {"spec": {"containers": [{"name": "a", "image": "i", "resources": {"requests": {"memory": "lots"}}}]}},
        "not a Kubernetes quantity",
    ),
    "a container of the wrong type": (
        POD | {"spec": {"containers": [{"name": "a", "image": ["i"]}]}},
        "containers: image is list",
    ),
}


@pytest.mark.parametrize("case", ODD_OBJECTS)
def test_an_object_that_cannot_be_read_costs_only_itself(case: str) -> None:
    odd, reason = ODD_OBJECTS[case]
    result = parsed(api_object("pods", "a"), odd, api_object("pods", "b"))
    (malformed,) = result.malformed
    assert reason in malformed.reason
    kept = ["odd"] if isinstance(odd, dict) and of(odd, "name") == "odd" and of(odd, "uid") else []
    assert [staged.record.name for staged in result.staged] == ["a", *kept, "b"], "in part, where it can be told which it is"
    assert (malformed.staged is not None) == bool(kept)


def of(obj: dict[str, Any], key: str) -> Any:
    metadata = obj.get("metadata")
    return metadata.get(key) if isinstance(metadata, dict) else None


def test_an_object_that_is_set_aside_is_named_as_far_as_it_can_be() -> None:
    (malformed,) = parsed(POD | {"metadata": without(POD["metadata"], "uid")}).malformed
    assert str(malformed) == "default/odd: field 'uid' is missing"


SURPRISING = {
    "no status": without(POD, "status"),
    "an unknown phase": POD | {"status": {"phase": "Levitating"}},
    "a negative counter": api_object("pods", "odd", restarts=-3),
    "a future timestamp": POD | {"metadata": POD["metadata"] | {"creationTimestamp": "2999-01-01T00:00:00Z"}},
    "names in another script": api_object("pods", "网站-1", labels={"app": "网站"}),
    "a very long annotation": api_object("pods", "odd", annotations={"note": "x" * 1_000_000}),
    "unknown fields": POD | {"spec": POD["spec"] | {"inventedField": {"a": [1, 2]}}},
}


@pytest.mark.parametrize("case", SURPRISING)
def test_a_surprising_object_is_kept_with_what_can_be_read(case: str) -> None:
    result = parsed(SURPRISING[case])
    assert result.malformed == []
    assert len(result.staged) == 1


def test_the_collector_is_off_only_while_a_page_is_read() -> None:
    during: list[bool] = []

    def clock() -> float:
        during.append(gc.isenabled())
        return 0.0

    parse_objects(open_page(page(POD)).objects, PODS, clock=clock)
    assert gc.isenabled()
    assert during, "the clock is read around the page"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_a_bare_object(kind: str) -> None:
    """Nothing but metadata: what the API server may give for an object that no controller has touched yet."""
    bare = without(without(api_object(kind, "bare"), "spec"), "status")
    result = parse_objects(open_page(page(bare)).objects, KINDS[kind])
    assert [str(one) for one in result.malformed] == []
