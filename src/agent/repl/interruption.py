"""Stopping one answer without leaving the session: Ctrl-C, Esc, or SIGINT from outside."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

T = TypeVar("T")

ESCAPE_WAIT_SECONDS = 0.1
"""How long a lone Esc may be the beginning of an arrow key."""
_STOP = (Keys.ControlC, Keys.Escape)


class KeyWatch:
    """Watches the keyboard while something runs. What is typed meanwhile is kept for the next prompt."""

    def __init__(self, keyboard: Input, task: asyncio.Task[object]) -> None:
        self._keyboard = keyboard
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._flush: asyncio.TimerHandle | None = None
        self._typed: list[KeyPress] = []
        self._paused = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Raw mode, so that Ctrl-C is a key, until the block ends."""
        with suppress(NotImplementedError, ValueError):
            self._loop.add_signal_handler(signal.SIGINT, self._task.cancel)
        try:
            with self._keyboard.raw_mode(), self._keyboard.attach(self._read):
                yield
        finally:
            if self._flush is not None:
                self._flush.cancel()
            with suppress(NotImplementedError, ValueError):
                self._loop.remove_signal_handler(signal.SIGINT)
            store_typeahead(self._keyboard, self._typed)

    def _read(self) -> None:
        self._handle(self._keyboard.read_keys())
        if self._flush is not None:
            self._flush.cancel()
        self._flush = self._loop.call_later(ESCAPE_WAIT_SECONDS, lambda: self._handle(self._keyboard.flush_keys()))

    def _handle(self, presses: list[KeyPress]) -> None:
        for press in presses:
            if press.key in _STOP:
                self._typed.clear()
                self._task.cancel()
            else:
                self._typed.append(press)


async def until_stopped(work: Awaitable[T], keyboard: Input) -> T | None:
    """Run `work` to its end; None when the person stopped it. Cancellation from outside passes through."""
    task: asyncio.Task[T] = asyncio.ensure_future(work)
    watch = KeyWatch(keyboard, task)
    try:
        with watch.watching():
            return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            raise
        return None
