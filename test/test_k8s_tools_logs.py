"""Logs: which container, how much, searched after redaction, fit for a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from configuration.errors import InvalidArguments
from controlplane.control_plane import ControlPlane
from mcp_tools import log_lines
from mcp_tools.redaction import Redactor
from server_fixtures import ToolClient, text_of

REDACTOR = Redactor(b"k" * 32)


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("log-place")
    control_plane.pods.create(name, "talker", None)
    lines = [f"line {number}" for number in range(300)] + ["\x1b[31mred\x1b[0m alert\x07", "login password=cnry-log-1 for bob"]
    control_plane.logs.set(name, "talker", "\n".join(lines), previous="the end is near")
    spec = {
        "initContainers": [{"name": "prepare", "image": "example/prepare"}],
        "containers": [{"name": "app", "image": "example/app"}, {"name": "proxy", "image": "example/proxy"}],
    }
    control_plane.pods.create(name, "pair", None, spec=spec, wait=False)
    yield name
    control_plane.delete_namespace(name)


def test_the_last_lines_come_newest_last_and_say_that_there_are_more(tools: ToolClient, place: str) -> None:
    answer = tools("k8s_get_pod_logs", name="talker", namespace=place)
    assert (answer["shown"], answer["read"], answer["matched"], answer["container"]) == (200, 200, None, "app")
    assert answer["lines"][0] == "line 102"
    assert "raise tail_lines" in answer["note"]
    short = tools("k8s_get_pod_logs", name="talker", namespace=place, tail_lines=1)
    assert short["read"] == 1


def test_escape_sequences_and_secrets_do_not_reach_the_reader(tools: ToolClient, place: str) -> None:
    result = tools.result("k8s_get_pod_logs", name="talker", namespace=place, tail_lines=2)
    lines = result.structured_content["lines"]
    assert lines[0] == "red alert"
    assert lines[1].startswith("login password=‹redacted:")
    assert "cnry-log-1" not in str(result)
    assert "\x1b" not in text_of(result)


def test_grep_sees_only_what_is_shown(tools: ToolClient, place: str) -> None:
    answer = tools("k8s_get_pod_logs", name="talker", namespace=place, grep="line 29[0-4]$")
    assert answer["lines"] == [f"line {number}" for number in range(290, 295)]
    assert (answer["matched"], answer["read"]) == (5, 302)
    oracle = tools("k8s_get_pod_logs", name="talker", namespace=place, grep="cnry")
    assert oracle["lines"] == []


def test_the_previous_run_timestamps_and_time_limits_are_passed_on(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    assert tools("k8s_get_pod_logs", name="talker", namespace=place, previous=True)["lines"] == ["the end is near"]
    stamped = tools("k8s_get_pod_logs", name="talker", namespace=place, tail_lines=1, timestamps=True)["lines"][0]
    assert stamped[:3] == "202"
    assert stamped[10] == "T"
    mark = control_plane.audit.mark()
    tools.result("k8s_get_pod_logs", name="talker", namespace=place, since_seconds=60)
    assert [request for request in control_plane.audit.requests(mark, user_agent="k8s-mcp/") if "sinceSeconds=60" in request.uri]


def test_several_containers_have_to_be_told_apart(tools: ToolClient, place: str) -> None:
    error = tools.error("k8s_get_pod_logs", name="pair", namespace=place)
    assert error["type"] == "InvalidArguments"
    assert "it has: app, proxy, prepare (init)" in error["message"]
    assert "has no container 'nope'" in tools.error("k8s_get_pod_logs", name="pair", namespace=place, container="nope")["message"]


def test_a_pod_without_logs_is_an_error_that_says_so(tools: ToolClient, place: str) -> None:
    assert "not found" in tools.error("k8s_get_pod_logs", name="absent", namespace=place)["message"]
    assert tools.error("k8s_get_pod_logs", name="talker", namespace=place, container="a/b")["type"] == "InvalidArguments"


def prepare(body: bytes, pattern: str = "") -> log_lines.LogLines:
    return asyncio.run(log_lines.prepare(body, REDACTOR, pattern))


def test_output_is_bounded_and_says_what_was_left_out() -> None:
    body = "\n".join(f"{number:05d} " + "x" * 500 for number in range(1000)).encode()
    found = prepare(body)
    assert sum(map(len, found.lines)) <= log_lines.TEXT_CHARACTERS
    assert found.lines[-1].startswith("00999")
    assert found.left_out == 1000 - len(found.lines)
    (long,) = prepare(b"y" * 10_000).lines
    assert long.endswith("… (8000 more characters)")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("pattern", [r"^(a|aa)+$", "((a{1000}){1000}){1000}{1000}", "(" * 5000 + ")" * 5000])
def test_a_pattern_that_explodes_is_stopped_and_the_server_lives_on(pattern: str) -> None:
    with pytest.raises(InvalidArguments, match="grep"):
        prepare(b"a" * 60 + b"!", pattern)
    assert prepare(b"ab\ncd", "c").lines == ["cd"]


@pytest.mark.parametrize("pattern", ["(", "[a", "*"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArguments, match="not a valid regular expression"):
        prepare(b"x", pattern)


@pytest.mark.parametrize(
    ("body", "lines"),
    [(b"", []), (b"\n", [""]), (b"a\n\nb\n", ["a", "", "b"]), (b"\xff\xfe", ["\ufffd\ufffd"]), (b"a\rb", ["a", "b"])],
)
def test_odd_bytes_become_lines(body: bytes, lines: list[str]) -> None:
    assert prepare(body).lines == lines
