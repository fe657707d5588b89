"""The session on a real terminal (a pty): the real program, the real litellm path, a real database."""

from __future__ import annotations

import re
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from model_fixtures import KEY, ScriptedModel
from shop_cache_fixtures import FillCache, bare_environment
from terminal_fixtures import StartOnTerminal

READY = "shop-cluster/shop ❯"
SIGNED = r"— cache · shop-cluster · pods \d+ s old \(fresh\)"


def with_model(environment: dict[str, str], model: ScriptedModel) -> dict[str, str]:
    return environment | {
        "LLM_PROVIDER": "openai", "LLM_MODEL": "scripted", "LLM_API_KEY": KEY, "LLM_API_BASE": model.url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }  # fmt: skip


def test_the_prompt_comes_at_once_and_a_cached_command_answers_within_moments(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache
) -> None:
    terminal = main_on_terminal(environment=shop_cache().environment)
    terminal.expect("❯")
    terminal.line("/pods")  # typed before the session is ready: nothing is lost
    terminal.expect("web-0000 +1/1 +Running")
    terminal.expect("3 pods")
    terminal.expect(SIGNED)
    assert time.monotonic() - terminal.started < 15
    terminal.line("/exit")
    assert terminal.ends() == 0


def test_slash_commands_work_without_a_key_and_a_question_says_how_to_set_one(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache
) -> None:
    terminal = main_on_terminal(environment=shop_cache().environment)
    terminal.expect("LLM_API_KEY")
    terminal.expect(READY)
    terminal.line("/pods -A healthy=false")
    terminal.expect("payments +api-0 +0/1 +CrashLoopBackOff +12")
    terminal.expect("1 pod\n")
    terminal.line("why is it failing?")
    terminal.expect("LLM_API_KEY")
    terminal.expect("slash commands work without a model")
    terminal.line("/sql SELECT count(*) AS n FROM pods")
    terminal.expect(r"\bn\n[^\n]*4\n")  # a spinner may have stood there
    terminal.line("/pds")
    terminal.expect("did you mean /pods")
    terminal.line("/services")
    terminal.expect("does not answer")
    terminal.type("\x04")
    assert terminal.ends() == 0


def test_text_from_the_cluster_cannot_set_the_title_of_the_terminal(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache
) -> None:
    terminal = main_on_terminal(environment=shop_cache().environment, columns=160)
    terminal.expect(READY)
    terminal.line("/events -A")
    terminal.expect("Back-off restarting failed container")
    terminal.line("/sql SELECT message FROM events")
    terminal.expect("Back-off restarting failed container")
    assert b"\x1b]0;owned" not in terminal.raw


def test_an_answer_streams_shows_its_tools_and_is_signed(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache, scripted_model: ScriptedModel
) -> None:
    scripted_model.calls(("k8s_list_pods", {"namespace": "payments"}), text="Let me look.").says(
        "**api-0** is in CrashLoopBackOff."
    )
    terminal = main_on_terminal(environment=with_model(dict(shop_cache().environment), scripted_model))
    terminal.expect(READY)
    terminal.line("哪些 Pod 不健康?")
    terminal.expect("Let me look")
    terminal.expect(r"✓ k8s_list_pods \(cache\)")
    terminal.expect("api-0 is in CrashLoopBackOff", seconds=30)
    terminal.expect(SIGNED)
    terminal.expect(r"tokens · ")
    assert scripted_model.requests[0]["messages"][-1]["content"].endswith("哪些 Pod 不健康?")
    assert KEY not in terminal.text


@pytest.mark.parametrize("key", ["\x03", "\x1b"], ids=["ctrl-c", "esc"])
def test_a_key_stops_one_answer_and_keeps_the_session(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache, scripted_model: ScriptedModel, key: str
) -> None:
    scripted_model.hangs("I begin and never").says("Still here.")
    terminal = main_on_terminal(environment=with_model(dict(shop_cache().environment), scripted_model))
    terminal.expect(READY)
    terminal.line("a long one")
    assert scripted_model.reached.wait(30)
    terminal.expect("I begin and never")
    terminal.type(key)
    terminal.expect("stopped", seconds=5)
    terminal.line("are you there?")
    terminal.expect("Still here")
    terminal.line("/pods")
    terminal.expect("3 pods")


