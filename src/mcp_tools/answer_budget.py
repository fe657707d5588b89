"""How many tokens an answer costs the model that reads it, and how much of it fits.

Text and structured content are counted together: a client may pass on either, or both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from configuration.errors import ToolError
from mcp_tools.tool_declaration import ToolAnswer, ToolDeclaration

log = logging.getLogger(__name__)

DEFAULT_TOKENS = 4000
_CHARACTERS_PER_TOKEN = 2.5
"""Of tables and JSON with names and numbers; ordinary prose has more. An upper bound for the tokens is wanted."""

SMALLEST_REFUSED = 1000
"""What an answer needs in any case (where from, how to get the rest) may take more than a tiny budget."""

Item = TypeVar("Item")


def estimate(text: str) -> int:
    """At least as many tokens as a model's tokenizer (cl100k) makes of the text, without one."""
    wide = len(text.encode("utf-8", "replace")) - len(text)
    return int(len(text) / _CHARACTERS_PER_TOKEN) + wide + 1


def answer_tokens(answer: ToolAnswer) -> int:
    """Tokens of the whole answer."""
    return estimate(answer.text) + (estimate_json(answer.structured) if answer.structured is not None else 0)


def estimate_json(value: Any) -> int:
    """Tokens of a value as compact JSON."""
    return estimate(orjson.dumps(value).decode())


def fitting(items: Sequence[Item], render: Callable[[Sequence[Item]], ToolAnswer], max_tokens: int) -> ToolAnswer:
    """The answer for the longest beginning of `items` that fits; `render` says itself how many are left out.

    The answer for no items at all is taken even when it does not fit: there is nothing left to leave out.
    """
    whole = render(items)
    if answer_tokens(whole) <= max_tokens:
        return whole
    low, high = 0, len(items)  # low fits (or is the last resort), high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if answer_tokens(render(items[:middle])) <= max_tokens else (low, middle)
    return render(items[:low])


def within_budget(declaration: ToolDeclaration, arguments: Mapping[str, Any], answer: ToolAnswer) -> ToolAnswer:
    """The answer, unless it costs more than the call's `max_tokens`: a tool has to cut it and say so. Raises ToolError."""
    allowed = arguments.get("max_tokens")
    if declaration.bulk or not isinstance(allowed, int):
        return answer
    tokens = answer_tokens(answer)
    if tokens <= max(allowed, SMALLEST_REFUSED):
        return answer
    log.error("%s answered with about %d tokens where %d were allowed", declaration.name, tokens, allowed)
    raise ToolError(
        f"{declaration.name}: the answer takes about {tokens} tokens, more than max_tokens={allowed}, and was not cut to that "
        f"(a defect of this tool); ask for less, or repeat the call with max_tokens={tokens}"
    )
