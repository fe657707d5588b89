"""Log text as lines: redacted, with times and levels, folded, searched with other people's patterns."""

from __future__ import annotations

import asyncio

import pytest

from configuration.errors import InvalidArguments
from mcp_tools.line_search import matching_lines
from mcp_tools.log_folding import commonest, folded, pattern_of
from mcp_tools.log_levels import level_of, levels_of
from mcp_tools.log_lines import read_lines, with_context
from mcp_tools.log_times import line_time
from mcp_tools.redaction import Redactor

REDACTOR = Redactor(b"k" * 32)


def texts(body: bytes) -> list[str]:
    return [line.text for line in read_lines(body, REDACTOR)]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("pattern", [r"^(a|aa)+$", "((a{1000}){1000}){1000}{1000}", "(" * 5000 + ")" * 5000])
def test_a_pattern_that_explodes_is_stopped_and_the_server_lives_on(pattern: str) -> None:
    with pytest.raises(InvalidArguments, match="grep"):
        asyncio.run(matching_lines(["a" * 60 + "!"], pattern))
    assert asyncio.run(matching_lines(["ab", "cd"], "c")) == [1]


@pytest.mark.parametrize("pattern", ["(", "[a", "*"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArguments, match="not a valid regular expression"):
        asyncio.run(matching_lines(["x"], pattern))


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"\xff\xfe", ["\ufffd\ufffd"]),
        (b"a\rb\r\n", ["a", "b"]),
        (b"\x1b[31mred\x1b[0m\x07\n\x1b]0;title\x07b", ["red", "b"]),
    ],
)
def test_odd_bytes_become_lines(body: bytes, lines: list[str]) -> None:
    assert texts(body) == lines


def test_times_are_taken_off_and_written_in_utc() -> None:
    body = b"2026-01-02T03:04:05Z a\n2026-01-02T03:04:05.123456789Z b\n2026-01-02T05:04:05.1+02:00 c\n2026-01-02T03:04:06Z \nd"
    lines = read_lines(body, REDACTOR)
    assert [(line.time, line.text) for line in lines] == [
        ("2026-01-02T03:04:05.000000Z", "a"),
        ("2026-01-02T03:04:05.123456Z", "b"),
        ("2026-01-02T03:04:05.100000Z", "c"),
        ("2026-01-02T03:04:06.000000Z", ""),
        ("", "d"),
    ]
    assert line_time("2026-99-02T03:04:05+02:00") == ""


def test_a_secret_over_several_lines_is_found_between_timestamps_and_other_lines_keep_their_times() -> None:
    secret = ["-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEF", "-----END PRIVATE KEY-----"]
    told = ["start", "password=hunter22", *secret, "middle", *secret, "start", "end"]
    body = "\n".join(f"2026-01-02T03:04:{second:02d}Z {line}" for second, line in enumerate(told)).encode()
    lines = read_lines(body, REDACTOR)
    assert [(line.text[:9], line.time[17:19]) for line in lines] == [
        ("start", "00"),
        ("password=", "01"),
        ("‹redacted", "02"),
        ("middle", "05"),
        ("‹redacted", "06"),
        ("start", "09"),
        ("end", "10"),
    ]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-01-02 03:04:05,123 ERROR [main] c.e.Shop - no stock", "error"),
        ("[2026-01-02 03:04:05] WARN  pool exhausted", "warning"),
        ("INFO no ERROR was found", "info"),
        ('{"ts":1,"msg":"ERROR in words only","level":"info"}', "info"),
        ('{"severity":"CRITICAL","message":"x"}', "fatal"),
        ('{"level":50,"msg":"pino"}', "error"),
        ('{"level":30}', "info"),
        ('{"level":"info, ERROR"}', "info"),
        ("time=2026-01-02T03:04:05Z level=error msg=x", "error"),
        ("time=2026-01-02T03:04:05Z level=info msg=ERROR", "info"),
        ("E0102 03:04:05.000000       1 reflector.go:1] failed", "error"),
        ("I0102 03:04:05.000000       1 main.go:1] ERROR", "info"),
        ("2026/01/02 03:04:05 [error] 7#7: *1 connect() failed", "error"),
        ("panic: runtime error: index out of range", "fatal"),
        ("Error: Cannot find module 'x'", "error"),
        ("java.lang.IllegalStateException: no", "error"),
        ("ValueError: no", "error"),
        ("GET /errors/ERROR-PAGE 200", "unknown"),
        ("the terror of it", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_line_says_how_bad_it_is(line: str, level: str) -> None:
    assert level_of(line) == level


def test_a_stack_trace_has_the_level_of_its_record() -> None:
    lines = ["ERROR failed", "  at a.b(C.java:1)", "Caused by: x", "\t... 3 more", "INFO fine", "  detail", "plain", "  more"]
    assert levels_of(lines) == ["error"] * 4 + ["info"] * 2 + ["unknown"] * 2


def test_lines_that_differ_in_times_and_numbers_only_are_one_with_a_count() -> None:
    body = "\n".join([*(f"10:00:0{n} GET /a/{n} id=3f2a9c{n}b7e1 13.{n}ms" for n in range(5)), "other", "other", "10:00 GET /b"])
    found = folded(read_lines(body.encode(), REDACTOR))
    assert [(one.count, one.line.text.split()[-1]) for one in found] == [(5, "13.4ms"), (1, "other"), (1, "other"), (1, "/b")]
    assert commonest(found, 1)[0][0] == 5
    stamped = folded(read_lines(b"\n".join(b"2026-01-02T03:04:0%dZ again" % n for n in range(5)), REDACTOR))
    assert [(one.line.time[18], one.first_time[18]) for one in stamped] == [("4", "0")]
    assert pattern_of("web-1 said 0x1f") == pattern_of("web-2 said 0xab")
    assert pattern_of("no route to alpha") != pattern_of("no route to beta")


def test_context_is_taken_once_and_never_beyond_the_log() -> None:
    lines = read_lines(b"0\n1\n2\n3\n4\n5", REDACTOR)
    found = with_context(lines, [0, 2, 5], 1, 1)
    assert [(line.text, line.is_context) for line in found] == [
        ("0", False), ("1", True), ("2", False), ("3", True), ("4", True), ("5", False),
    ]  # fmt: skip
