"""A tool: its name, words, argument schema, output schema, hints, and the function that does it.

Arguments are declared as JSON Schema properties and checked in one place (server.py), strictly: nothing is coerced,
nothing unknown is accepted. The function gets them as keyword arguments, with defaults filled in.
"""

from __future__ import annotations

import inspect
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp_tools.discovery import Discovery
from mcp_tools.k8s_api import Clusters
from mcp_tools.openapi_schemas import OpenApiSchemas
from mcp_tools.page_prefetch import PagePrefetch
from mcp_tools.redaction import Redactor
from mcp_tools.server_policy import ServerPolicy
from mcp_tools.shown_schemas import shown_schema
from mcp_tools.tool_spec import SMALLEST_BUDGET, WHOLE_ANSWER
from mcp_tools.watch_holder import WatchHolder

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class ToolContext:
    """What a tool works with."""

    clusters: Clusters
    redactor: Redactor
    clock: Callable[[], float] = time.time
    prefetch: PagePrefetch = field(default_factory=PagePrefetch)
    watches: WatchHolder = field(default_factory=WatchHolder)
    discovery: Discovery = field(default_factory=Discovery)
    openapi: OpenApiSchemas = field(default_factory=OpenApiSchemas)
    started_at: float = field(default_factory=time.time)
    server_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Names this run of the server: counters begin anew with it."""

    @property
    def policy(self) -> ServerPolicy:
        """What this server may do."""
        return self.clusters.policy

    async def close(self) -> None:
        """End the watches, then the connections that they use."""
        await self.watches.close()
        await self.clusters.close()


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """`text` is what a client without structured content shows; `structured` fits the tool's output schema."""

    text: str
    structured: dict[str, Any] | None = None


class ToolFunction(Protocol):
    """The body of a tool."""

    def __call__(self, tools: ToolContext, **arguments: Any) -> Awaitable[ToolAnswer]: ...


@dataclass(frozen=True)
class ToolDeclaration:
    """See `tool`."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, Schema]
    required: tuple[str, ...]
    output: Schema | None
    run: ToolFunction
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = True
    bulk: bool = False

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        schema: dict[str, Any] = {"type": "object", "properties": dict(self.arguments), "additionalProperties": False}
        return schema | ({"required": list(self.required)} if self.required else {})

    @property
    def listed_schema(self) -> dict[str, Any]:
        """What tools/list says: for models the short form, for programs the whole one. Calls are checked against the whole."""
        return self.input_schema if self.bulk else shown_schema(self.input_schema)


def tool(
    name: str,
    *,
    title: str,
    arguments: Mapping[str, Schema],
    output: Schema | None,
    read_only: bool = True,
    destructive: bool = False,
    idempotent: bool = True,
    bulk: bool = False,
) -> Callable[[Callable[..., Awaitable[ToolAnswer]]], ToolDeclaration]:
    """Declare the decorated function as a tool. Its docstring is the description, its signature says what is required.

    `arguments` maps each keyword argument to its schema; a mismatch between the two is an error at import.
    """

    def declare(function: Callable[..., Awaitable[ToolAnswer]]) -> ToolDeclaration:
        parameters = {key: value for key, value in inspect.signature(function).parameters.items() if key != "tools"}
        variable = any(value.kind is inspect.Parameter.VAR_KEYWORD for value in parameters.values())
        named = {key: value for key, value in parameters.items() if value.kind is inspect.Parameter.KEYWORD_ONLY}
        if not variable and set(named) != set(arguments):
            raise TypeError(f"{name}: schema and signature differ in {sorted(set(named) ^ set(arguments))}")
        required = tuple(key for key, value in named.items() if value.default is inspect.Parameter.empty)
        return ToolDeclaration(
            name=name,
            title=title,
            description=inspect.cleandoc(function.__doc__ or ""),
            arguments=arguments,
            required=required,
            output=output,
            run=function,
            read_only=read_only,
            destructive=destructive,
            idempotent=idempotent,
            bulk=bulk,
        )

    return declare


def text(description: str, *, max_length: int = 253, default: str | None = None, choices: tuple[str, ...] = ()) -> Schema:
    """A string argument."""
    schema: dict[str, Any] = {"type": "string", "description": description}
    if choices:
        schema["enum"] = list(choices)
    else:
        schema["maxLength"] = max_length
    return schema | ({"default": default} if default is not None else {})


def integer(description: str, *, minimum: int, maximum: int, default: int | None = None) -> Schema:
    """A whole number, bounded."""
    schema = {"type": "integer", "description": description, "minimum": minimum, "maximum": maximum}
    return schema | ({"default": default} if default is not None else {})


def boolean(description: str, *, default: bool | None = None) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description} | ({"default": default} if default is not None else {})


def number(description: str, *, maximum: float, default: float) -> Schema:
    """A number from 0 on."""
    return {"type": "number", "description": description, "minimum": 0, "maximum": maximum, "default": default}


def listing(of: Schema, description: str, *, most: int, default: Sequence[object] | None = None) -> Schema:
    """A list."""
    schema: dict[str, Any] = {"type": "array", "description": description, "items": of, "maxItems": most}
    return schema | ({"default": list(default)} if default is not None else {})


def record(properties: Mapping[str, Schema], *, required: Sequence[str]) -> Schema:
    """A mapping with known keys, as an item of a list. Defaults in it are words only: nothing fills them in."""
    return {"type": "object", "properties": dict(properties), "required": list(required), "additionalProperties": False}


CONTEXT = text("Kubeconfig context (cluster); empty: the current one. k8s_list_contexts names them.", default="")
NAMESPACE_FILTER = text("Only this namespace; empty: all namespaces.", max_length=63, default="")
MAX_TOKENS = integer("Longest answer.", minimum=SMALLEST_BUDGET, maximum=100_000, default=4000)
"""Of text and structured content together."""
OFFSET = integer("Leave out so many at the beginning.", minimum=0, maximum=100_000, default=0)
MAX_TOKENS_WHOLE = integer("Longest answer.", minimum=SMALLEST_BUDGET, maximum=WHOLE_ANSWER, default=4000)
"""Of tools whose whole answer programs read too."""
