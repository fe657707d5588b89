"""What stands under an answer: its error when it has one, and the sources, tokens and time that it is signed with."""

from __future__ import annotations

from agent.agent_core import FinalAnswer
from agent.terminal.durations import took
from agent.terminal.screen import Screen


def sign(screen: Screen, final: FinalAnswer, seconds: float) -> None:
    """Printed by the program, never by the model."""
    if final.error is not None:
        first, *rest = str(final.error).splitlines() or [type(final.error).__name__]
        screen.error(first)
        if rest:  # what would be changed, field by field
            screen.warning("\n".join(rest))
    elif final.stopped_reason == "step_limit":
        screen.warning("stopped at the step limit (AGENT_MAX_STEPS); ask again to go on")
    if final.sources.uses or final.usage.calls:
        screen.note(f"— {final.sources.text()}\n  {final.usage.text()} · {took(seconds)}")
