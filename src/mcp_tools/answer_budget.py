"""How many tokens an answer costs the model that reads it, and how much of it fits.

Text and structured content are counted together: a client may pass on either, or both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from configuration.errors import ToolError
from mcp_tools.tool_declaration import ToolAnswer, ToolDeclaration
from mcp_tools.tool_spec import SMALLEST_BUDGET

log = logging.getLogger(__name__)

DEFAULT_TOKENS = 4000
_CONSONANT = "bcdfghjklmnpqrstvwxz"
_PIECES = re.compile(
    rf"[{_CONSONANT}]{{2}}(?=[{_CONSONANT}]{{2}})"  # generated names have no vowels, and a token for two letters
    r"|[A-Z]+(?![a-z])|[A-Z]?[a-z]{1,7}|[0-9]{1,3}|[^\sA-Za-z0-9\x80-\U0010ffff]+|[ \t]+(?=\s)|\t|\n\s*"
)
"""Stretches that the tokenizer makes about one token of; a space goes with the word after it."""
_PICTURES = re.compile(r"[\u2600-\u27bf\U00010000-\U0010ffff]")
_ENCODED = re.compile(r"[A-Za-z0-9+/_=]{32,}")
_MARGIN = 1.1
"""Over the pieces: the worst answers (hexadecimal digits, generated names) have 4 % more tokens than pieces."""
_PER_BYTE = 0.7
"""Of each byte beyond one a character: common Chinese takes 1.0 to 1.2 tokens a character of three bytes."""
_PER_ENCODED = 0.2
"""More for each character of base64."""
_TRIED_WHOLE = 200

Item = TypeVar("Item")


def estimate(text: str) -> int:
    """About as many tokens as a model's tokenizer (cl100k) makes of a tool's answer, rather more than fewer; no tokenizer is
    needed, and a megabyte takes a sixth of a second. `test_answer_budget.py` measures it."""
    tokens = len(_PIECES.findall(text)) * _MARGIN + 2
    tokens += sum(len(run) * _PER_ENCODED for run in _ENCODED.findall(text) if not (run.islower() or run.isupper()))
    if not text.isascii():
        tokens += (len(text.encode("utf-8", "replace")) - len(text)) * _PER_BYTE + len(_PICTURES.findall(text))
    return int(tokens) + 1


def answer_tokens(answer: ToolAnswer) -> int:
    """Tokens of the whole answer."""
    return estimate(answer.text) + (estimate_json(answer.structured) if answer.structured is not None else 0)


def estimate_json(value: Any) -> int:
    """Tokens of a value as compact JSON."""
    return estimate(orjson.dumps(value).decode())


def fits(answer: ToolAnswer, max_tokens: int) -> bool:
    """Whether the answer is within the budget; of a large budget that is known without looking: no token is less than a byte."""
    encoded = orjson.dumps(answer.structured) if answer.structured is not None else b""
    size = len(answer.text.encode("utf-8", "replace")) + len(encoded)
    return size <= max_tokens or estimate(answer.text) + estimate(encoded.decode()) <= max_tokens


def fitting(items: Sequence[Item], render: Callable[[Sequence[Item]], ToolAnswer], max_tokens: int) -> ToolAnswer:
    """The answer for the longest beginning of `items` that fits; `render` says itself how many are left out.

    The answer for no items at all is taken even when it does not fit: there is nothing left to leave out. Of many
    items never more than twice what fits is rendered.
    """
    if len(items) <= _TRIED_WHOLE and fits(render(items), max_tokens):  # the whole needs no words about how to get the rest
        return render(items)
    low, high = 0, 1
    while high <= len(items) and fits(render(items[:high]), max_tokens):
        low, high = high, 2 * high
    high = min(high, len(items) + 1)  # low fits (or is the last resort), high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(render(items[:middle]), max_tokens) else (low, middle)
    return render(items[:low])


def within_budget(declaration: ToolDeclaration, arguments: Mapping[str, Any], answer: ToolAnswer) -> ToolAnswer:
    """The answer, unless it costs more than the call's `max_tokens`: a tool has to cut it and say so. Raises ToolError."""
    allowed = arguments.get("max_tokens")
    if declaration.bulk or not isinstance(allowed, int):
        return answer
    if fits(answer, max(allowed, SMALLEST_BUDGET)):
        return answer
    tokens = answer_tokens(answer)
    log.error("%s answered with about %d tokens where %d were allowed", declaration.name, tokens, allowed)
    raise ToolError(
        f"{declaration.name}: the answer takes about {tokens} tokens, more than max_tokens={allowed}, and was not cut to that "
        f"(a defect of this tool); ask for less, or repeat the call with max_tokens={tokens}"
    )
