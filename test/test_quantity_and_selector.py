"""Quantities and label selectors mean what they mean to Kubernetes."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configuration.errors import InvalidSelector
from kinds import label_selector
from kinds.quantity import millicores, whole
from kinds.times import to_rfc3339, to_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250m", 250), ("2", 2000), ("0.5", 500), ("1e1", 10_000), ("100u", 1), ("1n", 1), (None, None), ("1k", 1_000_000)],
)
def test_cpu_in_millicores_rounds_up(text: str | None, expected: int | None) -> None:
    assert millicores(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("128974848000m", 128974848),
        ("2G", 2 * 10**9),
        ("1E", 10**18),
        ("1e3", 1000),
        ("0", 0),
    ],
)
def test_memory_in_bytes(text: str, expected: int) -> None:
    assert whole(text) == expected


def test_a_quantity_is_capped_where_kubernetes_caps_it() -> None:
    assert whole("9999E") == 2**63 - 1


@pytest.mark.parametrize("text", ["", "1.2.3", "Gi", "1 Gi", "1e999999999", "0x10", "1Kib", "९"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        whole(text)


def test_times_survive_both_ways_and_drop_fractions() -> None:
    assert to_time("2026-01-02T03:04:05.999999Z") == to_time("2026-01-02T03:04:05Z")
    assert to_rfc3339(to_time("2026-01-02T03:04:05+01:00") or 0) == "2026-01-02T02:04:05Z"
    assert to_time(None) is None


LABELS = {"app": "web", "env": "prod", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,env!=stage", True),
        ("missing!=x", True),
        ("missing notin (x, y)", True),
        ("env in (stage , prod)", True),
        ("env notin (stage,prod)", False),
        ("app", True),
        ("!app", False),
        ("! missing", True),
        ("empty=", True),
        ("app=web,tier=db", False),
        ("in=x", False),
    ],
)
def test_selectors_match_as_kubernetes_matches_them(selector: str, expected: bool) -> None:
    assert label_selector.matches(label_selector.parse(selector), LABELS) is expected


@pytest.mark.parametrize("selector", [",", "a=b,", "a in ()x", "a=b;c=d", "=b", "a in b", "a" * 5000, "a=--server=x y"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(InvalidSelector):
        label_selector.parse(selector)


@given(st.text(max_size=60))
def test_parsing_a_selector_either_succeeds_or_says_that_it_cannot(text: str) -> None:
    with contextlib.suppress(InvalidSelector):
        label_selector.parse(text)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (None, None),
        ({}, ""),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["z", "a"]}]}, "tier notin (a,z)"),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "aaa", "operator": "DoesNotExist"}],
            },
            "!aaa,app=web,app",
        ),
    ],
)
def test_the_selector_of_an_object_reads_as_kubectl_prints_it(selector: Any, text: str | None) -> None:
    assert label_selector.selector_text(selector) == text
