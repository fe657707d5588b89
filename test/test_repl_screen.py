"""What is shown: nothing from a cluster can drive the terminal, tables fit it, and an answer streams block by block."""

from __future__ import annotations

import io
import json

import pytest
from rich.cells import cell_len

from agent.agent_events import Notice, TextDelta, ToolFinished, ToolStarted
from agent.repl.prompt_line import StatusBar
from agent.terminal.answer_view import AnswerView, call_text
from agent.terminal.durations import age, parse_duration, took
from agent.terminal.grid import kind_grid, print_grid, sql_grid
from agent.terminal.markdown_blocks import MarkdownBlocks
from agent.terminal.object_view import show_object
from agent.terminal.safe_text import safe_block, safe_line
from agent.terminal.screen import Screen
from configuration.errors import NotFound
from kinds.registry import KINDS
from shop_cache_fixtures import pod

HOSTILE = [
    "\x1b]0;owned\x07title", "\x1b[2J\x1b[1;1Hcleared", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31mred", "a\rb", "a\x08\x08b",
    "\x1bP+q\x1b\\dcs", "\u202egnp.exe", "in\u200bvisible", "\x1b]52;c;ZXZpbA==\x07clipboard", "\x1b\x1b[31m[31m", "\x00\x7f\x85",
    "\ud800", "\U000e0041tag",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_control_character_reaches_the_screen(text: str) -> None:
    for shown in (safe_block(text), safe_line(text)):
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F for c in shown), shown
        assert not any(c in shown for c in "\u202e\u200b\ud800\U000e0041")
        shown.encode("utf-8")


def test_ordinary_text_of_any_language_stays_as_it_is() -> None:
    text = "支付服务 déployée ✓ 🚀 مرحبا\n  second line"
    assert safe_block(text) == text


def test_a_hostile_pod_cannot_drive_the_terminal_from_any_view() -> None:
    out = io.StringIO()
    screen = Screen(out, out)
    row = dict.fromkeys(KINDS["pods"].list_columns, "\x1b]0;owned\x07\x1b[2Jx")
    screen.table(kind_grid(KINDS["pods"], [row], now=0, namespace=True))
    screen.table(sql_grid(["\x1b[2Jc"], [("\x1b[2J",), (b"\x1b[2J",), (["\x1b[2J"],)]))
    show_object(screen, KINDS["pods"], {"row": row, "manifest": {"a": "\x1b[2J\u202e"}}, "", now=0)
    show_object(screen, KINDS["pods"], {"row": row, "manifest": {"a": "\x1b[2J\u202e"}}, "yaml", now=0)
    for show in (screen.text, screen.note, screen.warning, screen.error):
        show("\x1b]0;owned\x07\x1b[2J")
    with AnswerView(screen) as view:
        view.on_event(TextDelta("\x1b[2J"))
        view.on_event(ToolStarted("1", "k8s_list_pods", {"name": "\x1b[2J"}))
        view.on_event(ToolFinished("1", "k8s_list_pods", "live", "\x1b[2J", 0.1))
        view.on_event(Notice("\x1b[2J"))
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()


def test_columns_align_in_cells_when_names_are_chinese() -> None:
    printed = print_grid(sql_grid(["name", "n"], [("支付服务", 1), ("api", 22)]), 80)
    ends = {cell_len(line.plain) for line in printed.lines}
    assert ends == {cell_len("支付服务") + 2 + 2}


def test_null_is_not_the_empty_text() -> None:
    assert sql_grid(["a", "b"], [(None, "")]).cells == (("NULL", ""),)


PODS = [
    {"namespace": "payments", "name": "checkout-7d9f8b6c5d-x2x9q", "ready": "0/1", "status": "CrashLoopBackOff", "restarts": 12,
     "created_at": "2026-01-01T00:00:00Z", "pod_ip": "10.42.0.17", "node": "worker-eu-west-1a-0123456789"},
]  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 60, 80, 110, 200])
def test_a_table_never_exceeds_the_terminal_and_says_what_it_left_out(width: int) -> None:
    grid = kind_grid(KINDS["pods"], PODS, now=1767225600 + 3600, namespace=True)
    printed = print_grid(grid, width)
    assert max(cell_len(line.plain) for line in printed.lines) <= width
    assert len(printed.left_out) + len(printed.lines[0].plain.split("  ")) >= 4
    assert printed.lines[0].plain.startswith("NA")


def test_on_a_narrow_terminal_the_status_outlives_age_and_node() -> None:
    printed = print_grid(kind_grid(KINDS["pods"], PODS, now=1767229200, namespace=True), 60)
    assert "CrashLoopBackOff" in printed.lines[1].plain
    assert set(printed.left_out) >= {"AGE", "IP", "NODE"}


