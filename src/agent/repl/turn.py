"""One line of a session, from what was typed to what is on the screen. Nothing that goes wrong here ends the session."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from prompt_toolkit.input import Input

from agent.repl.interruption import until_stopped
from agent.repl.slash_command import SlashCommand, find_command
from agent.repl.slash_line import SlashLine, is_slash_line, parse, split_command
from agent.repl.workbench import Workbench
from agent.terminal.answer_view import AnswerView
from agent.terminal.approval_dialogue import ApprovalDialogue
from agent.terminal.signature import sign
from configuration.errors import K8sMcpError

log = logging.getLogger(__name__)

SHOW_WAITING_AFTER_SECONDS = 0.2
_BARE_EXITS = frozenset({"exit", "quit", "q", ":q", "退出"})
_KUBECTL = frozenset({"get", "logs"})


class Turns:
    """Runs lines one after the other. `keyboard` is watched while a line is being worked on."""

    def __init__(
        self,
        bench: Workbench,
        commands: Mapping[str, SlashCommand],
        dialogue: ApprovalDialogue,
        *,
        keyboard: Input,
        debug: bool = False,
    ) -> None:
        self.bench = bench
        self.commands = commands
        self._screen = bench.screen
        self._dialogue = dialogue
        self._keyboard = keyboard
        self._debug = debug

    async def run(self, line: str) -> None:
        """Do what the line says and print it, its errors included."""
        text = as_slash_line(line.strip())
        if not text:
            return
        try:
            work = self._slash(text) if is_slash_line(text) else self._question(text)
            if await until_stopped(work, self._keyboard) is None:
                self._screen.warning("stopped")
                self._sign()
        except K8sMcpError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 (a turn is a top-level handler: a defect in one line must not end the session)
            self._failed(f"{type(error).__name__}: {error}; this is a defect, `main --debug` shows where")

    def _failed(self, message: str) -> None:
        if self._debug:
            log.exception("this line failed")
        self._screen.error(message)
        self._sign()

    async def _slash(self, text: str) -> bool:
        name, rest = split_command(text)
        command = find_command(self.commands, name or "help")
        line = SlashLine(rest=rest) if command.raw else parse(command.name, rest, command.options)
        with AnswerView(self._screen, waiting=f"/{command.name}", delay_seconds=SHOW_WAITING_AFTER_SECONDS):
            await command.handler(self.bench, line)
        self._sign()
        return True

    async def _question(self, text: str) -> bool:
        if self.bench.model.problem:
            self._screen.warning(self.bench.model.problem)
            self._screen.note("slash commands work without a model: /help lists them")
            return True
        started = time.monotonic()
        with AnswerView(self._screen) as view:
            self._dialogue.view = view
            try:
                final = await self.bench.ask(text, view.on_event)
            finally:
                self._dialogue.view = None
        sign(self._screen, final, time.monotonic() - started)
        return True

    def _sign(self) -> None:
        """The sources of what a slash command or a stopped answer has shown."""
        sources = self.bench.gateway.ledger.take()
        if sources.uses:
            self._screen.note(f"— {sources.text()}")


def as_slash_line(text: str) -> str:
    """Habits of other tools: a bare `exit`, and `kubectl get pods -A`."""
    if text.lower() in _BARE_EXITS:
        return "/exit"
    words = text.split(maxsplit=2)
    if len(words) > 1 and words[0] in ("kubectl", "k") and words[1] in _KUBECTL:
        return " ".join([f"/{words[1]}", *words[2:]])
    return text
