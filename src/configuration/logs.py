"""One logging configuration per entry point: to stderr, as text or JSON lines."""

from __future__ import annotations

import json
import logging
import sys
import time

FIELDS = (
    "cluster", "kind", "scope", "strategy", "outcome", "objects", "added", "changed", "removed", "malformed", "pages",
    "duration_seconds", "error",
)  # fmt: skip
"""What a record may carry by `extra=`, and a JSON line then has as members of its own."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, RFC 3339), level, logger, message, then FIELDS that the record has.

    `traceback` is there when there is one. Line breaks in a message stay inside its string.
    """

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(*, debug: bool = False, as_json: bool = False) -> None:
    """Send all logs of this process to stderr. Libraries are heard from WARNING on, unless `debug`."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S%z")
    handler.setFormatter(JsonFormatter() if as_json else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(as_json)
    root.setLevel(logging.INFO)
    for library in ("apscheduler", "mcp", "httpx", "httpcore", "kubernetes", "asyncio", "LiteLLM", "urllib3"):
        logging.getLogger(library).setLevel(logging.INFO if debug else logging.WARNING)
    if debug:
        root.setLevel(logging.DEBUG)


def report_error(message: str) -> None:
    """The line that a command ends with when it failed: plain text, or a JSON line where the log is made of those."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers):
        logging.getLogger("command").error("%s", message)
    else:
        print(f"error: {message}", file=sys.stderr)
