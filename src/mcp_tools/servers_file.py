"""MCP_SERVERS_FILE: further MCP servers, in the JSON form that other clients read too.

    {"mcpServers": {
        "github": {"command": "github-mcp-server", "args": ["stdio"], "env": {"GITHUB_TOKEN": "${GITHUB_TOKEN}"}},
        "metrics": {"type": "http", "url": "https://metrics.example/mcp", "headers": {"Authorization": "Bearer ${METRICS_TOKEN}"}}
    }}

What is in it is started as the user, so nobody else may be able to write it. `${NAME}` stands for a variable of our
environment, in the values of `env` and `headers` only: what is declared there is what a server gets, beside PATH and HOME.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from configuration.errors import ConfigurationError
from mcp_tools.qualified_names import MOST_SERVER_CHARACTERS, SERVER_NAME
from mcp_tools.server_address import ServerAddress

SETTING = "MCP_SERVERS_FILE"
MOST_BYTES = 1024 * 1024
MOST_SERVERS = 50
MESSAGE_BYTES = 16 * 1024 * 1024
ANSWER_CHARACTERS = 1_000_000
"""Of one answer: it is looked through for secrets before anything of it is shown, which takes time."""

_OF_A_COMMAND: dict[str, type] = {"type": str, "command": str, "args": list, "env": dict, "cwd": str}
_OF_AN_ADDRESS: dict[str, type] = {"type": str, "url": str, "headers": dict}
_WORDS: dict[type, str] = {str: "text", list: "a list of texts", dict: "an object of texts"}
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def read_servers(path: Path | None, environment: Mapping[str, str]) -> tuple[ServerAddress, ...]:
    """The servers of the file, () without one. Raises ConfigurationError that names the file, the server and the key."""
    return () if path is None else parse_servers(_text(path), str(path), environment)


def parse_servers(text: str, origin: str, environment: Mapping[str, str]) -> tuple[ServerAddress, ...]:
    """Raises ConfigurationError for anything that is not understood: what is ignored in silence may have been a limit."""
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except _Duplicate as error:
        raise _wrong(origin, f"{error} stands there twice") from None
    except (ValueError, RecursionError) as error:
        raise _wrong(origin, f"is no JSON ({error})") from None
    if not isinstance(document, dict) or set(document) != {"mcpServers"} or not isinstance(document["mcpServers"], dict):
        raise _wrong(origin, 'expected {"mcpServers": {"name": {…}}} and no other key')
    servers = document["mcpServers"]
    if len(servers) > MOST_SERVERS:
        raise _wrong(origin, f"names {len(servers)} servers; at most {MOST_SERVERS} are started")
    return tuple(_server(origin, name, entry, environment) for name, entry in servers.items())


class _Duplicate(ValueError):
    """A key that stands twice in an object."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Duplicate(repr(name[:80]))
        found[name] = value
    return found


