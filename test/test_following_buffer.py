"""What a watch keeps, how its bytes become events, and how requests are counted: pure parts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_tools.api_usage import verb_of
from mcp_tools.change_buffer import KEPT_BYTES, KEPT_CHANGES, KEPT_MARKS, BufferFull, Change, ChangeBuffer
from mcp_tools.watch_lines import LineSplitter, LineTooLong, decode_event


def change(version: int, body: bytes = b"{}") -> Change:
    return Change(str(version), body, float(version))


def versions(buffer: ChangeBuffer, cursor: str, *, max_changes: int = 1000, max_bytes: int = 10**9) -> list[str]:
    return [one.resource_version for one in buffer.take(cursor, max_changes=max_changes, max_bytes=max_bytes).changes]


def test_each_cursor_that_was_given_is_a_place_to_go_on_from() -> None:
    buffer = ChangeBuffer("5")
    for version in (7, 9):
        buffer.add(change(version))
    buffer.mark("20")
    assert versions(buffer, "5") == ["7", "9"]
    assert versions(buffer, "7") == ["9"]
    assert versions(buffer, "9") == []
    taken = buffer.take("7", max_changes=9, max_bytes=999)
    assert (taken.cursor, taken.more) == ("20", False)
    assert versions(buffer, taken.cursor) == []
    assert not buffer.knows("8")
    buffer.add(change(21))
    assert versions(buffer, "20") == versions(buffer, "9") == ["21"]


def test_a_part_is_handed_out_with_the_cursor_of_its_last_change() -> None:
    buffer = ChangeBuffer("1")
    for version in range(2, 8):
        buffer.add(change(version, b"x" * 100))
    buffer.mark("50")
    taken = buffer.take("1", max_changes=2, max_bytes=10**6)
    assert ([one.resource_version for one in taken.changes], taken.cursor, taken.more) == (["2", "3"], "3", True)
    taken = buffer.take("3", max_changes=99, max_bytes=250)
    assert ([one.resource_version for one in taken.changes], taken.cursor, taken.more) == (["4", "5"], "5", True)
    taken = buffer.take("5", max_changes=99, max_bytes=1)
    assert ([one.resource_version for one in taken.changes], taken.cursor, taken.more) == (["6"], "6", True)
    taken = buffer.take("6", max_changes=0, max_bytes=1)
    assert (taken.changes, taken.cursor, taken.more) == ([], "6", True)
    taken = buffer.take("6", max_changes=1, max_bytes=1)
    assert (taken.cursor, taken.more) == ("50", False)


def test_an_answer_that_got_lost_can_be_asked_for_again() -> None:
    buffer = ChangeBuffer("1")
    buffer.add(change(2))
    assert versions(buffer, "1") == versions(buffer, "1") == ["2"]
    buffer.add(change(3))
    assert versions(buffer, "2") == ["3"]
    assert versions(buffer, "1") == ["2", "3"]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 300)), max_size=60))
def test_whoever_follows_the_cursors_sees_each_change_once_and_in_order(steps: list[tuple[int, int, int]]) -> None:
    buffer, cursor, version = ChangeBuffer("0"), "0", 0
    added, seen = list[str](), list[str]()
    for added_now, bookmarks, max_bytes in [*steps, (0, 0, 10**9)]:
        for _ in range(added_now):
            version += 1
            buffer.add(change(version, b"x" * (KEPT_BYTES // 5)))
            added.append(str(version))
        for _ in range(bookmarks):
            version += 1
            buffer.mark(str(version))
        taken = buffer.take(cursor, max_changes=max_bytes % 5, max_bytes=max_bytes * 1000)
        if max_bytes == 10**9:
            taken = buffer.take(cursor, max_changes=10**9, max_bytes=10**9)
        seen += [one.resource_version for one in taken.changes]
        cursor = taken.cursor
    assert seen == added


def test_what_was_handed_out_is_forgotten_after_a_while_and_the_rest_is_not() -> None:
    buffer = ChangeBuffer("0-start", max_changes=10**6)
    last = 3 * KEPT_CHANGES
    for version in range(1, last + 1):
        buffer.add(change(version))
    assert buffer.knows("0-start")
    assert versions(buffer, str(last - 1)) == [str(last)]
    assert not buffer.knows("0-start")
    oldest = next(version for version in range(last) if buffer.knows(str(version)))
    assert last - oldest <= KEPT_CHANGES + 1
    assert versions(buffer, str(oldest), max_changes=10**6)[-1] == str(last)


def test_large_changes_are_kept_by_their_size() -> None:
    buffer = ChangeBuffer("0-start")
    for version in range(1, 11):
        buffer.add(change(version, b"x" * (KEPT_BYTES // 2)))
        buffer.take(str(version), max_changes=1, max_bytes=1)
        assert buffer.bytes <= KEPT_BYTES
    assert not buffer.knows("7")
    assert versions(buffer, "8") == ["9", "10"]


@pytest.mark.parametrize("limits", [{"max_changes": 3}, {"max_bytes": 3}])
def test_what_nobody_takes_does_not_pile_up(limits: dict[str, int]) -> None:
    buffer = ChangeBuffer("1", **limits)
    for version in (2, 3, 4):
        buffer.add(change(version, b"x"))
    assert versions(buffer, "4") == []
    for version in (5, 6, 7):
        buffer.add(change(version, b"x"))
    with pytest.raises(BufferFull):
        buffer.add(change(8, b"x"))


def test_bookmarks_of_a_quiet_kind_do_not_pile_up() -> None:
    buffer = ChangeBuffer("1")
    for version in range(2, 500):
        buffer.mark(str(version))
    assert sum(buffer.knows(str(version)) for version in range(500)) == KEPT_MARKS
    assert buffer.take("499", max_changes=1, max_bytes=1).cursor == "499"


@given(st.lists(st.binary(max_size=20).map(lambda text: text.replace(b"\n", b"")), max_size=20), st.data())
def test_lines_are_the_same_however_they_are_cut_into_pieces(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    splitter, found, start = LineSplitter(), list[bytes](), 0
    while start < len(text):
        size = data.draw(st.integers(1, len(text)))
        found += splitter.feed(text[start : start + size])
        start += size
    assert found == [line for line in lines if line.strip()]


def test_a_line_that_was_cut_off_is_no_line() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b'{"type":"ADDED"') == []


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"x" * 11 + b"\n"], [b"a\n" + b"x" * 11]])
def test_a_line_longer_than_any_object_is_refused(pieces: list[bytes]) -> None:
    splitter = LineSplitter(max_line_bytes=10)
    with pytest.raises(LineTooLong):
        list(map(splitter.feed, pieces))


def test_events_are_decoded_without_touching_their_objects() -> None:
    event = decode_event(b'{"type":"MODIFIED","object":{"metadata":{"name":"a"}}}')
    assert (event.type, bytes(event.object)) == ("MODIFIED", b'{"metadata":{"name":"a"}}')
    for odd in (b"", b"[]", b'{"type":"NEW","object":{}}', b'{"type":"ADDED"}', b"<html>"):
        with pytest.raises(msgspec.MsgspecError):
            decode_event(odd)


@pytest.mark.parametrize(
    ("method", "path", "query", "verb"),
    [
        ("GET", "/api/v1/pods", [], "list"),
        ("GET", "/api/v1/pods", [("watch", "1")], "watch"),
        ("GET", "/api/v1/namespaces", [("limit", 1)], "list"),
        ("GET", "/api/v1/namespaces/shop", [], "get"),
        ("GET", "/api/v1/namespaces/shop/pods", [], "list"),
        ("GET", "/api/v1/namespaces/shop/pods/web", [], "get"),
        ("GET", "/api/v1/namespaces/shop/pods/web/log", [], "get"),
        ("GET", "/apis/apps/v1/deployments", [("watch", "true")], "watch"),
        ("GET", "/apis/apps/v1/namespaces/shop/deployments/web", [], "get"),
        ("GET", "/apis/apps/v1", [], "get"),
        ("GET", "/apis", [], "get"),
        ("GET", "/version", [], "get"),
        ("POST", "/api/v1/namespaces", [], "create"),
        ("PUT", "/api/v1/namespaces/shop/pods/web", [], "update"),
        ("PATCH", "/api/v1/namespaces/shop/pods/web", [], "patch"),
        ("DELETE", "/api/v1/namespaces/shop/pods/web", [], "delete"),
    ],
)
def test_requests_are_counted_under_the_verbs_of_kubernetes(
    method: str, path: str, query: list[tuple[str, str]], verb: str
) -> None:
    assert verb_of(method, path, query) == verb
