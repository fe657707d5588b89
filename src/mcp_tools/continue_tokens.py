"""The `continue` of our list tools: the API's own token, and the last object that was looked at on its page.

With a filter on a derived column a page of the API is rarely a page of the answer. The next call reads the same API page
again and skips to the object after the last one; names are in order, so that stays exact when objects come and go.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from configuration.errors import InvalidArguments


@dataclass(frozen=True, slots=True)
class Position:
    """`page`: the API's token of the page to read; objects up to the sort key `after` are skipped; `shown` rows came before."""

    page: str = ""
    after: str = ""
    shown: int = 0


def question_id(**question: object) -> str:
    """Names a list call (without limit and token): a token answers the question it was given for, and no other."""
    return hashlib.sha256(orjson.dumps(question, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def encode(position: Position, question: str) -> str:
    """The token for a caller."""
    fields = {"p": position.page, "a": position.after, "n": position.shown, "q": question}
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")


def decode(token: str, question: str) -> Position:
    """Raises InvalidArguments for a token that is not ours or belongs to another list."""
    if not token:
        return Position()
    try:
        fields: Mapping[str, object] = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        page, after, shown, asked = fields["p"], fields["a"], fields["n"], fields["q"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise InvalidArguments("continue_token is not one that this tool gave; list again without it") from None
    if not (isinstance(page, str) and isinstance(after, str) and isinstance(shown, int)):
        raise InvalidArguments("continue_token is damaged; list again without it")
    if asked != question:
        raise InvalidArguments("continue_token belongs to another list: repeat the call that gave it, with the same filters")
    return Position(page, after, shown)
