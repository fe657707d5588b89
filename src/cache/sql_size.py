"""How large a statement is for SQLite to prepare, after every use of a CTE has become a copy of it.

Preparing is not subject to the time limit: a CTE that uses another twice, which uses a third twice, and so on, keeps
SQLite busy for minutes in a few hundred characters. So the copies are counted before it sees the statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|$))"""
    r"""|(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])|(?P<plain>\w+|.)""",
    re.DOTALL,
)
_KEYWORDS = frozenset({"as", "not", "materialized"})


def expanded_size(sql: str, views: Mapping[str, int]) -> int:
    """Tokens after expansion, estimated from above: names are not scoped. `views` are names that stand for so many tokens."""
    tokens = _tokens(sql)
    bodies, rest = _definitions(tokens)
    sizes: dict[str, int] = {}

    def size_of(body: Sequence[str], within: frozenset[str]) -> int:
        return sum(size_of_word(token, within) for token in body)

    def size_of_word(token: str, within: frozenset[str]) -> int:
        if token in bodies and token not in within:
            if token not in sizes:
                sizes[token] = 1 + size_of(bodies[token], within | {token})
            return sizes[token]
        return views.get(token, 1)

    return size_of(rest, frozenset())


def statement_tokens(sql: str) -> Iterator[re.Match[str]]:
    """Groups: `skip` (space, comment), `quoted` (text or name), `plain` (word or sign)."""
    return _TOKEN.finditer(sql)


def _tokens(sql: str) -> list[str]:
    """Words and signs in lower case; comments are left out.

    A quoted name, also in the single quotes that SQLite forgives, is the same as without quotes, unless that would be a
    sign or a keyword.
    """
    found = []
    for match in statement_tokens(sql):
        if match["plain"]:
            found.append(match["plain"].lower())
        elif match["quoted"]:
            name = match["quoted"][1:-1].lower()
            found.append(name if name.isidentifier() and name not in _KEYWORDS else f"quoted {name}")
    return found


def _definitions(tokens: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """What stands between the parentheses of each `name [(columns)] AS [[NOT] MATERIALIZED] (…)`, and all the rest.

    Equal names are put together; a definition inside another one counts as part of that one, too.
    """
    bodies: dict[str, list[str]] = {}
    rest: list[str] = []
    outer_end = 0
    for at, word in enumerate(tokens):
        if at >= outer_end:
            rest.append(word)
        start = at + 1
        while start < len(tokens) and tokens[start] in ("not", "materialized"):
            start += 1
        if word == "as" and at > 0 and start < len(tokens) and tokens[start] == "(":
            end = _closing(tokens, start)
            name = _name_before(tokens, at)
            bodies.setdefault(tokens[name], []).extend(tokens[start + 1 : end])
            if at >= outer_end:
                outer_end = end
                del rest[name - at - 1 :]  # the name in its definition is no use of it
    return bodies, rest


def _name_before(tokens: Sequence[str], at: int) -> int:
    """Where the name before `AS` is, past a list of columns."""
    if tokens[at - 1] != ")":
        return at - 1
    depth = 0
    for index in range(at - 1, 0, -1):
        depth += {")": 1, "(": -1}.get(tokens[index], 0)
        if depth == 0:
            return index - 1
    return 0


def _closing(tokens: Sequence[str], start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[index], 0)
        if depth == 0:
            return index
    return len(tokens)
