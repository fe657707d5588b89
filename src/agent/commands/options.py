"""What every command accepts, and the settings that it leads to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.cache_first_gateway import CacheFirstGateway
    from agent.settings import AgentSettings


@dataclass(frozen=True)
class CommandOptions:
    """`--context`, `-n`, `--env-file` and `--debug`, wherever they stood on the command line."""

    context: str = ""
    namespace: str | None = None
    env_file: Path | None = None
    debug: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def narrowed(self, context: str | None = None, namespace: str | None = None) -> CommandOptions:
        """The same with what stood after the command's name, which wins."""
        return replace(self, context=context or self.context, namespace=namespace or self.namespace)

    def settings(self, **flags: Any) -> AgentSettings:
        """Raises ConfigurationError in one line. Logging goes to stderr from here on."""
        from agent.settings import AgentSettings
        from configuration.logs import configure_logging
        from configuration.sources import load

        configure_logging(debug=self.debug)
        if not self.debug:
            _quiet()
        return load(AgentSettings, env_file=self.env_file, **flags)

    def gateway(self, settings: AgentSettings) -> CacheFirstGateway:
        """Starts nothing; enter it with `async with`."""
        from agent.cache_first_gateway import CacheFirstGateway

        return CacheFirstGateway(None, settings, environment=self.environment, context=self.context, namespace=self.namespace)


def _quiet() -> None:
    """A person reads the answer, not the log: what matters is said in the answer or as an error."""
    import logging

    logging.getLogger().setLevel(logging.ERROR)