def test_on_a_narrow_terminal_an_event_keeps_its_object_and_message() -> None:
    message = {"message": "Back-off restarting failed container " * 3}
    row = dict.fromkeys(KINDS["events"].list_columns, "value-of-column") | message
    printed = print_grid(kind_grid(KINDS["events"], [row], now=0, namespace=True), 60)
    assert "OBJECT NAME" in printed.lines[0].plain
    assert "Back-off re" in printed.lines[1].plain
    assert set(printed.left_out) == {"COUNT", "OBJECT KIND", "TYPE", "REASON"}


def test_a_pipe_gets_every_column_in_full_and_no_colour() -> None:
    out = io.StringIO()
    assert Screen(out, out).table(kind_grid(KINDS["pods"], PODS, now=1767229200, namespace=True)) == ()
    assert "worker-eu-west-1a-0123456789" in out.getvalue()
    assert "60m" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_an_object_that_is_not_there_is_an_error_and_not_an_empty_page() -> None:
    with pytest.raises(NotFound):
        show_object(Screen(io.StringIO(), io.StringIO()), KINDS["pods"], {"row": None, "manifest": None}, "", now=0)


def test_an_object_is_shown_with_what_explains_its_state() -> None:
    out = io.StringIO()
    manifest = pod("payments", "api-0", 1767229200, waiting="CrashLoopBackOff", restarts=12)
    show_object(Screen(out, out), KINDS["pods"], {"row": {}, "manifest": manifest}, "", now=1767229200)
    lines = out.getvalue().splitlines()
    assert any(line.split() == ["status", "CrashLoopBackOff"] for line in lines)
    assert any(line.split() == ["labels", "app=api"] for line in lines)
    assert any(line.startswith("main ") and "shop/web:1" in line and "CrashLoopBackOff" in line for line in lines)
    assert not any("host network" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (125, "2m5s"), (600, "10m"), (10_799, "179m"), (11_000, "3h3m"), (30_000, "8h"), (200_000, "2d7h"),
     (864_000, "10d"), (86400 * 800, "2y70d")],
)  # fmt: skip
def test_ages_read_as_kubectl_prints_them(seconds: int, shown: str) -> None:
    assert age(seconds) == shown


def test_durations_are_read_and_refused() -> None:
    assert [parse_duration(text) for text in ("90", "90s", "5m", "1h30m", "1d")] == [90, 90, 300, 5400, 86400]
    for wrong in ("", "m", "5x", "1h5", "-5m"):
        with pytest.raises(ValueError, match="no duration"):
            parse_duration(wrong)
    assert [took(s) for s in (0.0384, 1.24, 125)] == ["38 ms", "1.2 s", "2m05s"]


def test_markdown_blocks_are_complete_at_empty_lines_and_closed_fences() -> None:
    blocks = MarkdownBlocks()
    text = "# Title\n\nfirst\nparagraph\n\n```sh\nkubectl get pods\n\n# not a block\n```\n- a\n- b\n"
    found = [block for piece in (text[i : i + 3] for i in range(0, len(text), 3)) for block in blocks.feed(piece)]
    assert found == ["# Title", "first\nparagraph", "```sh\nkubectl get pods\n\n# not a block\n```"]
    assert blocks.finish() == ["- a\n- b"]
    assert blocks.finish() == []


def test_in_a_pipe_only_the_answer_goes_to_stdout() -> None:
    out, err = io.StringIO(), io.StringIO()
    with AnswerView(Screen(out, err)) as view:
        view.on_event(ToolStarted("1", "k8s_list_pods", {"namespace": "shop"}))
        view.on_event(ToolFinished("1", "k8s_list_pods", "cache", "3 rows", 0.012))
        view.on_event(TextDelta("Three "))
        view.on_event(TextDelta("pods."))
    assert out.getvalue() == "Three pods.\n"
    assert "k8s_list_pods (cache) 3 rows · 12 ms" in err.getvalue()


def test_json_is_one_document_on_one_line_in_a_pipe() -> None:
    out = io.StringIO()
    Screen(out, out).json({"name": "支付 \x1b[2J", "rows": [1] * 200})
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue())["name"] == "支付 \x1b[2J"
    assert "\x1b" not in out.getvalue()


def test_long_arguments_leave_room_for_the_rest_of_the_line() -> None:
    assert len(call_text("k8s_list_pods", {"label_selector": "a=" + "b" * 500, "namespace": ""})) < 80


def test_cluster_and_namespace_are_in_the_prompt_and_a_long_name_keeps_its_end() -> None:
    bar = StatusBar(cluster="arn:aws:eks:eu-west-1:123456789012:cluster/production-eu", namespace="payments", ready=True)
    prompt = "".join(text for _, text in bar.prompt())
    assert prompt.endswith("production-eu/payments ❯ ")
    assert len(prompt) < 50
    assert "arn:aws:eks:eu-west-1:123456789012:cluster/production-eu" in "".join(text for _, text in bar.toolbar())
    assert "no cluster" in "".join(text for _, text in StatusBar(ready=True).prompt())
