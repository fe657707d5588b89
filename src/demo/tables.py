"""Table and PartialObjectMetadata output: what `kubectl get` and metadata-only clients ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from demo import config_columns, table_columns
from demo.api_status import Json
from demo.resources import Resource
from demo.store import Stored
from demo.timestamps import age

_ALL_PRINTERS = {**table_columns.PRINTERS, **config_columns.PRINTERS}


def _definition(marked: str) -> Json:
    name = marked.lstrip("*#")
    return {
        "name": name,
        "type": "integer" if marked.startswith("#") else "string",
        "format": "name" if name == "Name" else "",
        "description": f"{name} of the object",
        "priority": 1 if marked.startswith("*") else 0,
    }


def _columns(resource: Resource) -> list[Json]:
    if resource.kind == "Event" and not resource.group:
        marked = table_columns.EVENT_COLUMNS
    elif resource.printer_columns:
        custom = [
            {"name": name, "type": kind, "format": "", "description": f"{name} of the object", "priority": priority}
            for name, kind, _, priority in resource.printer_columns
        ]
        return [_definition("Name"), *custom]
    else:
        marked = _ALL_PRINTERS[resource.kind][0] if resource.kind in _ALL_PRINTERS else "Name|Age"
    return [_definition(name) for name in marked.split("|")]


def _cells(resource: Resource, obj: Json, now: datetime) -> list[object]:
    name = obj["metadata"]["name"]
    if resource.kind == "Event" and not resource.group:
        return table_columns.print_event(obj, now)
    if resource.printer_columns:
        return [name, *(_path_cell(obj, kind, path, now) for _, kind, path, _ in resource.printer_columns)]
    if resource.kind in _ALL_PRINTERS:
        if resource.kind == "StorageClass":
            name = config_columns.storage_class_name(obj)
        return [name, *_ALL_PRINTERS[resource.kind][1](obj, now)]
    return [name, age(obj["metadata"].get("creationTimestamp"), now)]


def _path_cell(obj: Json, kind: str, path: str, now: datetime) -> object:
    """The value at a CRD column's JSON path: dots, and one `[?(@.type=="X")]` filter."""
    value: object = obj
    for part, wanted in re.findall(r'\.([A-Za-z0-9_]+)(?:\[\?\(@\.type\s*==\s*"([^"]+)"\)\])?', path):
        value = value.get(part) if isinstance(value, dict) else None
        if wanted and isinstance(value, list):
            value = next((item for item in value if item.get("type") == wanted), None)
    if kind == "date":
        return age(value, now) if isinstance(value, str) else "<none>"
    return value if value is not None else ""


def partial_metadata(obj: Json) -> Json:
    """The object reduced to its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(resource: Resource, objects: Iterable[Stored], metadata: Json, include: str, now: datetime) -> Json:
    """A meta.k8s.io/v1 Table. `include` is the request's includeObject: None, Metadata or Object."""
    rows = []
    for stored in objects:
        row: Json = {"cells": _cells(resource, stored.obj, now)}
        if include == "Object":
            row["object"] = stored.obj
        elif include != "None":
            row["object"] = partial_metadata(stored.obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": _columns(resource),
        "rows": rows,
    }
