"""Objects that our decoders refuse cost themselves, not the page that they are on."""

from __future__ import annotations

import json

import pytest

from kinds.registry import KINDS
from mcp_tools.json_repair import CUT, LEVELS, cut_deep, depth_of, repaired
from mcp_tools.object_forms import form_of


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("levels", [0, 1, LEVELS])
def test_what_is_not_too_deep_stays_byte_for_byte(levels: int) -> None:
    assert cut_deep(nested(levels)) == nested(levels)


@pytest.mark.parametrize("levels", [LEVELS + 1, 5_000, 100_000])
def test_what_is_too_deep_is_replaced_by_words(levels: int) -> None:
    cut = json.loads(cut_deep(nested(levels)))
    assert depth_of(cut) == LEVELS
    assert CUT in json.dumps(cut, ensure_ascii=False)


def test_brackets_within_strings_do_not_count_and_what_follows_a_cut_is_kept() -> None:
    odd = json.dumps({"x": '}]{["\\', "y": [[["a"], {"b": "}"}], 2], "z": 3}).encode()
    assert json.loads(cut_deep(odd, 2)) == {"x": '}]{["\\', "y": [CUT, 2], "z": 3}


def test_numbers_and_characters_that_decoders_refuse_become_readable() -> None:
    odd = b'{"a":1e400,"b":"\xff","c":"\\ud800","d":' + b"9" * 5000 + b',"e":18446744073709551615,"f":-1.5}'
    assert json.loads(repaired(odd)) == {"a": "1e400", "b": "�", "c": "?", "d": "9" * 5000, "e": 18446744073709551615, "f": -1.5}


def test_something_else_than_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        repaired(b"<html>")


@pytest.mark.parametrize("odd", [nested(300), nested(900), nested(5_000), b"1e999"])
def test_a_page_with_an_odd_object_gives_all_its_objects(odd: bytes) -> None:
    form = form_of(KINDS["configmaps"])
    body = (
        b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"odd"},"x":' + odd + b"}]}"
    )
    page = form.page(body, "list configmaps")
    assert [form.item(raw)["metadata"]["name"] for raw in page.items or []] == ["a", "odd"]
