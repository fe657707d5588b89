"""Questions over HTTP, whose answers come with another call: those of one client are nothing to another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult, InputRequiredResult

from controlplane.control_plane import ControlPlane
from http_fixtures import TOKEN, HttpServer, http_server
from mcp_tools.change_questions import MOST_KEPT
from mcp_tools.http_tokens import AcceptedTokens
from mcp_tools.server_policy import ServerPolicy
from server_fixtures import ToolClient, told_error

DELETE = "k8s_delete_resource"
OTHER = "fedcba9876543210" * 4


class Asking:
    """A client that can ask, and makes its second call when the test says so."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def asks(self, arguments: dict[str, Any]) -> str:
        """The token of the question that a call ends with."""
        asked = await self._client.session.call_tool(DELETE, arguments, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult), asked
        assert asked.request_state
        return asked.request_state

    async def says_yes(self, arguments: dict[str, Any], token: str) -> Any:
        yes = {"approval": ElicitResult(action="accept", content={"approve": True})}
        return await self._client.session.call_tool(
            DELETE, arguments, request_state=token, input_responses=yes, allow_input_required=True
        )


@asynccontextmanager
async def client_of(server: HttpServer, token: str) -> AsyncIterator[Asking]:
    async def never(_context: Any, _params: Any) -> ElicitResult:
        raise AssertionError("the test answers")

    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as web:
        async with Client(streamable_http_client(server.url, http_client=web), elicitation_callback=never) as client:
            yield Asking(client)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n{OTHER}\n")
    file.chmod(0o600)
    return file


async def test_one_client_can_neither_answer_nor_use_up_nor_push_out_the_question_of_another(
    control_plane: ControlPlane, fresh_namespace: str, tool_client: Callable[..., ToolClient], tokens: Path
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
    control_plane.api.post(path, {"metadata": {"name": "kept"}})
    gate = tool_client(control_plane.kubeconfig, policy=ServerPolicy()).gate()
    arguments = {"kind": "configmaps", "name": "kept", "namespace": fresh_namespace}
    async with http_server(gate, token_file=tokens, read_only=False) as server:
        async with client_of(server, TOKEN) as one, client_of(server, OTHER) as other:
            token = await one.asks(arguments)
            stolen = await other.says_yes(arguments, token)
            assert told_error(stolen)["type"] == "ApprovalNeeded"
            assert "no open question" in told_error(stolen)["message"]
            assert control_plane.api.get(f"{path}/kept")

            for _ in range(MOST_KEPT + 1):
                await other.asks(arguments)
            assert not (await one.says_yes(arguments, token)).is_error, "its question has waited for it"
    assert "kept" not in {item["metadata"]["name"] for item in control_plane.api.get(path)["items"]}


def test_a_client_has_one_name_that_tells_nothing_of_its_token(tokens: Path) -> None:
    accepted = AcceptedTokens(file=tokens)
    one, other = (accepted.client_of(token.encode()) for token in (TOKEN, OTHER))
    assert one
    assert one != other
    assert accepted.client_of(b"x" * 64) == ""
    assert one != AcceptedTokens(file=tokens).client_of(TOKEN.encode()), "another process, another name"
    tokens.write_text(f"# another order\n{OTHER}\n{TOKEN}\n")
    assert accepted.client_of(TOKEN.encode()) == one, "also when the file was read again"
