"""The last gate before the screen: text from a cluster or a model, made safe and readable for a terminal.

A log line or an annotation may carry escape sequences that move the cursor, set the window title, forge a prompt or
hide text. The tool client removes most of it on arrival; nothing reaches the screen without passing here as well.
"""

from __future__ import annotations

import re

from mcp_tools.plain_text import plain_text

# Characters that hide or reorder text, or that a terminal's encoder cannot write: zero-width, word joiners,
# bidirectional marks, line separators, interlinear annotation, lone surrogates, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def safe_block(text: str) -> str:
    """Several lines: newlines stay, tabs become spaces, escape sequences and invisible characters go."""
    return _INVISIBLE.sub("", plain_text(text)).replace("\x1b", "").expandtabs(4)


def safe_line(text: str) -> str:
    """One line, for a table cell or a status line: line breaks become a space."""
    return " ".join(safe_block(text.replace("\u2028", "\n").replace("\u2029", "\n")).split("\n")).strip()
