"""The line that a person types into: keys, history, and the bar that keeps cluster and namespace in sight."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, get_common_complete_suffix
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

LONGEST_CLUSTER = 28
"""Cells of a cluster's name in the prompt: names of managed clusters run to a hundred; their end tells them apart."""
_STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse fg:ansibrightblack", "cluster": "ansicyan bold", "namespace": "ansigreen", "warn": "ansiyellow"}
)


@dataclass
class StatusBar:
    """What is always in sight. Empty fields are not known yet."""

    cluster: str = ""
    namespace: str = ""
    cache: str = ""
    model: str = ""
    ready: bool = False

    def prompt(self) -> StyleAndTextTuples:
        """`kind-prod/payments ❯ `."""
        if not self.ready:
            return [("", "❯ ")]
        name = self.cluster or "no cluster"
        shown = name if len(name) <= LONGEST_CLUSTER else "…" + name[-LONGEST_CLUSTER + 1 :]
        style = "class:cluster" if self.cluster else "class:warn"
        return [(style, shown), ("", "/"), ("class:namespace", self.namespace), ("", " ❯ ")]

    def toolbar(self) -> StyleAndTextTuples:
        """The bar below: cluster in full, namespace, age of the cache, model."""
        if not self.ready:
            return [("", " starting …")]
        parts = [self.cluster or "no cluster", self.namespace, self.cache, self.model]
        return [("", " " + " · ".join(part for part in parts if part) + " · /help")]


def key_bindings(completer: Completer) -> KeyBindings:
    """Enter sends; a trailing backslash or Esc Enter starts a new line instead. Tab completes at once: prompt_toolkit's own
    Tab does nothing while the completion that it began with the last key is still under way."""
    keys = KeyBindings()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.completions:
            buffer.complete_next()
            return
        found = list(completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
        if len(found) == 1:
            buffer.apply_completion(found[0])
        else:
            buffer.insert_text(get_common_complete_suffix(buffer.document, found))
            buffer.start_completion()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None
        elif buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def open_history(path: Path | None) -> History:
    """The history file, readable by its owner only; in memory when there is none or it cannot be written."""
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        with suppress(OSError):
            path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def prompt_session(
    bar: StatusBar, completer: Completer, history: History, *, keyboard: Input | None = None, output: Output | None = None
) -> PromptSession[str]:
    """The prompt. Completion runs in a thread: it reads the database."""
    options: dict[str, Any] = {"input": keyboard, "output": output}
    return PromptSession(
        message=bar.prompt, bottom_toolbar=bar.toolbar, completer=completer, complete_in_thread=True,
        complete_while_typing=True, history=history, key_bindings=key_bindings(completer), multiline=True,
        prompt_continuation=lambda width, _number, _wrapped: " " * max(0, width - 2) + "… ", enable_history_search=False,
        style=_STYLE, reserve_space_for_menu=6, **options,
    )  # fmt: skip
