"""How bad a log line says it is: JSON, logfmt, klog, and plain words at its beginning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

LEVELS = ("fatal", "error", "warning", "info", "debug", "unknown")
"""The worst first."""
ERROR, WARNING = ("fatal", "error"), ("fatal", "error", "warning")

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("fatal", "critical", "crit", "panic", "emerg", "emergency", "alert", "dpanic"), "fatal"),
    **dict.fromkeys(("error", "err", "severe", "fail", "failure"), "error"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("info", "information", "informational", "notice"), "info"),
    **dict.fromkeys(("debug", "trace", "verbose", "fine", "finer", "finest"), "debug"),
}
_KLOG: Mapping[str, str] = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}
_LOOKED_AT = 300
"""Characters: a level stands near the beginning. In JSON it is looked for in the whole line."""

_NAMED_JSON = re.compile(
    r'"(?:level|severity|lvl|levelname|loglevel|log\.level|log_level|@level|severity_text)"\s*:\s*"?(\w+)', re.IGNORECASE
)
_NAMED = re.compile(r"(?<![\w.-])(?:level|lvl|severity|loglevel)=[\"']?(\w+)", re.IGNORECASE)
_KLOG_HEAD = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d")
_LOUD = re.compile(
    r"(?<![\w-])(FATAL|CRITICAL|CRIT|PANIC|EMERG|ALERT|ERROR|ERR|SEVERE|WARN|WARNING|INFO|NOTICE|DEBUG|TRACE)(?![\w-])"
)
_BRACKETED = re.compile(
    r"\[\s*(fatal|critical|crit|emerg|alert|error|err|warn|warning|info|notice|debug|trace)\s*\]", re.IGNORECASE
)
_FIRST_WORD = re.compile(
    r"(?:\S+ )?(fatal|panic|critical|error|fail|warning|warn|info|debug|notice)\b(?: error)?\s*:", re.IGNORECASE
)
_UNCAUGHT = re.compile(r"(?:Traceback \(most recent|Exception in thread|(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)\b(?!\w))")
_CONTINUED = re.compile(r"\s+\S|Caused by:|goroutine \d|\.\.\. \d+ more|\)?\s*$")


def level_of(line: str) -> str:
    """One of LEVELS; `unknown` for a line that does not say."""
    if line.startswith("{"):
        found = _NAMED_JSON.search(line)
        return _word(found[1]) if found else "unknown"
    if (found := _KLOG_HEAD.match(line)) is not None:
        return _KLOG[found[1]]
    for pattern in (_NAMED, _LOUD, _BRACKETED):
        if (found := pattern.search(line, 0, _LOOKED_AT)) is not None and (level := _word(found[1])) != "unknown":
            return level
    if (found := _FIRST_WORD.match(line)) is not None:
        return _word(found[1])
    return "error" if _UNCAUGHT.match(line) else "unknown"


def levels_of(lines: Iterable[str]) -> list[str]:
    """The same for the lines of one log: what continues a record (a stack trace) has the record's level."""
    found: list[str] = []
    record = "unknown"
    for line in lines:
        level = level_of(line)
        if level == "unknown" and _CONTINUED.match(line):
            level = record
        else:
            record = level
        found.append(level)
    return found


def _word(text: str) -> str:
    """A name, or a number as Bunyan and Pino write it (10 trace … 60 fatal)."""
    if text.isdecimal():
        number = int(text[:6])
        return "unknown" if number < 10 else LEVELS[max(0, 4 - (number - 20) // 10)] if number >= 20 else "debug"
    return _WORDS.get(text.lower(), "unknown")