def test_what_is_typed_during_an_answer_is_kept_for_the_next_prompt(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache, scripted_model: ScriptedModel
) -> None:
    scripted_model.hangs("Wait for it").says("Second answer.")
    terminal = main_on_terminal(environment=with_model(dict(shop_cache().environment), scripted_model))
    terminal.expect(READY)
    terminal.line("first")
    assert scripted_model.reached.wait(30)
    terminal.expect("Wait for it")
    terminal.type("second\r")
    scripted_model.released.set()  # the stream breaks off, the turn ends, and the line that was typed is sent
    terminal.expect("Second answer", seconds=40)


@pytest.mark.parametrize(("status", "says"), [(401, "LLM_API_KEY"), (400, "scripted failure")])
def test_a_model_that_refuses_is_one_line_and_the_session_goes_on(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache, scripted_model: ScriptedModel, status: int, says: str
) -> None:
    scripted_model.fails(status)
    terminal = main_on_terminal(environment=with_model(dict(shop_cache().environment), scripted_model))
    terminal.expect(READY)
    terminal.line("hello")
    terminal.expect("error: ")
    terminal.expect(says)
    terminal.expect(READY)
    assert KEY not in terminal.text
    assert "Traceback" not in terminal.text


def test_lines_can_have_several_lines(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache, scripted_model: ScriptedModel
) -> None:
    scripted_model.says("Understood.")
    terminal = main_on_terminal(environment=with_model(dict(shop_cache().environment), scripted_model))
    terminal.expect(READY)
    terminal.type("one\\\rtwo\x1b\rthree\r")
    terminal.expect("Understood")
    assert scripted_model.requests[0]["messages"][-1]["content"].endswith("one\ntwo\nthree")


def test_history_is_private_and_survives_the_session(main_on_terminal: StartOnTerminal, shop_cache: FillCache) -> None:
    environment = dict(shop_cache().environment)
    terminal = main_on_terminal(environment=environment)
    terminal.expect(READY)
    terminal.line("/nodes")
    terminal.expect("2 nodes")
    terminal.line("/exit")
    assert terminal.ends() == 0
    history = Path(environment["XDG_STATE_HOME"]) / "k8s-mcp" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    again = main_on_terminal(environment=environment)
    again.expect(READY)
    again.type("\x1b[A\x1b[A")
    again.expect("/nodes")


def test_without_cluster_and_database_it_starts_and_says_what_to_do(main_on_terminal: StartOnTerminal, tmp_path: Path) -> None:
    environment = bare_environment(tmp_path)
    Path(environment["KUBECONFIG"]).unlink()
    terminal = main_on_terminal(environment=environment)
    terminal.expect("main demo")
    terminal.expect("no cluster/default ❯")
    terminal.line("/status")
    terminal.expect("scanner")
    terminal.line("/pods")
    terminal.expect("error: ")
    terminal.line("/help logs")
    terminal.expect("example +/logs")
    terminal.line("exit")
    assert terminal.ends() == 0


def test_a_wrong_setting_ends_the_session_with_one_line_and_exit_2(main_on_terminal: StartOnTerminal, tmp_path: Path) -> None:
    terminal = main_on_terminal(environment=bare_environment(tmp_path) | {"AGENT_MAX_STEPS": "many"})
    assert terminal.ends() == 2
    assert "error: AGENT_MAX_STEPS='many'" in terminal.text
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_session_and_its_server(
    main_on_terminal: StartOnTerminal, shop_cache: FillCache, number: signal.Signals
) -> None:
    terminal = main_on_terminal(environment=shop_cache().environment)
    terminal.expect(READY)
    terminal.line("/services")  # starts the MCP server: services were never scanned
    terminal.expect("error: ")
    terminal.expect(READY)
    children = [int(entry) for entry in _children(terminal.process.pid)]
    assert children
    terminal.process.send_signal(number)
    assert terminal.ends() == 143
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "the MCP server is still there"
        time.sleep(0.05)


def _children(pid: int) -> list[str]:
    found: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            found += (task / "children").read_text().split()
    return found


def test_a_narrow_terminal_is_not_overrun(main_on_terminal: StartOnTerminal, shop_cache: FillCache) -> None:
    terminal = main_on_terminal(environment=shop_cache().environment, columns=50)
    terminal.expect(READY)
    start = terminal.seen
    terminal.line("/pods -A")
    terminal.expect("left out for lack of space")
    rows = re.findall(r"(?:payments|shop) +(?:api|web)-.*Running.*", terminal.text[start:])
    assert len(rows) == 3
    assert all(len(row) <= 50 for row in rows)
