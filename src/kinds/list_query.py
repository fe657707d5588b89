"""What can be asked of a list, the same from cache and live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from configuration.errors import ConfigurationError
from kinds import label_selector
from kinds.kind import Kind
from kinds.record import Record

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
WORDS = frozenset(
    [
        *("address_type", "object_kind", "phase", "progress", "reason", "resource_kind", "role_kind", "status", "status_phase"),
        *("target_kind", "type"),
    ]
)
"""Columns of words that Kubernetes capitalizes (CrashLoopBackOff): a filter on one minds no case. On names of objects it does."""
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_LONGEST_ASKED = 200
"""Characters: a selector may have thousands, and it is the caller's own."""


@dataclass(frozen=True)
class ListQuery:
    """One list: rows in name order (`kinds.record.sort_key`), `limit` of them, from `continue_token` on.

    `filters` maps a name from `kind.filters` to the value that its column must equal, of `WORDS` in any case.
    """

    kind: Kind
    namespace: str | None = None
    selector: str = ""
    filters: Mapping[str, str | bool] = field(default_factory=dict)
    limit: int = DEFAULT_LIMIT
    continue_token: str = ""

    def __post_init__(self) -> None:
        unknown = set(self.filters) - set(self.kind.filters)
        if unknown:
            known = ", ".join(self.kind.filters) or "none"
            raise ConfigurationError(f"{self.kind.name} cannot be filtered by {', '.join(sorted(unknown))}; it knows: {known}")

    @cached_property
    def requirements(self) -> tuple[label_selector.Requirement, ...]:
        return label_selector.parse(self.selector)

    @cached_property
    def asked(self) -> str:
        """What it is narrowed to, in words: `with healthy=false, labels app=web in namespace shop`; "" for everything."""
        narrowed = [f"{name}={_word(value)}" for name, value in sorted(self.filters.items())]
        narrowed += [f"labels {self.selector}"] if self.requirements else []
        return asked_for(narrowed, self.namespace if self.kind.namespaced else None)

    def accepts(self, record: Record) -> bool:
        """Whether the filters hold (namespace and label selector are the API server's business, or SQL's)."""
        return all(self.holds(name, getattr(record, self.kind.filters[name])) for name in self.filters)

    def holds(self, name: str, value: object) -> bool:
        """Whether a column's value passes the filter `name`. Letters of ASCII only, as SQLite's NOCASE does it for the cache."""
        wanted = self.filters[name]
        if value == wanted or not (isinstance(value, str) and isinstance(wanted, str)):
            return value == wanted
        return self.minds_no_case(name) and value.translate(_ASCII_LOWER) == wanted.translate(_ASCII_LOWER)

    def minds_no_case(self, name: str) -> bool:
        """Whether the filter `name` is on a column of words."""
        return self.kind.filters[name] in WORDS


def asked_for(narrowed: Sequence[str], namespace: str | None) -> str:
    """`with type=Warning in namespace shop`."""
    words = ", ".join(narrowed)
    words = words if len(words) <= _LONGEST_ASKED else f"{words[:_LONGEST_ASKED]}…"
    told = [f"with {words}"] if words else []
    return " ".join([*told, *([f"in namespace {namespace}"] if namespace else [])])


def _word(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
