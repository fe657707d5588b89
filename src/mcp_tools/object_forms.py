"""In which form each kind is asked of the API server, and how its answers become objects: decided here alone.

Everything is asked for as JSON objects, except Secrets: those as Table with their metadata, which the API server sends
without any value. Source: k8s.io/apiserver pkg/endpoints/handlers/response.go (asTable), `includeObject=Metadata`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from configuration.errors import ClusterError
from kinds.kind import Kind
from mcp_tools.k8s_api import JSON, TABLE
from mcp_tools.list_pages import ListMeta, ListPage, decode_item, decode_list, decode_page
from mcp_tools.managed_fields import key_names

SECRET_CELLS = ("Name", "Type", "Data", "Age")
"""The columns of a Secret. Only the first event of a watch names them; source: printers.go, secretColumnDefinitions."""


@dataclass(frozen=True, slots=True)
class ObjectForm:
    """How one kind is listed and watched.

    `query` goes into every LIST, GET and watch. `page` takes the body of a LIST (raises ClusterError when it is none) and
    leaves the items as JSON text; `item` decodes one of them (TypeError, ValueError: it is no object); `one` takes the body
    of a GET. `event_objects` takes the `object` of a watch event (ADDED, MODIFIED, DELETED) and gives the objects in it.
    Objects are whole (apiVersion, kind) and still have their managedFields.
    """

    accept_list: str
    accept_watch: str
    query: tuple[tuple[str, str], ...]
    page: Callable[[bytes, str], ListPage]
    item: Callable[[msgspec.Raw | bytes], dict[str, Any]]
    one: Callable[[bytes, str], dict[str, Any]]
    event_objects: Callable[[dict[str, Any]], list[dict[str, Any]]]


def form_of(kind: Kind) -> ObjectForm:
    """The form of a kind. A Secret is one whatever it is called: what counts is the path that is asked."""
    if kind.resource == "secrets" and not kind.group:
        return _SECRETS
    head = {"apiVersion": kind.api_version, "kind": kind.kind}

    def item(raw: msgspec.Raw | bytes) -> dict[str, Any]:
        """Items of a list carry neither apiVersion nor kind: they get them, so that every object stands by itself."""
        return head | decode_item(raw)

    def one(body: bytes, doing: str) -> dict[str, Any]:
        try:
            return item(body)
        except (TypeError, ValueError) as error:
            raise ClusterError(f"cannot {doing}: the API server's answer is not an object ({error}); try again") from None

    return ObjectForm(JSON, JSON, (), decode_page, item, one, lambda obj: [head | obj])


class _Column(msgspec.Struct):
    name: str = ""


class _Table(msgspec.Struct):
    kind: str = ""
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    column_definitions: list[_Column] | None = msgspec.field(name="columnDefinitions", default=None)
    rows: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_TABLES = msgspec.json.Decoder(_Table)


def _secrets_page(body: bytes, doing: str) -> ListPage:
    """Refuses anything but a Table: a proxy that ignores `Accept` must not make values go further than this line."""
    table = decode_list(_TABLES, body, doing, "table")
    if table.kind != "Table":
        raise ClusterError(
            f"cannot {doing}: the API server was asked for a table without values and sent {table.kind[:60]!r}, which is "
            "thrown away; a proxy between here and the API server may drop the Accept header"
        )
    if table.rows is msgspec.UNSET:
        raise ClusterError(f"cannot {doing}: the API server's table has no rows, not even none; try again")
    return ListPage(table.rows, table.metadata)


def _secret_item(raw: msgspec.Raw | bytes) -> dict[str, Any]:
    return _secret(decode_item(raw), SECRET_CELLS)


def _one_secret(body: bytes, doing: str) -> dict[str, Any]:
    rows = _secrets_page(body, doing).items or []
    if len(rows) != 1:
        raise ClusterError(f"cannot {doing}: the API server's table has {len(rows)} rows instead of one; try again")
    return _secret_item(rows[0])


def _secret_event(obj: dict[str, Any]) -> list[dict[str, Any]]:
    """`columnDefinitions` is null in all but the first event of a watch."""
    if obj.get("kind") != "Table":
        raise ClusterError(f"a watch of secrets was asked for tables without values and got {str(obj.get('kind'))[:60]!r}")
    names: tuple[str, ...] = SECRET_CELLS
    if columns := obj.get("columnDefinitions"):
        names = tuple(str(column.get("name")) for column in columns)
    return [_secret(row, names) for row in obj.get("rows") or []]


def _secret(row: Mapping[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    """One row -> {apiVersion, kind, metadata, type, keyCount, data: {key: null, …}}.

    `data` is there only when the names that managedFields hold are as many as the API server counts: a Secret whose
    managedFields were cleared, or of which a key was taken away, has names that are not known.
    """
    cells = dict(zip(columns, row.get("cells") or [], strict=False))
    metadata = (row.get("object") or {}).get("metadata") or {}
    type_, count = cells.get("Type"), cells.get("Data")
    if isinstance(count, str) and count.isdecimal():  # the column's declared type, which the API server itself does not keep
        count = int(count)
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    if isinstance(type_, str):
        secret["type"] = type_
    if isinstance(count, int) and not isinstance(count, bool):
        secret["keyCount"] = count
        names = key_names(metadata, ("data", "stringData"))
        if len(names) == count:
            secret["data"] = dict.fromkeys(sorted(names))
    return secret


_SECRETS = ObjectForm(TABLE, TABLE, (("includeObject", "Metadata"),), _secrets_page, _secret_item, _one_secret, _secret_event)
