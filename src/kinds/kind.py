"""The declaration of one kind, and the columns derived from its record."""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from kinds.record import Json, Record, SideRecord, Time

ColumnType = Literal["text", "integer", "real", "boolean", "time", "json"]

_COLUMN_TYPES: Mapping[object, ColumnType] = {
    str: "text",
    int: "integer",
    float: "real",
    bool: "boolean",
    Time: "time",
    Json: "json",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One typed column; `time` is epoch seconds in the database and RFC 3339 in an answer."""

    name: str
    type: ColumnType
    nullable: bool
    doc: str
    index: bool
    tracked: bool = True
    """False: its changes are no history."""


@dataclass(frozen=True)
class SideTable:
    """Rows that belong to an object, for example the containers of a pod.

    `attribute` is the record's field that holds a tuple of `record`; it is no column itself. `key` names the columns that
    tell the rows of one object apart: its history follows a row by them.
    """

    name: str
    attribute: str
    record: type[SideRecord]
    key: tuple[str, ...] = ("name",)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return columns_of(self.record)


@dataclass(frozen=True)
class Kind:
    """Everything the project knows about one Kubernetes kind.

    `read` turns one redacted API object (a decoded JSON object) into its record and raises KeyError, TypeError,
    ValueError or AttributeError on an object it cannot read; resource_parser sets such objects aside.
    """

    name: str
    """Name of the table, of arguments and settings: the plural resource name `pods`; of kinds that are not declared
    here `plural.group`."""
    kind: str
    """`Pod`."""
    group: str
    version: str
    namespaced: bool
    dynamic: bool
    """True: refreshed on the dynamic interval and TTL (300 s); False: on the static one (1,800 s)."""
    record: type[Record]
    read: Callable[[dict[str, Any]], Record]
    list_columns: tuple[str, ...]
    """What a list answers for each object, in order: what a person reads in `kubectl get -o wide`."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Filter name -> column: equality filters that a list accepts beside namespace and label selector."""
    side_tables: tuple[SideTable, ...] = ()
    aliases: tuple[str, ...] = ()
    """Short and singular names that kubectl knows: `po`, `pod`."""
    revision: int = 1
    """Raised when `read` computes a column differently: the table is then dropped and scanned anew."""
    resource: str = ""
    """Plural resource name in the API's paths; the same as `name` unless given."""
    optional: bool = False
    """True: its API group may be absent from a cluster, which is no failure (answer KindNotServed)."""

    generic: bool = False
    """True: not declared here (`kinds.generic`). Clusters may serve it in different versions, all in one table."""

    def __post_init__(self) -> None:
        if not self.resource:
            object.__setattr__(self, "resource", self.name)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        sides = {side.attribute for side in self.side_tables}
        return tuple(c for c in columns_of(self.record, skip=sides))

    @cached_property
    def columns_by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def declaration_hash(self) -> str:
        """Changes whenever the stored form changes; kept with the table."""
        parts = [self.name, self.group, "" if self.generic else self.version, str(self.revision)]
        for owner, columns in [("", self.columns), *((side.name, side.columns) for side in self.side_tables)]:
            parts += [f"{owner}.{c.name}:{c.type}:{c.nullable}:{c.index}" for c in columns]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def api_path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of the collection, or of one object. The parts must be validated names."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.resource}" + (f"/{name}" if name else "")


def columns_of(record: type[Record] | type[SideRecord], skip: typing.Collection[str] = ()) -> tuple[Column, ...]:
    """Derive the columns from a record's annotations: `int | None` is a nullable integer, a mapping or tuple is JSON."""
    hints = typing.get_type_hints(record)
    columns = []
    for declared in fields(record):
        if declared.name in skip:
            continue
        type_, nullable = _column_type(hints[declared.name])
        said = declared.metadata
        columns.append(
            Column(declared.name, type_, nullable, said.get("doc", ""), said.get("index", False), said.get("tracked", True))
        )
    return tuple(columns)


def _column_type(hint: Any) -> tuple[ColumnType, bool]:
    nullable = False
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        nullable = len(inner) < len(typing.get_args(hint))
        (hint,) = inner
    if hint in _COLUMN_TYPES:
        return _COLUMN_TYPES[hint], nullable
    if typing.get_origin(hint) is Literal:
        return "text", nullable
    return "json", nullable


def row(kind: Kind, record: Record, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The JSON-able row of a record: times as RFC 3339, everything else as it is. `names` defaults to `list_columns`."""
    return {name: present(kind.columns_by_name[name], getattr(record, name)) for name in names or kind.list_columns}


def present(column: Column, value: Any) -> Any:
    """One value as an answer shows it. Cache and live answers both pass here, so that they are equal."""
    if value is None:
        return None
    if column.type == "time":
        from kinds.times import to_rfc3339

        return to_rfc3339(value)
    if column.type == "boolean":
        return bool(value)
    if isinstance(value, tuple):
        return list(value)
    return value
