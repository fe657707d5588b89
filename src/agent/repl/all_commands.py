"""All slash commands. A new one is a declared function in one of these modules."""

from __future__ import annotations

from collections.abc import Mapping

from agent.repl import history_commands, list_commands, session_commands
from agent.repl.slash_command import SlashCommand, declared_in


def slash_commands() -> Mapping[str, SlashCommand]:
    """Name -> command, as /help lists them."""
    return declared_in((list_commands, history_commands, session_commands))
