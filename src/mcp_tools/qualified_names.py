"""Names of other servers' tools: `server__tool`, as every model endpoint accepts them, no two alike.

A server's name neither holds `__` nor ends in `_`, and no tool of our own holds `__`: so the first `__` of a name is where
the server's ends, and nothing that another server calls a tool can stand in for one of ours or of a third.
"""

from __future__ import annotations

import hashlib
import re

SEPARATOR = "__"
MOST_CHARACTERS = 64
"""That OpenAI's and Anthropic's endpoints accept in the name of a function."""
MOST_SERVER_CHARACTERS = 32
SERVER_NAME = re.compile(rf"(?!.*__)[A-Za-z0-9](?:[A-Za-z0-9_-]{{0,{MOST_SERVER_CHARACTERS - 2}}}[A-Za-z0-9-])?")

_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
_MARK_CHARACTERS = 8


def qualified(server: str, tool: str) -> str:
    """What has to be changed or cut ends in a mark made of the whole name, so that two tools stay two."""
    room = MOST_CHARACTERS - len(server) - len(SEPARATOR)
    plain = _REFUSED.sub("_", tool)
    if plain != tool or not tool or len(plain) > room:
        mark = hashlib.sha256(tool.encode("utf-8", "replace")).hexdigest()[:_MARK_CHARACTERS]
        plain = f"{plain[: room - len(mark) - 1]}_{mark}"
    return f"{server}{SEPARATOR}{plain}"


def is_qualified(name: str) -> bool:
    """Whether it names a tool of another server."""
    return SEPARATOR in name


def server_of(name: str) -> str:
    """The server's part of a qualified name."""
    return name.partition(SEPARATOR)[0]
