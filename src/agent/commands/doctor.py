"""`main doctor`: every part looked at, one line each, and what to do. Nothing that is broken keeps it from saying so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from agent.commands import health_checks
from agent.commands.health_checks import Check, Examined
from agent.commands.options import CommandOptions
from agent.terminal.safe_text import safe_line
from configuration.errors import ConfigurationError, K8sMcpError

if TYPE_CHECKING:
    from agent.terminal.screen import Screen

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


async def doctor(options: CommandOptions, output: str, screen: Screen) -> int:
    """Print the checks; 0 when none failed, else 1."""
    found = []
    async for check in examine(options):
        found.append(check)
        if output != "json":
            screen.out.print(check_line(check))
    if output == "json":
        screen.json({"checks": [asdict(check) for check in found], "ok": all(check.state != "fail" for check in found)})
    return int(any(check.state == "fail" for check in found))


def check_line(check: Check) -> Text:
    """`ok    database      /…/k8s_cache.db, 1.2 MB, 10 kinds, oldest 42 s → what to do`."""
    mark, style = MARKS[check.state]
    line = Text.assemble((mark, style), f"  {check.part:<{health_checks.WIDEST_PART}}  ", safe_line(check.finding))
    if check.advice:
        line.append(f" → {safe_line(check.advice)}", style="bold" if check.state == "fail" else "")
    return line


async def examine(options: CommandOptions) -> AsyncIterator[Check]:
    """All checks, run at once and given in a fixed order."""
    try:
        settings = options.settings()
    except ConfigurationError as error:
        yield Check("settings", "fail", str(error), "correct it; the checks below use the default settings")
        return
    yield Check("settings", "ok", "read" + (f" from {options.env_file}" if options.env_file else ""))
    examined = Examined(settings, options)
    try:
        running = [asyncio.create_task(guarded(part, check, examined)) for part, check in health_checks.CHECKS.items()]
        for task in running:
            for check in await task:
                yield check
    finally:
        await examined.close()


async def guarded(part: str, check: Callable[[Examined], Awaitable[list[Check]]], examined: Examined) -> list[Check]:
    """A check that raises has found something: that is its result."""
    try:
        return await check(examined)
    except K8sMcpError as error:
        return [Check(part, "fail", str(error))]
    except Exception as error:  # noqa: BLE001 (a check is a top-level handler: a defect in one must not hide the others)
        return [
            Check(part, "fail", f"the check itself failed: {type(error).__name__}: {error}", "this is a defect; please report it")
        ]
