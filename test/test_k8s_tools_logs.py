"""Logs: which containers, how much, searched after redaction, folded, inside a budget, fit for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson
import pytest

from controlplane.control_plane import ControlPlane
from mcp_tools.answer_budget import estimate, estimate_json
from mcp_tools.api_errors import error_of
from mcp_tools.log_answer import LogFindings, answer_of
from mcp_tools.log_folding import folded, unfolded
from mcp_tools.log_lines import LogLine
from mcp_tools.log_sources import LogSource
from mcp_tools.log_troubles import trouble_notes
from server_fixtures import ToolClient, text_of

TOOL = "k8s_get_pod_logs"
KEY_BODY = [
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7",
    "VJTUt9Us8cKjMzEfYyjiWA4R4M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbv",
]
"""Two lines of a private key: by themselves they have no shape to be known by."""
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


def long_log(lines: int) -> str:
    """One line in 500 is an error of one of ten kinds, the last error is the only one of its kind."""
    texts = []
    for number in range(lines):
        if number % 500 == 499:
            texts.append(f"ERROR [worker-{number % 8}] order {number} refused by {WORDS[number // 500 % 10]} after 30 ms")
        else:
            texts.append(f"INFO [worker-{number % 8}] GET /api/v1/orders/{number} status=200 duration={number % 100}ms")
    texts[-1] = "ERROR [worker-7] the last one: disk full"
    return "\n".join(texts)


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[str]:
    name = control_plane.create_namespace("log-place")
    control_plane.pods.create(name, "talker", None)
    lines = [f"word {WORDS[number % 10]} {number}" for number in range(300)]
    lines += ["\x1b[31mred\x1b[0m alert\x07", "login password=cnry-log-1 for bob"]
    control_plane.logs.set(name, "talker", "\n".join(lines), previous="the end is near")
    spec = {
        "initContainers": [{"name": "prepare", "image": "example/prepare"}],
        "containers": [{"name": "app", "image": "example/app"}, {"name": "proxy", "image": "example/proxy"}],
    }
    control_plane.pods.create(name, "pair", None, spec=spec)
    control_plane.logs.set(name, "pair", "from the app", container="app")
    control_plane.logs.set(name, "pair", "from the proxy", container="proxy")
    control_plane.pods.create(name, "busy", None)
    control_plane.logs.set(name, "busy", long_log(50_000))
    control_plane.pods.create(name, "chatty", None)
    control_plane.logs.set(name, "chatty", long_log(5_000))
    for number in range(3):
        control_plane.pods.create(name, f"web-{number}", None, labels={"app": "web"})
        control_plane.logs.set(name, f"web-{number}", f"hello of {WORDS[number]}\nERROR no answer of 10.0.0.{number}")
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
def lines(tools: ToolClient, place: str) -> Any:
    """The lines of an answer without its heading."""

    def call(**arguments: Any) -> list[str]:
        result = tools.result(TOOL, namespace=place, **arguments)
        assert not result.is_error, text_of(result)
        count = result.structured_content["text_lines"]
        found = text_of(result).split("\n")
        return found[len(found) - count :]

    return call


def cost(result: Any) -> int:
    return estimate(text_of(result)) + estimate_json(result.structured_content)


def test_the_last_lines_come_newest_last_and_say_that_there_are_more(tools: ToolClient, place: str, lines: Any) -> None:
    answer = tools(TOOL, name="talker", namespace=place)
    assert (answer["read"], answer["matched"], answer["container"]) == (200, None, "app")
    assert "lines" not in answer
    assert "raise tail_lines" in answer["note"]
    assert lines(name="talker")[-3] == "word kappa 299"
    assert tools(TOOL, name="talker", namespace=place, tail_lines=1)["read"] == 1


def test_escape_sequences_and_secrets_do_not_reach_the_reader(tools: ToolClient, place: str, lines: Any) -> None:
    result = tools.result(TOOL, name="talker", namespace=place, tail_lines=2)
    last = lines(name="talker", tail_lines=2)
    assert last[0] == "red alert"
    assert last[1].startswith("login password=‹redacted:")
    assert "cnry-log-1" not in str(result)
    assert "\x1b" not in text_of(result)


def test_grep_sees_only_what_is_shown(tools: ToolClient, place: str, lines: Any) -> None:
    answer = tools(TOOL, name="talker", namespace=place, grep="word .* 29[0-4]$")
    assert (answer["matched"], answer["read"]) == (5, 302)
    assert lines(name="talker", grep="word .* 29[0-4]$") == [f"word {WORDS[number]} {290 + number}" for number in range(5)]
    assert tools(TOOL, name="talker", namespace=place, grep="cnry")["matched"] == 0


def test_lines_around_a_match_are_shown_and_not_counted(tools: ToolClient, place: str, lines: Any) -> None:
    found = lines(name="talker", grep="alert", before=2, after=1)
    assert found[:3] == ["word iota 298", "word kappa 299", "red alert"]
    assert found[3].startswith("login password=‹redacted:")
    answer = tools(TOOL, name="talker", namespace=place, grep="alert", before=2, after=1)
    assert (answer["matched"], answer["shown"], answer["text_lines"]) == (1, 1, 4)


def test_the_previous_run_timestamps_and_time_limits_are_passed_on(
    tools: ToolClient, place: str, control_plane: ControlPlane, lines: Any
) -> None:
    assert lines(name="talker", previous=True) == ["the end is near"]
    (stamped,) = lines(name="talker", tail_lines=1, timestamps=True)
    assert stamped[:3] == "202"
    assert stamped[10] == "T"
    mark = control_plane.audit.mark()
    tools.result(TOOL, name="talker", namespace=place, since_seconds=60)
    tools.result(TOOL, name="talker", namespace=place, since_time="2026-01-31T17:05+02:00")
    asked = [unquote(request.uri) for request in control_plane.audit.requests(mark, user_agent="k8s-mcp/")]
    assert any("sinceSeconds=60" in uri for uri in asked)
    assert any("sinceTime=2026-01-31T15:05:00" in uri for uri in asked)


def test_until_time_continues_where_an_answer_ended(tools: ToolClient, place: str, lines: Any) -> None:
    newest = lines(name="talker", tail_lines=2, timestamps=True)
    before = lines(name="talker", until_time=newest[0].split()[0], timestamps=True)
    assert before[-1] == newest[0]
    assert before[-2].endswith("word kappa 299")
    first = tools(TOOL, name="talker", namespace=place)["first_time"]
    assert tools(TOOL, name="talker", namespace=place, until_time=first)["last_time"] == first


@pytest.mark.parametrize("time", ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00Z&follow=true", "1"])
def test_a_time_that_is_none_is_refused(tools: ToolClient, place: str, time: str) -> None:
    for name in ("since_time", "until_time"):
        error = tools.error(TOOL, {"name": "talker", "namespace": place, name: time})
        assert (error["type"], f"{name} '{time}' is not a time" in error["message"]) == ("InvalidArguments", True)


def test_several_containers_have_to_be_told_apart(tools: ToolClient, place: str) -> None:
    error = tools.error(TOOL, name="pair", namespace=place)
    assert error["type"] == "InvalidArguments"
    assert "it has: app, proxy, prepare (init)" in error["message"]
    assert "has no container 'nope'" in tools.error(TOOL, name="pair", namespace=place, container="nope")["message"]


def test_all_containers_come_with_their_names_and_one_without_logs_costs_only_itself(
    tools: ToolClient, place: str, lines: Any
) -> None:
    answer = tools(TOOL, name="pair", namespace=place, container="*")
    assert answer["containers"] == ["pair/app", "pair/proxy", "pair/prepare"]
    assert lines(name="pair", container="*") == ["[app] from the app", "[proxy] from the proxy"]
    assert "pair/prepare: cannot read the logs" in answer["note"]


def test_pods_of_a_selector_come_together_each_line_with_its_pod(tools: ToolClient, place: str, lines: Any) -> None:
    found = lines(label_selector="app=web", fold=False)
    assert "[web-1] hello of beta" in found
    answer = tools(TOOL, label_selector="app=web", namespace=place, level="error")
    assert (answer["matched"], answer["pod"], answer["levels"]) == (3, "", {"error": 3})
    (folded,) = lines(label_selector="app=web", level="error")
    assert folded.endswith("× 3 in 3 logs")
    assert "no pod" in tools.error(TOOL, label_selector="app=nobody", namespace=place)["message"]
    assert tools.error(TOOL, label_selector="app=web&x", namespace=place)["type"] == "InvalidSelector"
    assert "either name" in tools.error(TOOL, label_selector="app=web", name="web-0", namespace=place)["message"]
    assert "either name" in tools.error(TOOL, namespace=place)["message"]


def test_of_many_pods_only_some_are_read_and_the_answer_says_which(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    for number in range(12):
        control_plane.pods.create(place, f"many-{number:02d}", None, labels={"app": "many"}, wait=False)
    result = tools.result(TOOL, label_selector="app=many", namespace=place)
    words = text_of(result)
    assert "10 of 12 pods read" in words
    assert words.count("cannot read the logs") == 1
    assert "(the same for 9 others: many-0" in words
    assert "repeat with offset=10" in words
    rest = tools(TOOL, label_selector="app=many", namespace=place, offset=10)
    assert "pods 11 to 12 of 12 read" in rest["note"]
    read = result.structured_content["containers"] + rest["containers"]
    assert sorted(read) == [f"many-{number:02d}/app" for number in range(12)]
    assert "past the last of 12 pods" in tools.error(TOOL, label_selector="app=many", namespace=place, offset=12)["message"]
    assert "leave it out" in tools.error(TOOL, name="many-01", namespace=place, offset=1)["message"]


def test_the_text_says_whose_logs_these_are_even_of_one_container(tools: ToolClient, place: str) -> None:
    def head(**arguments: Any) -> str:
        return text_of(tools.result(TOOL, namespace=place, **arguments)).split("\n")[0]

    assert head(name="talker").startswith("[Pod log-place/talker, container app: ")
    assert head(name="pair", container="*").startswith("[Pod log-place/pair, 3 containers: ")
    assert head(label_selector="app=web").startswith("[3 pods in log-place, container app: ")


def test_a_container_that_waits_is_no_fault_of_the_arguments_and_is_said_once() -> None:
    def words(pod: str, reason: str) -> str:
        said = f'container "app" in pod "{pod}" is waiting to start: {reason}'
        body = {"kind": "Status", "reason": "BadRequest", "message": said}
        return str(error_of(400, orjson.dumps(body), f"read the logs of Pod shop/{pod}"))

    troubles = [(LogSource(pod, "app"), words(pod, "ErrImagePull")) for pod in ("web-1", "web-2", "web-3")]
    notes = trouble_notes([*troubles, (LogSource("web-4", "app"), words("web-4", "PodInitializing"))])
    assert len(notes) == 2
    assert notes[0].endswith("k8s_describe the pod to see what it waits for (the same for 2 others: web-2/app, web-3/app)")
    assert notes[1].startswith("web-4/app: cannot read the logs")
    assert "correct the arguments" not in " ".join(notes)


def test_pods_of_many_containers_are_read_whole_or_named_for_the_next_call(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    containers = [{"name": f"c{number}", "image": "example/app"} for number in range(8)]
    for number in range(3):
        pod = f"wide-{number}"
        control_plane.pods.create(place, pod, None, spec={"containers": containers}, labels={"app": "wide"})
    first = tools(TOOL, label_selector="app=wide", namespace=place)
    assert {one.split("/")[0] for one in first["containers"]} == {"wide-0", "wide-1"}
    assert "not read: wide-2: repeat with offset=2" in first["note"]
    assert len(tools(TOOL, label_selector="app=wide", namespace=place, offset=2)["containers"]) == 8


def test_the_errors_of_a_log_of_50000_lines_are_one_cheap_call(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    mark = control_plane.audit.mark()
    result = tools.result(TOOL, name="busy", namespace=place, level="error")
    answer = result.structured_content
    assert (answer["read"], answer["matched"], answer["levels"]) == (50_000, 100, {"error": 100, "info": 49_900})
    assert text_of(result).endswith("the last one: disk full")
    assert cost(result) <= 4000
    assert len(control_plane.audit.requests(mark, user_agent="k8s-mcp/")) == 2


@pytest.mark.parametrize("max_tokens", [1000, 1500, 4000])
def test_no_answer_is_over_its_budget_and_what_is_left_out_is_said(tools: ToolClient, place: str, max_tokens: int) -> None:
    result = tools.result(TOOL, name="chatty", namespace=place, grep="GET|ERROR", fold=False, max_tokens=max_tokens)
    answer = result.structured_content
    assert cost(result) <= max_tokens
    assert answer["truncated"]
    assert f"{answer['shown']} of 5000 matching lines shown" in answer["note"]
    assert f"{5000 - answer['shown']} older ones left out: repeat with" in answer["note"]
    if max_tokens >= 1000:
        assert text_of(result).endswith("disk full")
        assert text_of(result).split("\n")[1].startswith("[most frequent: 4990 × INFO [worker-")


def pages(tools: ToolClient, place: str, **arguments: Any) -> list[list[str]]:
    """The lines of every answer, the newest first, as the calls that the answers name give them."""
    found: list[list[str]] = []
    until: dict[str, str] = {}
    while len(found) < 60:
        result = tools.result(TOOL, namespace=place, **arguments, **until)
        answer = result.structured_content
        found.append(text_of(result).split("\n")[-answer["text_lines"] :])
        if "until_time=" not in answer["note"]:
            return found
        until = {"until_time": answer["note"].split("until_time=")[1].split(",")[0]}
    raise AssertionError("the same again and again")


@pytest.mark.parametrize("max_tokens", [1000, 1500])
def test_the_calls_that_are_named_get_every_line_that_was_left_out_once(tools: ToolClient, place: str, max_tokens: int) -> None:
    found = pages(tools, place, name="talker", tail_lines=302, fold=False, max_tokens=max_tokens)
    lines = [line for page in reversed(found) for line in page]
    assert lines[:-2] == [f"word {WORDS[number % 10]} {number}" for number in range(300)]
    assert len(found) > 1


def findings(*times: int) -> LogFindings:
    """Lines of these seconds that cost about 60 tokens each."""
    lines = [
        LogLine(f"{number} " + "word " * 40, f"2026-01-01T00:00:{time:02d}.000000Z", "unknown", number)
        for number, time in enumerate(times)
    ]
    return LogFindings({}, (LogSource("a", "b"),), lines, None, unfolded(lines), (), timestamps=False, cut_short=False)


def test_the_time_to_go_on_from_is_before_the_whole_run_of_folded_lines() -> None:
    found = findings(*range(1, 41))
    words = [replace(line, text=f"{WORDS[number // 4]} " * 40) for number, line in enumerate(found.read)]
    answer = answer_of(replace(found, read=words, shown=folded(words)), 400)
    assert answer.structured is not None
    assert answer.structured["shown"] == 4 * answer.structured["text_lines"] > 4
    oldest = 41 - answer.structured["shown"]
    assert f"until_time=2026-01-01T00:00:{oldest - 1:02d}.999999Z" in answer.structured["note"]


def test_lines_of_one_time_are_not_parted_between_two_answers() -> None:
    answer = answer_of(findings(1, *[2] * 8, 3, 4), 400)
    assert answer.structured is not None
    assert answer.structured["text_lines"] == 2
    assert "until_time=2026-01-01T00:00:02.999999Z" in answer.structured["note"]


def test_where_lines_of_one_time_are_more_than_fit_the_answer_says_which_no_time_reaches() -> None:
    answer = answer_of(findings(1, *[2] * 20), 400)
    assert answer.structured is not None
    shown = answer.structured["text_lines"]
    assert shown > 1
    assert f"{20 - shown} of them have the time of the oldest one shown" in answer.structured["note"]
    assert "until_time=2026-01-01T00:00:01.999999Z" in answer.structured["note"]


def test_what_is_before_the_last_line_that_can_be_read_is_not_promised(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    control_plane.pods.create(place, "endless", None)
    control_plane.logs.set(place, "endless", "\n".join(f"line {number}" for number in range(100_010)))
    answer = tools(TOOL, name="endless", namespace=place, grep="line 100009")
    assert (answer["read"], answer["truncated"]) == (100_000, True)
    assert "no argument reaches what is before them" in answer["note"]


def test_repeated_lines_are_folded_unless_that_is_not_wanted(lines: Any) -> None:
    (last, *rest) = lines(name="chatty", tail_lines=300)[::-1]
    assert last == "ERROR [worker-7] the last one: disk full"
    assert [line.rsplit(" ", 2)[1:] for line in rest] == [["×", "299"]]
    assert len(lines(name="chatty", tail_lines=30, fold=False)) == 30


def test_a_private_key_over_several_lines_stays_hidden_with_and_without_timestamps(
    tools: ToolClient, place: str, control_plane: ControlPlane
) -> None:
    key = ["-----BEGIN PRIVATE KEY-----", *KEY_BODY, "-----END PRIVATE KEY-----"]
    control_plane.pods.create(place, "keeper", None)
    control_plane.logs.set(place, "keeper", "\n".join(["before the key", *key, "after the key"]))
    # the whole log, and one that begins inside of the key
    for timestamps, tail in ((False, 9), (True, 9), (False, 4), (True, 4)):
        result = tools.result(TOOL, name="keeper", namespace=place, timestamps=timestamps, tail_lines=tail)
        assert not [part for part in KEY_BODY if part in str(result)]
        assert "after the key" in text_of(result)
        assert "‹redacted:" in text_of(result)


def test_a_pod_without_logs_is_an_error_that_says_so(tools: ToolClient, place: str) -> None:
    assert "not found" in tools.error(TOOL, name="absent", namespace=place)["message"]
    assert tools.error(TOOL, name="talker", namespace=place, container="a/b")["type"] == "InvalidArguments"
