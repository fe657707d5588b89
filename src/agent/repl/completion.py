"""Completion: commands, their options, and names from the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from agent.repl.slash_command import SlashCommand
from agent.repl.slash_line import ALL_NAMESPACES, NAMESPACE, Option, is_slash_line, split_command

if TYPE_CHECKING:
    from kinds.kind import Kind


def _kinds() -> Mapping[str, Kind]:
    from kinds.registry import KINDS  # thirty declarations: not before the prompt is on the screen

    return KINDS


class Names(Protocol):
    """Where object names come from: the cache."""

    def names(self, table: str, prefix: str, namespace: str = "") -> list[str]: ...

    def values(self, table: str, column: str, prefix: str) -> list[str]: ...


class NoNames:
    """Before the session is ready."""

    def names(self, table: str, prefix: str, namespace: str = "") -> list[str]:  # noqa: ARG002 (the protocol's)
        return []

    def values(self, table: str, column: str, prefix: str) -> list[str]:  # noqa: ARG002 (the protocol's)
        return []


@dataclass
class SlashCompleter(Completer):
    """Completes slash lines; questions in plain language are left alone."""

    commands: Mapping[str, SlashCommand] = field(default_factory=dict)
    names: Names = field(default_factory=NoNames)
    namespace: str = ""
    contexts: Sequence[str] = ()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        before = document.text_before_cursor
        if not is_slash_line(before):
            return
        words = before.split()
        if len(words) == 1 and not before[-1].isspace():
            yield from self._command_names(words[0])
            return
        name, rest = split_command(before)
        command = self.commands.get(name) or next((c for c in self.commands.values() if name in c.aliases), None)
        if command is None:
            return
        word = "" if before[-1].isspace() else words[-1]
        earlier = rest.split() if not word else rest.split()[:-1]
        yield from (Completion(text, -len(word), display_meta=meta) for text, meta in self._of_command(command, word, earlier))

    def _command_names(self, word: str) -> Iterator[Completion]:
        typed = word[1:].lower()
        for command in self.commands.values():
            if command.name.startswith(typed):
                yield Completion(f"/{command.name}", -len(word), display_meta=command.help)

    def _of_command(self, command: SlashCommand, word: str, earlier: list[str]) -> Iterator[tuple[str, str]]:
        if command.raw:
            yield from ((table, "table") for table in _kinds() if word and table.startswith(word.lower()))
            return
        waiting = self._option(command.options, earlier[-1]) if earlier else None
        if waiting is not None and waiting.value:
            values = self.names.names("namespaces", word) if waiting is NAMESPACE else waiting.choices
            yield from ((value, "") for value in values if value.startswith(word))
        elif word.startswith("-"):
            for option in command.options:
                spellings = [f"-{option.short}"] if option.short else []
                yield from ((text, option.help) for text in [*spellings, f"--{option.long}"] if text.startswith(word))
        else:
            yield from self._arguments(command, word, earlier)

    def _option(self, options: Sequence[Option], word: str) -> Option | None:
        return next((o for o in options if word in (f"--{o.long}", f"-{o.short}") and word != "-"), None)

    def _arguments(self, command: SlashCommand, word: str, earlier: list[str]) -> Iterator[tuple[str, str]]:
        source = command.completes
        if source == "command":
            yield from ((c.name, c.help) for c in self.commands.values() if c.name.startswith(word))
        elif source == "context":
            yield from ((name, "context") for name in self.contexts if name.startswith(word))
        elif source == "namespace":
            yield from ((name, "") for name in self.names.names("namespaces", word))
        elif source == "kind":
            given = next((w for w in earlier if not w.startswith("-")), "")
            known = next((k for k in _kinds().values() if given in (k.name, k.kind.lower(), *k.aliases)), None)
            if known is not None:
                yield from ((name, "") for name in self._objects(known.name, word, earlier))
            else:
                yield from ((name, "kind") for name in _kinds() if name.startswith(word))
        elif source in _kinds():
            yield from self._filters(command, word)
            yield from ((name, "") for name in self._objects(source, word, earlier))

    def _filters(self, command: SlashCommand, word: str) -> Iterator[tuple[str, str]]:
        name, equals, value = word.partition("=")
        if not equals:
            yield from ((f"{known}=", "filter") for known in command.filters if known.startswith(word) and word)
        elif name in command.filters:
            column = _kinds()[command.completes].columns_by_name[_kinds()[command.completes].filters[name]]
            values = ["true", "false"] if column.type == "boolean" else self.names.values(command.completes, column.name, value)
            yield from ((f"{name}={found}", "") for found in values if found.startswith(value))

    def _objects(self, table: str, word: str, earlier: list[str]) -> list[str]:
        if not _kinds()[table].namespaced or ALL_NAMESPACES.spelling in earlier:
            return self.names.names(table, word)
        for flag, value in pairwise(earlier):
            if flag in ("-n", "--namespace"):
                return self.names.names(table, word, value)
        return self.names.names(table, word, self.namespace)
