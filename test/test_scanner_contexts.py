"""Which clusters a scanner works on, and that one in trouble keeps nobody waiting."""

from __future__ import annotations

import asyncio

import pytest

from configuration.errors import ConfigurationError, Unauthorized
from scan_fixtures import ScriptedTools
from scanner.chosen_contexts import chosen_contexts
from scanner.cluster_identity import refuse_bad_credentials


@pytest.fixture
def tools() -> ScriptedTools:
    return ScriptedTools({("here", "pods"): [], ("there", "pods"): []})


async def test_a_context_that_disappears_costs_only_itself(tools: ScriptedTools) -> None:
    assert await chosen_contexts(tools, "gone, there", skip_unknown=True) == ("there",)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'gone' does not exist; known: here, there"):
        await chosen_contexts(tools, "gone, there")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'gone' does not exist"):
        await chosen_contexts(tools, "gone", skip_unknown=True)  # type: ignore[arg-type]


async def test_the_check_of_credentials_waits_for_nobody_once_one_cluster_accepts_them(tools: ScriptedTools) -> None:
    async def hang(context: str) -> None:
        if context == "there":
            await asyncio.Event().wait()

    tools.before_identity = hang
    await asyncio.wait_for(refuse_bad_credentials(tools, ("there", "here")), 5)  # type: ignore[arg-type]


async def test_credentials_that_every_cluster_refuses_are_a_configuration_error(tools: ScriptedTools) -> None:
    def refuse(context: str) -> None:
        raise Unauthorized(f"{context}: token expired", status=401)

    tools.before_identity = refuse
    with pytest.raises(ConfigurationError, match="here: token expired; there: token expired"):
        await refuse_bad_credentials(tools, ("there", "here"))  # type: ignore[arg-type]
