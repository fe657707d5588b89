"""What the agent reads from flags, environment and `.env`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from cache.settings import CacheSettings
from mcp_tools.settings import McpSettings


class AgentSettings(McpSettings, CacheSettings):
    """Settings of the process that talks to a language model."""

    paths: ClassVar[frozenset[str]] = McpSettings.paths | CacheSettings.paths | {"mcp_servers_file"}
    absolute: ClassVar[frozenset[str]] = frozenset({"mcp_servers_file"})

    llm_provider: str = Field(
        "openrouter", min_length=1, description="provider, as litellm names it: openrouter, openai, anthropic, gemini, ollama …"
    )
    llm_model: str = Field("google/gemini-2.0-flash-exp", min_length=1, description="model name as the provider spells it")
    llm_api_key: SecretStr = Field(
        SecretStr(""), description="key of the provider; empty: questions to a model are off, everything else works"
    )
    llm_api_base: str = Field("", description="base URL of an OpenAI-compatible endpoint; empty: the provider's own")
    llm_max_tokens: int = Field(32_000, ge=16, le=1_000_000, description="most tokens that one reply of the model may have")
    llm_timeout: float = Field(600, gt=0, le=3_600, description="seconds that one try of a model call may take")
    agent_max_steps: int = Field(10, ge=1, le=200, description="most rounds of tool calls for one question")
    agent_enable_cache_query: bool = Field(True, description="false: every read goes to the cluster, SQL over the cache is off")
    agent_fallback_to_direct_mcp: bool = Field(
        True, description="false: a stale or missing scope is answered as such and nothing goes live"
    )
    agent_context_window: int = Field(
        100_000, ge=10_000, description="tokens of the model's context that a conversation may fill; the tools alone take 5,000"
    )
    agent_cache_query_timeout: float = Field(
        5, gt=0, le=600, description="seconds that one read or SQL query of the cache may take"
    )
    agent_mcp_call_timeout: float = Field(30, gt=0, le=3_600, description="seconds that one MCP tool call may take")

    mcp_servers_file: Path | None = Field(
        None,
        description='JSON file with further MCP servers, `{"mcpServers": {…}}`, that only you may write; their tools are named '
        "`server__tool` and ask before each call; empty: none",
    )

    @model_validator(mode="after")
    def _something_to_read_from(self) -> Self:
        if not self.agent_enable_cache_query and not self.agent_fallback_to_direct_mcp:
            raise ValueError(
                "AGENT_ENABLE_CACHE_QUERY=false and AGENT_FALLBACK_TO_DIRECT_MCP=false together leave nothing to read from; "
                "set one of them to true"
            )
        return self
