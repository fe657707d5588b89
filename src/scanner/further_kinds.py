"""Kinds that are switched on by name (SCANNER_EXTRA_KINDS), found through what the clusters serve."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from kinds.kind import Kind
from mcp_tools.extra_kinds import resolve_extra_kinds
from mcp_tools.tool_loader import ToolLoader

log = logging.getLogger(__name__)


class FurtherKinds:
    """Adds what it finds to `kinds`, by its full name. A kind is declared as the first cluster that serves it does.

    A cluster that does not serve them all is asked again after `again_seconds`: they may be installed later.
    """

    def __init__(
        self,
        loader: ToolLoader,
        names: Sequence[str],
        kinds: dict[str, Kind],
        *,
        again_seconds: float,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loader = loader
        self._missing = set(names)
        self._kinds = kinds
        self._again_seconds = again_seconds
        self._steady = steady
        self._asked_at: dict[str, float] = {}
        self._told: set[str] = set()
        self.found: dict[str, Kind] = {}
        """Name as it was asked for -> kind."""

    @property
    def missing(self) -> list[str]:
        """Names that no cluster has served yet."""
        return sorted(self._missing)

    async def find(self, cluster: str) -> None:
        """Look for what has not been found yet. Raises K8sMcpError when the cluster cannot be asked."""
        asked_at = self._asked_at.get(cluster)
        if not self._missing or (asked_at is not None and self._steady() - asked_at < self._again_seconds):
            return
        chosen = await resolve_extra_kinds(self._loader, cluster, self.missing)
        self._asked_at[cluster] = self._steady()
        for kind in chosen.kinds:
            names = {kind.name, kind.resource} & self._missing
            self._missing -= names
            self.found |= dict.fromkeys(names, kind)
            self._kinds.setdefault(kind.name, kind)
            log.info("%s: %s is cached from now on", cluster, kind.name)
        self._missing -= set(chosen.declared)
        for name, meanings in chosen.ambiguous.items():
            if name not in self._told:
                self._told.add(name)
                log.warning("SCANNER_EXTRA_KINDS: %s may be %s; name one of them", name, " or ".join(meanings))
        for name in chosen.absent:
            log.debug("%s does not serve %s", cluster, name)
