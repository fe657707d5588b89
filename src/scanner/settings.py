"""Settings of the scanner process."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cache.settings import CacheSettings
from mcp_tools.settings import McpSettings


class ScannerSettings(McpSettings, CacheSettings):
    """What `scanner` reads. A kind is due at 0.8 of the shorter of its interval here and its TTL in the cache."""

    scanner_static_interval: int = Field(1800, gt=0, description="Seconds between scans of kinds that rarely change")
    scanner_dynamic_interval: int = Field(300, gt=0, description="Seconds between scans of pods, nodes, workloads and events")
    scanner_timeout: int = Field(120, gt=0, description="Seconds that a scan may go without progress before it is given up")
    scanner_batch_size: int = Field(100, gt=0, le=10_000, description="Objects that one SQL statement compares and stages")
    scanner_concurrent_limit: int = Field(3, gt=0, le=100, description="Scans at the same time, over all clusters")
    scanner_full_list_interval: int = Field(
        21_600, gt=0, description="Seconds after which a kind is listed as a whole again, however well it was kept up"
    )
    scanner_follow: bool = Field(True, description="Whether the daemon follows changes by watches, where the API allows it")
    scanner_extra_kinds: str = Field(
        "",
        description="Further kinds to cache, comma-separated, as `certificates.cert-manager.io`; found through the API discovery",
    )
    scanner_namespaces: str = Field(
        "",
        description="Namespaces to try where neither a kind nor the namespaces may be listed cluster-wide, comma-separated; "
        "empty: the namespace of the context",
    )
    scanner_metrics_port: int = Field(0, ge=0, le=65_535, description="Loopback port for Prometheus metrics; 0: none")
    scanner_log_format: Literal["text", "json"] = Field("text", description="Form of log lines on standard error")

    @property
    def extra_kinds(self) -> tuple[str, ...]:
        """Names in SCANNER_EXTRA_KINDS."""
        return _names(self.scanner_extra_kinds)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Names in SCANNER_NAMESPACES."""
        return _names(self.scanner_namespaces)


def _names(setting: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in setting.split(",") if name.strip())
