"""The session: the prompt at once, everything heavy behind it, then line after line until the person leaves."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.output import Output

from agent.repl.completion import SlashCompleter
from agent.repl.prompt_line import StatusBar, open_history, prompt_session
from configuration.errors import CacheMissing, K8sMcpError

if TYPE_CHECKING:
    from agent.repl.turn import Turns
    from agent.repl.workbench import Workbench
    from agent.settings import AgentSettings

GLANCE_SECONDS = 3.0
PRELOAD_AFTER_SECONDS = 0.3
TERMINATED = 143


@dataclass(frozen=True)
class SessionOptions:
    """What the command line said. `load_settings` runs behind the prompt; a ConfigurationError of it ends the session."""

    load_settings: Callable[[], AgentSettings]
    environment: Mapping[str, str]
    context: str = ""
    namespace: str | None = None
    history: Path | None = None
    greeting: str = ""
    debug: bool = False
    keyboard: Input | None = None
    output: Output | None = None


class ReplSession:
    """One session at one terminal. `run` returns the exit code."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._keyboard = options.keyboard or create_input()
        self._bar = StatusBar()
        self._completer = SlashCompleter()
        history = open_history(options.history)
        self._prompt = prompt_session(self._bar, self._completer, history, keyboard=self._keyboard, output=options.output)
        self._glancing: asyncio.Task[None] | None = None
        self._preloading: asyncio.Task[None] | None = None
        self._glanced = asyncio.Event()
        self._quiet = asyncio.Event()

    async def run(self) -> int:
        """Until /exit or Ctrl-D (0) or a signal to end (143). Raises ConfigurationError when the settings are wrong."""
        if self._options.greeting:
            print(self._options.greeting, flush=True)
        self._quiet.set()
        opening = asyncio.create_task(self._open())
        opening.add_done_callback(self._leave_on_failure)
        _on_termination(asyncio.current_task())
        try:
            # Raw from here to the end: between prompt and answer, a cooked terminal would echo keys and swallow Ctrl-D.
            with self._keyboard.raw_mode():
                await self._lines(opening)
        except asyncio.CancelledError:
            return TERMINATED
        finally:
            await self._close(opening)
        return 0

    async def _lines(self, opening: asyncio.Task[Turns]) -> None:
        while True:
            try:
                line = await self._prompt.prompt_async()
            except KeyboardInterrupt:
                continue  # Ctrl-C empties the line, as in a shell
            except EOFError:
                if opening.done():
                    opening.result()
                return
            turns = await opening
            self._quiet.clear()
            await turns.run(line)
            self._quiet.set()
            if turns.bench.leaving:
                return
            self._show(turns)

    def _leave_on_failure(self, opening: asyncio.Task[Turns]) -> None:
        """Settings that are wrong end the session at once, also while the prompt waits."""
        if not opening.cancelled() and opening.exception() is not None and self._prompt.app.is_running:
            self._prompt.app.exit(exception=EOFError())

    async def _open(self) -> Turns:
        """Import and build what the prompt did not need, in a thread, so that typing stays fluent."""
        turns = await asyncio.to_thread(self._build)
        await turns.bench.__aenter__()
        self._show(turns)
        await run_in_terminal(lambda: _say_what_is_missing(turns.bench))
        self._glancing = asyncio.create_task(self._keep_glancing(turns))
        if not turns.bench.model.problem:
            self._preloading = asyncio.create_task(self._preload_when_quiet(turns))
        return turns

    def _build(self) -> Turns:
        from agent.repl.all_commands import slash_commands
        from agent.repl.cache_names import CacheNames
        from agent.repl.turn import Turns
        from agent.repl.workbench import Workbench
        from agent.terminal.approval_dialogue import ApprovalDialogue
        from agent.terminal.screen import Screen

        options = self._options
        settings = options.load_settings()
        screen = Screen(together=True)
        dialogue = ApprovalDialogue(screen, keyboard=self._keyboard, output=options.output)
        bench = Workbench(
            settings, screen, environment=options.environment, context=options.context, namespace=options.namespace,
            ask_approval=dialogue.ask,
        )  # fmt: skip
        self._completer.names = CacheNames(settings.cache_db_path, lambda: bench.gateway.cluster)
        self._completer.commands = slash_commands()
        self._completer.contexts = bench.contexts()
        return Turns(bench, self._completer.commands, dialogue, keyboard=self._keyboard, debug=options.debug)

    def _show(self, turns: Turns) -> None:
        bench = turns.bench
        self._bar.cluster, self._bar.namespace = bench.gateway.cluster, bench.gateway.namespace
        self._bar.model = "no model" if bench.model.problem else bench.model.name
        self._bar.ready = True
        self._completer.namespace = bench.gateway.namespace

    async def _keep_glancing(self, turns: Turns) -> None:
        """Keep the age of the cache in the bar true; a few milliseconds every few seconds."""
        from agent.terminal.freshness_table import in_words

        while True:
            try:
                self._bar.cache = in_words(await turns.bench.gateway.freshness(), time.time())
            except CacheMissing:
                self._bar.cache = "no cache"
            except K8sMcpError:
                self._bar.cache = "cache unusable"
            self._prompt.app.invalidate()
            self._glanced.set()
            await asyncio.sleep(GLANCE_SECONDS)

    async def _preload_when_quiet(self, turns: Turns) -> None:
        """Import litellm (three seconds of work) while the person types, but not before the first look at the cache nor while
        a command runs: those would wait for it."""
        await self._glanced.wait()
        await asyncio.sleep(PRELOAD_AFTER_SECONDS)
        await self._quiet.wait()
        # A daemon thread: leaving must not wait for an import of several seconds.
        threading.Thread(target=turns.bench.model.preload, name="preload", daemon=True).start()

    async def _close(self, opening: asyncio.Task[Turns]) -> None:
        for task in (self._glancing, self._preloading):
            if task is not None:
                task.cancel()
        opening.cancel()
        with suppress(asyncio.CancelledError, K8sMcpError):
            turns = await opening
            await turns.bench.__aexit__(None, None, None)


def _say_what_is_missing(bench: Workbench) -> None:
    """Above the prompt, once: what does not work, and what to do about it."""
    if bench.gateway.cluster_problem:
        bench.screen.warning(f"{bench.gateway.cluster_problem}; `main demo` brings a cluster of its own")
    if bench.model.problem:
        bench.screen.warning(bench.model.problem)


def _on_termination(main: asyncio.Task[object] | None) -> None:
    """SIGTERM and a closed terminal end the session in order: the MCP server and the database are closed."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        with suppress(NotImplementedError, ValueError):
            loop.add_signal_handler(number, main.cancel if main else loop.stop)
