"""The environment that an MCP server process is given.

The SDK passes six variables on its own. Our server needs more: kubeconfig exec plugins read AWS_*, proxies, CA bundles
and whatever else their vendor chose. It never needs the keys of a language model.
"""

from __future__ import annotations

from collections.abc import Mapping

_MODEL_PREFIXES = (
    "LLM_", "LITELLM_", "OPENAI_", "OPENROUTER_", "ANTHROPIC_", "CLAUDE_", "GEMINI_", "MISTRAL_", "CODESTRAL_", "COHERE_",
    "CO_API_", "GROQ_", "DEEPSEEK_", "XAI_", "TOGETHER_", "TOGETHERAI_", "FIREWORKS_", "PERPLEXITY_", "PERPLEXITYAI_",
    "HUGGINGFACE_", "HF_", "REPLICATE_", "AZURE_API_", "AZURE_AI_", "AZURE_OPENAI_", "VOYAGE_", "NVIDIA_NIM_", "CEREBRAS_",
    "SAMBANOVA_", "MOONSHOT_", "DASHSCOPE_", "ZAI_", "ZHIPUAI_", "MINIMAX_", "AI21_", "ANYSCALE_", "DEEPINFRA_",
    "NOVITA_", "OLLAMA_", "LANGFUSE_", "LANGSMITH_", "LANGCHAIN_",
)  # fmt: skip
_MODEL_NAMES = frozenset({"GOOGLE_API_KEY", "PALM_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION"})
_NOT_FOR_OUR_SERVER = frozenset({"MCP_TOKEN", "MCP_TOKEN_FILE", "MCP_SERVER_TOKEN", "MCP_SERVER_TOKEN_FILE", "MCP_ALLOW"})
"""Tokens are for servers over HTTP; which changes need no question is said anew for the server that asks."""
_FOREIGN_NAMES = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "TZ", "KUBECONFIG")


def is_model_variable(name: str) -> bool:
    """Whether a variable configures a language model or holds its key."""
    upper = name.upper()
    return upper in _MODEL_NAMES or upper.startswith(_MODEL_PREFIXES)


def own_server_environment(environment: Mapping[str, str], declared: Mapping[str, str]) -> dict[str, str]:
    """Everything but model keys and tokens of MCP servers, with `declared` (settings that came by flag or .env) on top."""
    kept = {
        name: value
        for name, value in environment.items()
        if not is_model_variable(name) and name.upper() not in _NOT_FOR_OUR_SERVER
    }
    return kept | dict(declared)


def foreign_server_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What somebody else's server gets: no more than it takes to start, and to look at the same cluster as we do."""
    return {name: environment[name] for name in _FOREIGN_NAMES if name in environment}
