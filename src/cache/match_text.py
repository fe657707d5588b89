"""`text MATCH 'payments crashloop'` in guarded SQL: looked up in the full-text index before the statement runs.

What was found becomes a TEMP table with a random name, and the statement asks `text IN` that table. So a statement never
reaches the index itself, whose own query language is not passed on: in it a hyphen or a dot is an error, and a long query
can take minutes and gigabytes without obeying any limit.

Plain words: all must be found, each as the beginning of a word (`crashloop` finds CrashLoopBackOff; `payments-api` what has the
word payments and one that begins with api), `OR` between alternatives, `-word` for what must not be found.
"""

# ruff: noqa: S608  -- a table's fixed or random name
from __future__ import annotations

import re
import secrets
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator

from cache.sql_size import statement_tokens
from cache.text_search import FIRST_UNSPACED, INDEX
from configuration.errors import QueryRefused

MOST_WORDS = 16
MOST_SEARCHES = 8

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = f"{chr(FIRST_UNSPACED)}-{chr(0x10FFFF)}"
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_EXAMPLE = "SELECT … FROM pods WHERE uid IN (SELECT uid FROM objects WHERE text MATCH 'payments crashloop')"


def search_first(connection: sqlite3.Connection, sql: str) -> tuple[str, frozenset[str]]:
    """The statement without MATCH, and the names of the tables that it reads instead.

    Raises QueryRefused for anything but one text in quotes after MATCH.
    """
    if "match" not in sql.lower():
        return sql, frozenset()
    pieces, copied, names = [], 0, []
    for start, end, text in _matches(sql):
        names.append(f"{secrets.token_hex(16)}_found")
        connection.execute(f'CREATE TEMP TABLE "{names[-1]}" (id INTEGER PRIMARY KEY)')
        found = f"SELECT rowid FROM main.{INDEX} WHERE {INDEX} MATCH ?"
        connection.execute(f'INSERT INTO temp."{names[-1]}" {found}', (index_query(text),))
        pieces += [sql[copied:start], f'IN temp."{names[-1]}"']
        copied = end
    return "".join([*pieces, sql[copied:]]), frozenset(names)


def _matches(sql: str) -> Iterator[tuple[int, int, str]]:
    """Where each `MATCH '…'` begins and ends, and its text."""
    tokens = [token for token in statement_tokens(sql) if not token["skip"]]
    found = [index for index, token in enumerate(tokens) if token[0].lower() == "match"]
    if len(found) > MOST_SEARCHES:
        raise QueryRefused(f"{len(found)} searches in one statement; at most {MOST_SEARCHES}")
    for index in found:
        text = tokens[index + 1] if index + 1 < len(tokens) else None
        if text is None or text[0][0] not in "'\"":
            raise QueryRefused(f"MATCH takes one text in quotes: {_EXAMPLE}")
        quote = text[0][0]
        yield tokens[index].start(), text.end(), text[0][1:-1].replace(quote * 2, quote)


def index_query(text: str) -> str:
    """`payments-api OR 磁盘满 -test` -> `("payments" AND "api"*) OR ("磁盘" AND "盘满") NOT ("test"*)`."""
    alternatives = [_alternative(part.split()) for part in re.split(r"\s+OR\s+", text.strip())]
    if sum(part.count('"') for part in alternatives) > 2 * MOST_WORDS:
        raise QueryRefused(
            f"at most {MOST_WORDS} words are searched at once (two Chinese characters count as one): {text[:60]!r}"
        )
    return " OR ".join(alternatives)


def _alternative(words: Iterable[str]) -> str:
    wanted, unwanted = [], []
    for word in words:
        found = [] if word == "AND" else list(_terms(word.removeprefix("-")))
        if word.startswith("-") and found:
            unwanted.append(f"({' AND '.join(found)})")
        else:
            wanted += found
    if not wanted:
        raise QueryRefused(f"there is no word to search for; for example: {_EXAMPLE}")
    return f"({' AND '.join(wanted)})" + "".join(f" NOT {term}" for term in unwanted)


def _terms(text: str) -> Iterator[str]:
    """Words as the index has them: whole ones and, at the end, the beginning of one; pairs of characters without spaces."""
    runs = [run for word in _WORD.findall(unicodedata.normalize("NFC", text)) for run in _RUN.findall(word)]
    for place, run in enumerate(runs):
        if ord(run[0]) >= FIRST_UNSPACED and len(run) > 1:
            yield from (f'"{run[at : at + 2]}"' for at in range(len(run) - 1))
        else:
            yield f'"{run}"' + ("*" if place == len(runs) - 1 or ord(run[0]) >= FIRST_UNSPACED else "")
