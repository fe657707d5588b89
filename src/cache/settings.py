"""The settings of the cache."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from cache.ttl_manager import TtlPolicy
from configuration.places import default_directory
from configuration.sources import ProcessSettings

DEFAULT_PATH = Path("data/k8s_cache.db")
"""Relative to the project root in a checkout, else to the state directory."""
_SQLITE = "sqlite:///"
_YEAR = 366 * 86_400


class CacheSettings(ProcessSettings):
    """Where the database is, and how long what it holds is worth something."""

    paths: ClassVar[frozenset[str]] = frozenset({"cache_db_path"})

    cache_db_path: Path = Field(
        DEFAULT_PATH,
        description="database file; by default data/k8s_cache.db in the project root or the state directory",
    )
    cache_db_url: str = Field(
        "", description="reserved for PostgreSQL; only sqlite:///PATH is accepted, instead of CACHE_DB_PATH"
    )
    cache_static_ttl: int = Field(1800, gt=0, le=_YEAR, description="seconds until a static kind is stale")
    cache_dynamic_ttl: int = Field(300, gt=0, le=_YEAR, description="seconds until a dynamic kind is stale")
    cache_cleanup_interval: int = Field(300, gt=0, le=_YEAR, description="seconds between two cleanups by the daemon")
    cache_stale_grace: int = Field(86_400, gt=0, le=_YEAR, description="seconds that stale rows are kept, past their TTL")
    cache_history_retention: int = Field(604_800, gt=0, le=_YEAR, description="seconds that changes and deleted objects are kept")

    cache_history_max_mb: int = Field(
        512, gt=0, le=1_000_000, description="megabytes of changes and deleted objects that are kept; the oldest go first"
    )

    @field_validator("cache_db_url")
    @classmethod
    def _only_sqlite(cls, value: str) -> str:
        if value and not value.startswith(_SQLITE):
            scheme = value.split(":", 1)[0][:20]
            raise ValueError(f"only sqlite:///PATH is supported, not {scheme!r}; remove it and set CACHE_DB_PATH")
        if value and not Path(value.removeprefix(_SQLITE)).expanduser().is_absolute():
            raise ValueError(
                f"a relative path would be another file in every folder; write {_SQLITE}/absolute/path or set CACHE_DB_PATH"
            )
        return value

    @model_validator(mode="after")
    def _path_from_url(self) -> Self:
        if self.cache_db_url:
            self.cache_db_path = Path(self.cache_db_url.removeprefix(_SQLITE)).expanduser()
        return self

    @property
    def default_database(self) -> bool:
        """Whether the path is the default one, whose folder may be created (`check_database_path`)."""
        return self.cache_db_path == default_directory() / DEFAULT_PATH

    def ttl_policy(self) -> TtlPolicy:
        return TtlPolicy(
            static_ttl=self.cache_static_ttl,
            dynamic_ttl=self.cache_dynamic_ttl,
            stale_grace=self.cache_stale_grace,
            history_retention=self.cache_history_retention,
            history_max_bytes=self.cache_history_max_mb * 1_000_000,
        )
