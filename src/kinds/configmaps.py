"""ConfigMaps: their keys and how large they are; the values stay in the redacted manifest."""

from __future__ import annotations

from typing import Any

from kinds.kind import Kind
from kinds.metadata import common
from kinds.record import Json, Record, column, record

_MARK_START = "‹redacted:"


@record
class ConfigMapRecord(Record):
    """What `kubectl get configmaps` shows, without any value."""

    data_count: int = column("number of keys in data and binaryData (DATA)")
    data_keys: Json = column("keys of data, a JSON list in alphabetical order")
    binary_keys: Json = column("keys of binaryData, a JSON list in alphabetical order")
    data_sizes: Json = column("key of data -> bytes of its value, a JSON map; null where the value is redacted, even in part")
    size_bytes: int = column("sum of data_sizes: at least that large, more when a size is null or there is binaryData")
    redacted_keys: Json = column("keys whose value is redacted in whole or in part, a JSON list; binaryData always is")
    immutable: bool | None = column("immutable; null when not set, which means no")


def read(configmap: dict[str, Any]) -> ConfigMapRecord:
    """Redacted API object -> ConfigMapRecord."""
    data, binary = configmap.get("data") or {}, configmap.get("binaryData") or {}
    sizes = {key: _size(data[key]) for key in sorted(data)}
    return ConfigMapRecord(
        **common(configmap),
        data_count=len(data) + len(binary),
        data_keys=Json(list(sizes)),
        binary_keys=Json(sorted(binary)),
        data_sizes=Json(sizes),
        size_bytes=sum(size for size in sizes.values() if size is not None),
        redacted_keys=Json([*(key for key, size in sizes.items() if size is None), *sorted(binary)]),
        immutable=configmap.get("immutable"),
    )


def _size(value: str) -> int | None:
    """Bytes in UTF-8; None when redacted: a mark is as long as it is, whatever it stands for."""
    return None if _MARK_START in value else len(value.encode("utf-8", "surrogatepass"))


CONFIGMAPS = Kind(
    name="configmaps",
    kind="ConfigMap",
    group="",
    version="v1",
    namespaced=True,
    dynamic=False,
    record=ConfigMapRecord,
    read=read,
    list_columns=("namespace", "name", "data_count", "size_bytes", "immutable", "created_at", "data_keys"),
    filters={"immutable": "immutable"},
    aliases=("configmap", "cm"),
)
