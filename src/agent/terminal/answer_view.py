"""An answer while it is being made: what is happening, the text as it arrives, then the sources that it is signed with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment, Segments
from rich.spinner import Spinner
from rich.text import Text

from agent.agent_events import AgentEvent, ApprovalAnswered, ApprovalAsked, Notice, TextDelta, ToolFinished, ToolStarted
from agent.terminal.durations import took
from agent.terminal.markdown_blocks import MarkdownBlocks
from agent.terminal.safe_text import safe_block, safe_line
from agent.terminal.screen import Screen

REDRAWS_PER_SECOND = 10
LONGEST_ARGUMENTS = 60


class AnswerView:
    """Context manager around one answer. On a terminal it redraws the lines that are still moving; in a pipe the text of
    the answer goes to stdout as it arrives and nothing else does. With a delay, what is quick moves nothing at all."""

    def __init__(self, screen: Screen, *, waiting: str = "thinking", delay_seconds: float = 0) -> None:
        self._screen = screen
        self._delay = delay_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._blocks = MarkdownBlocks()
        self._running: dict[str, ToolStarted] = {}
        self._since = time.monotonic()
        self._waiting = waiting
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None
        self._open_line = False

    def __enter__(self) -> Self:
        if self._delay:
            self._timer = asyncio.get_running_loop().call_later(self._delay, self.resume)
        else:
            self.resume()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for block in self._blocks.finish():
            self._print_block(block)
        self.pause()
        self._end_line()

    def pause(self) -> None:
        """Take the moving lines off the screen, for example while the person is asked something."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._live is not None:
            self._live.stop()
            self._live = None

    def resume(self) -> None:
        """Show what is happening again."""
        if self._screen.interactive and self._live is None:
            self._live = Live(
                get_renderable=self._moving, console=self._screen.out, transient=True,
                refresh_per_second=REDRAWS_PER_SECOND, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()

    def on_event(self, event: AgentEvent) -> None:
        """Show one event; called on the event loop's thread."""
        match event:
            case TextDelta(text):
                self._text(text)
            case ToolStarted():
                self._running[event.call_id] = event
            case ToolFinished():
                self._running.pop(event.call_id, None)
                self._since = time.monotonic()
                self._line(finished_line(event), "red" if event.failed else "dim")
            case Notice(text):
                self._line(text, "yellow")
            case ApprovalAsked():
                self._flush()
            case ApprovalAnswered(_, decision):
                self._line(("approved by " if decision.approved else "refused by ") + decision.by, "dim")

    def _text(self, text: str) -> None:
        if self._screen.interactive:
            for block in self._blocks.feed(text):
                self._print_block(block)
            return
        self._screen.out.file.write(safe_block(text))
        self._screen.out.file.flush()
        self._open_line = not text.endswith("\n")

    def _line(self, text: str, style: str) -> None:
        self._flush()
        console = self._screen.out if self._screen.interactive else self._screen.err
        console.print(Text(safe_line(text), style=style), soft_wrap=not console.is_terminal)

    def _end_line(self) -> None:
        """In a pipe: what the model said before a tool call and after it are two lines."""
        if self._open_line and not self._screen.interactive:
            self._screen.out.file.write("\n")
            self._screen.out.file.flush()
        self._open_line = False

    def _flush(self) -> None:
        self._end_line()
        for block in self._blocks.finish():
            self._print_block(block)

    def _print_block(self, block: str) -> None:
        for line in self._rendered(block):
            self._screen.out.print(Segments(line), end="")
        self._screen.out.print()

    def _rendered(self, block: str) -> list[list[Segment]]:
        """Lines of a block, each with its end; without the empty ones that rich puts around tables and code."""
        lines = self._screen.out.render_lines(_markdown(block), pad=False, new_lines=True)
        filled = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
        return lines[filled[0] : filled[-1] + 1] if filled else []

    def _moving(self) -> RenderableType:
        """What Live redraws: the end of the unfinished block, and what is being waited for."""
        parts: list[RenderableType] = []
        if self._blocks.pending.strip():
            shown = self._rendered(self._blocks.pending)[-max(3, self._screen.out.height - 5) :]
            parts.append(Segments(segment for line in shown for segment in line))
        self._spinner.update(text=Text(self._status(), style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts, self._spinner)

    def _status(self) -> str:
        seconds = time.monotonic() - self._since
        waited = [took(seconds)] if seconds >= 1 else []
        if self._running:
            calls = ", ".join(call_text(call.tool, call.arguments) for call in self._running.values())
            return " … ".join([calls, *waited])
        return " · ".join(["answering" if self._blocks.pending else self._waiting, *waited, "Esc stops"])


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """`k8s_list_pods(namespace=shop)`, cut to a length that leaves room for the rest of the line."""
    given = ", ".join(f"{name}={value}" for name, value in arguments.items() if value not in ("", None))
    shown = given if len(given) <= LONGEST_ARGUMENTS else given[: LONGEST_ARGUMENTS - 1] + "…"
    return safe_line(f"{tool}({shown})")


def finished_line(event: ToolFinished) -> str:
    """`✓ k8s_list_pods (cache) 37 of 412 rows · 12 ms`."""
    source = f" ({event.source})" if event.source else ""
    return f"{'✗' if event.failed else '✓'} {event.tool}{source} {event.summary} · {took(event.seconds)}"


def _markdown(text: str) -> Markdown:
    """Links are written out: a hidden address behind a text could send a person anywhere."""
    return Markdown(safe_block(text), hyperlinks=False, code_theme="ansi_dark")
