"""One slash line, `/pods -n shop -l app=web -o wide`, read as kubectl would read it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from configuration.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a slash command. `value` names what follows it; "" for a switch."""

    long: str
    short: str = ""
    value: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()

    @property
    def spelling(self) -> str:
        name = f"-{self.short}" if self.short else f"--{self.long}"
        return f"{name} {self.value}" if self.value else name


NAMESPACE = Option("namespace", "n", "NS", "only this namespace")
ALL_NAMESPACES = Option("all-namespaces", "A", help="every namespace")
SELECTOR = Option("selector", "l", "SELECTOR", "label selector: app=web,tier!=db")
OUTPUT = Option("output", "o", "FORMAT", "how to print it", ("wide", "json"))
LIMIT = Option("limit", value="N", help="rows at most, up to 1000")
LIVE = Option("live", help="ask the API server, not the cache")


@dataclass(frozen=True)
class SlashLine:
    """What was typed after the command's name. `rest` is the text as it stands, for commands such as /sql."""

    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    """Long name -> value; a switch that was given is "true"."""
    rest: str = ""

    def option(self, option: Option) -> str:
        return self.options.get(option.long, "")

    def has(self, option: Option) -> bool:
        return option.long in self.options


def split_command(line: str) -> tuple[str, str]:
    """`/pods -A` -> ("pods", "-A"). A full-width slash, which Chinese input methods type, counts as a slash."""
    name, _, rest = line.strip().replace("／", "/", 1).removeprefix("/").partition(" ")
    return name.lower(), rest.strip()


def is_slash_line(line: str) -> bool:
    return line.lstrip().startswith(("/", "／"))


def parse(command: str, rest: str, options: Sequence[Option]) -> SlashLine:
    """Read the rest of a line by the options that `command` declares. Raises ConfigurationError with what it accepts."""
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise ConfigurationError(f"/{command}: {str(error).lower()}; close the quotation") from None
    arguments: list[str] = []
    given: dict[str, str] = {}
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            arguments += waiting
        elif word.startswith("-") and word != "-":
            option, value = _match(command, word, options)
            given[option.long] = _value(command, option, value, waiting) if option.value else "true"
        else:
            arguments.append(word)
    return SlashLine(tuple(arguments), given, rest)


def _match(command: str, word: str, options: Sequence[Option]) -> tuple[Option, str | None]:
    """`--limit=5`, `-o=json`, `-ojson` and `-n` -> the option and the value that stands in the same word."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        found = next((option for option in options if option.long == name), None)
        attached = value if equals else None
    else:
        found = next((option for option in options if option.short and option.short == word[1]), None)
        attached = word[2:].removeprefix("=") or None
    if found is None:
        raise ConfigurationError(f"/{command} has no option {word.partition('=')[0]}{_near(word, options)}")
    if attached is not None and not found.value:
        raise ConfigurationError(f"/{command}: {found.spelling} takes no value")
    return found, attached


def _near(word: str, options: Sequence[Option]) -> str:
    if not options:
        return "; it takes none"
    close = get_close_matches(word.lstrip("-"), [option.long for option in options], n=1)
    if close:
        return f"; did you mean --{close[0]}?"
    return "; it takes " + ", ".join(option.spelling for option in options)


def _value(command: str, option: Option, attached: str | None, waiting: object) -> str:
    value = attached if attached is not None else next(waiting, None)  # type: ignore[call-overload]  # an iterator of words
    if value is None:
        raise ConfigurationError(f"/{command}: {option.spelling} needs a value")
    if option.choices and value not in option.choices:
        raise ConfigurationError(f"/{command}: --{option.long} is one of {', '.join(option.choices)}, not {value[:40]!r}")
    return str(value)
