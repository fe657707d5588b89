"""Answers of other people's servers: each way in which they arrive is searched for every form of secret.

Without the redactor each channel leaks: else these searches could not fail.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from configuration.errors import ToolError
from mcp_tools.error_answers import described
from mcp_tools.foreign_answers import ForeignAnswers
from mcp_tools.redaction import Redactor
from mcp_tools.server import ToolGate
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.tool_declaration import ToolDeclaration, tool
from planted_canaries import NoRedactor, found_in_output
from secret_canaries import OBJECT_FORMS, TEXT_FORMS
from server_fixtures import KEY, ToolClient

OBJECT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Widget",
    "metadata": {"name": "w", "annotations": {f"example.com/{i}": canary.text for i, canary in enumerate(TEXT_FORMS)}},
    "spec": {f"form{i}": fields for i, (_, fields, _) in enumerate(OBJECT_FORMS)},
    "data": {f"{i}.txt": canary.text for i, canary in enumerate(TEXT_FORMS)},
}
TEXT = "\n\n".join(canary.text for canary in TEXT_FORMS)

CHANNELS: dict[str, Callable[[ForeignAnswers], object]] = {
    "text": lambda foreign: [foreign.text(canary.text) for canary in TEXT_FORMS],
    "one long text": lambda foreign: foreign.text(TEXT),
    "prose": lambda foreign: [foreign.words(canary.text) for canary in TEXT_FORMS],
    "json": lambda foreign: foreign.text(json.dumps(OBJECT)),
    "list of json": lambda foreign: foreign.text(json.dumps([OBJECT])),
    "yaml": lambda foreign: foreign.text(yaml.safe_dump(OBJECT, sort_keys=False)),
    "yaml after a heading": lambda foreign: foreign.text("# Pods\n---\n" + yaml.safe_dump(OBJECT)),
    "json after words": lambda foreign: foreign.text("The object is:\n" + json.dumps(OBJECT) + "\nand no more."),
    "structured": lambda foreign: foreign.structured({"items": [copy.deepcopy(OBJECT)], "text": TEXT}),
    "both": lambda foreign: foreign.both(TEXT, {"object": copy.deepcopy(OBJECT)}),
    "object": lambda foreign: foreign.kubernetes_object(copy.deepcopy(OBJECT)),
}


@pytest.mark.parametrize("channel", CHANNELS)
def test_no_secret_of_a_foreign_answer_gets_through(channel: str) -> None:
    output = json.dumps(CHANNELS[channel](ForeignAnswers(Redactor(KEY))), ensure_ascii=False)
    assert "redacted:" in output
    assert found_in_output(output) == set()


@pytest.mark.parametrize("channel", CHANNELS)
def test_without_the_redactor_each_foreign_channel_leaks(channel: str) -> None:
    bare: Any = NoRedactor()
    assert len(found_in_output(json.dumps(CHANNELS[channel](ForeignAnswers(bare)), ensure_ascii=False))) > 50


@pytest.mark.parametrize("canary", TEXT_FORMS, ids=lambda canary: canary.form)
def test_an_error_is_described_without_the_secret_it_quotes(canary: Any) -> None:
    assert (
        found_in_output(json.dumps(described(ToolError(f"it failed:\n{canary.text}"), Redactor(KEY)), ensure_ascii=False))
        == set()
    )


@tool("k8s_breaks", title="Breaks", arguments={}, output=None)
async def breaks(tools: Any) -> Any:
    """Raises what no tool should, with secrets in its text."""
    raise RuntimeError(TEXT)


async def test_an_unexpected_exception_says_nothing_of_its_text(
    tool_client: Callable[..., ToolClient], caplog: pytest.LogCaptureFixture
) -> None:
    declared: ToolDeclaration = breaks
    gate = tool_client("/nowhere", policy=ServerPolicy()).gate()
    with caplog.at_level(logging.DEBUG):
        result = await ToolGate(gate.tools, declarations=(declared,)).call("k8s_breaks", {})
    assert "RuntimeError" in caplog.text
    assert found_in_output(caplog.text + str(result)) == set()
