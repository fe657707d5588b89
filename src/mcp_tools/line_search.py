"""Searching with somebody else's regular expression.

A pattern can run for years or, with nested repetition, fill the memory while it is compiled; nothing inside one Python
process can stop either. So each search is a short-lived process with limits on time and memory (20 ms to start).
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import orjson

from configuration.errors import InvalidArguments

WALL_SECONDS = 5.0
_CHILD = Path(__file__).with_name("line_search_child.py")


async def matching_lines(lines: list[str], pattern: str) -> list[int]:
    """Indices of the lines in which the pattern is found.

    Raises InvalidArguments when it is wrong, or takes too long or too much memory.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(_CHILD),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={},
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(orjson.dumps({"pattern": pattern, "lines": lines})), WALL_SECONDS)
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode or not output:
        raise InvalidArguments(
            f"grep took too much time or memory on {len(lines)} lines; use a simpler pattern (no nested repetition)"
        )
    answer = orjson.loads(output)
    if "error" in answer:
        raise InvalidArguments(f"grep is not a valid regular expression: {answer['error']}")
    return [int(index) for index in answer["matches"]]
