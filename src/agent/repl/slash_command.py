"""How a slash command is declared, and how it is found again by what was typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import TYPE_CHECKING

from agent.repl.slash_line import Option, SlashLine
from configuration.errors import ConfigurationError

if TYPE_CHECKING:
    from agent.repl.workbench import Workbench

Handler = Callable[["Workbench", SlashLine], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """One command: what /help says about it, what it accepts, and the function that does it.

    `raw` commands take the rest of the line as it stands (SQL, for example). `completes` names what its arguments are:
    "command", "context", "kind", "model", "namespace", or a kind such as "pods", whose objects are looked up in the cache.
    """

    name: str
    help: str
    handler: Handler
    arguments: str = ""
    options: tuple[Option, ...] = ()
    example: str = ""
    aliases: tuple[str, ...] = ()
    raw: bool = False
    completes: str = ""
    filters: tuple[str, ...] = ()
    """Names that may be given as NAME=VALUE."""

    @property
    def usage(self) -> str:
        parts = [f"/{self.name}", self.arguments, *(f"[{option.spelling}]" for option in self.options)]
        return " ".join(part for part in parts if part)


def slash_command(
    name: str,
    help_text: str,
    *,
    arguments: str = "",
    options: Sequence[Option] = (),
    example: str = "",
    aliases: Sequence[str] = (),
    raw: bool = False,
    completes: str = "",
) -> Callable[[Handler], SlashCommand]:
    """Turn a function into the declaration of a slash command."""

    def declare(handler: Handler) -> SlashCommand:
        return SlashCommand(name, help_text, handler, arguments, tuple(options), example, tuple(aliases), raw, completes)

    return declare


def declared_in(modules: Iterable[ModuleType]) -> Mapping[str, SlashCommand]:
    """Every command that the modules declare, by name, in the order of declaration."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, SlashCommand)]
    return {command.name: command for command in found}


def find_command(commands: Mapping[str, SlashCommand], name: str) -> SlashCommand:
    """By name or alias. Raises ConfigurationError with the nearest names."""
    if name in commands:
        return commands[name]
    by_alias = {alias: command for command in commands.values() for alias in command.aliases}
    if name in by_alias:
        return by_alias[name]
    close = get_close_matches(name, [*commands, *by_alias], n=1)
    hint = f"did you mean /{close[0]}?" if close else "/help lists them"
    raise ConfigurationError(f"there is no command /{name[:40]}; {hint}")
