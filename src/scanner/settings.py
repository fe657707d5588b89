"""Settings of the scanner process."""

from __future__ import annotations

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