def _text(path: Path) -> str:
    """Looked at and read through one descriptor, so that it is the file that was looked at which is read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _wrong(str(path), f"cannot be opened ({error.strerror}); correct the path or leave {SETTING} empty") from None
    try:
        _check_file(path, os.fstat(descriptor))
        content = os.read(descriptor, MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        raise _wrong(str(path), f"is larger than {MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _wrong(str(path), "is no UTF-8 text") from None


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _wrong(str(path), "is no file")
    if found.st_uid not in (os.geteuid(), 0):
        raise _wrong(str(path), "belongs to another user, who could have any program started; use a file of your own")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _wrong(str(path), f"can be written by others, who could have any program started: chmod go-w {path}")


def _server(origin: str, name: str, entry: Any, environment: Mapping[str, str]) -> ServerAddress:
    where = f"{origin}: server {name[:80]!r}"
    if not SERVER_NAME.fullmatch(name):
        raise _wrong(
            where,
            f"a name has at most {MOST_SERVER_CHARACTERS} of the characters A-Z a-z 0-9 _ -, begins with a letter or digit, "
            "does not end in _ and does not hold __",
        )
    if not isinstance(entry, dict):
        raise _wrong(where, "expected an object with `command` or `url`")
    if ("command" in entry) == ("url" in entry):
        raise _wrong(where, "expected either `command` (a program to start) or `url` (a server that is running)")
    _check_keys(where, entry, _OF_A_COMMAND if "command" in entry else _OF_AN_ADDRESS)
    return _started(where, name, entry, environment) if "command" in entry else _running(where, name, entry, environment)


def _check_keys(where: str, entry: Mapping[str, Any], known: Mapping[str, type]) -> None:
    for key, value in entry.items():
        if key not in known:
            raise _wrong(where, f"unknown key {key[:80]!r}; known are {', '.join(known)}")
        expected = known[key]
        items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
        if not isinstance(value, expected) or not all(isinstance(item, str) for item in items):
            raise _wrong(where, f"`{key}` must be {_WORDS[expected]}")
        texts = [value] if isinstance(value, str) else items
        if any("\0" in text for text in texts):
            raise _wrong(where, f"`{key}` holds a zero byte")
        if key not in ("env", "headers") and any(_REFERENCE.search(text) for text in texts):
            raise _wrong(where, f"`{key}` holds a ${{…}}, which is replaced in the values of `env` and `headers` only")


def _started(where: str, name: str, entry: Mapping[str, Any], environment: Mapping[str, str]) -> ServerAddress:
    _expect_type(where, entry, ("stdio",))
    command, folder = entry["command"], entry.get("cwd", "")
    if not command or ("/" in command and not Path(command).is_absolute()):
        raise _wrong(where, "`command` must be the name of a program on PATH, or an absolute path")
    if folder and not Path(folder).is_absolute():
        raise _wrong(where, "`cwd` must be an absolute path")
    declared = {key: _expanded(where, f"env {key}", value, environment) for key, value in entry.get("env", {}).items()}
    if wrong := next((key for key in declared if not _VARIABLE.fullmatch(key)), None):
        raise _wrong(where, f"`env` names {wrong[:80]!r}, which is no name of a variable")
    given = _given(environment)
    return ServerAddress(
        name, False, (command, *entry.get("args", ())), given | declared, working_directory=folder or given["HOME"],
        max_message_bytes=MESSAGE_BYTES, max_answer_characters=ANSWER_CHARACTERS,
    )  # fmt: skip


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """What every child gets. Of PATH the absolute entries: a program of the folder that somebody happens to be in is not it.

    For the same reason a server without `cwd` is started in HOME.
    """
    path = [entry for entry in environment.get("PATH", os.defpath).split(os.pathsep) if entry.startswith("/")]
    home = environment.get("HOME", "")
    return {"PATH": os.pathsep.join(path), "HOME": home if home.startswith("/") else "/"}


def _running(where: str, name: str, entry: Mapping[str, Any], environment: Mapping[str, str]) -> ServerAddress:
    _expect_type(where, entry, ("http", "streamable-http"))
    try:
        parts = urlsplit(entry["url"])
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise _wrong(where, "`url` must be an http(s) address")
    headers = {key: _expanded(where, f"headers {key}", value, environment) for key, value in entry.get("headers", {}).items()}
    for key, value in headers.items():
        if not _HEADER.fullmatch(key) or not (value.isascii() and value.isprintable()):
            raise _wrong(where, f"`headers` {key[:80]!r} is no HTTP header of one line")
    return ServerAddress(
        name, False, url=entry["url"], headers=headers, max_message_bytes=MESSAGE_BYTES, max_answer_characters=ANSWER_CHARACTERS
    )


def _expect_type(where: str, entry: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    if entry.get("type", accepted[0]) not in accepted:
        raise _wrong(where, f"`type` {entry['type'][:40]!r} does not fit; leave it out or write {' or '.join(accepted)}")


def _expanded(where: str, what: str, value: str, environment: Mapping[str, str]) -> str:
    """Never shows a value: it is most often a credential."""

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if not _VARIABLE.fullmatch(name):
            raise _wrong(where, f"{what}: ${{{name[:40]}}} is no reference to a variable; write ${{NAME}}")
        if name not in environment:
            raise _wrong(where, f"{what}: the environment has no variable {name}; set it or write its value")
        return environment[name]

    return _REFERENCE.sub(replaced, value)


def _wrong(where: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{SETTING}={where}: {why}")
