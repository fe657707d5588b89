"""Request bodies in protobuf, which kubectl's typed clients insist on (`kubectl create deployment`, `drain`, `auth can-i`).

Answers are JSON: those clients accept it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from demo import protobuf_fields
from demo.api_status import ApiError, Json
from demo.timestamps import rfc3339

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_INLINED = ("handler", "localObjectReference", "ingressRuleValue")
"""Embedded messages whose fields stand in their parent's JSON."""
_ZERO_MEANS_ZERO = ("replicas", "backoffLimit", "completions", "parallelism", "gracePeriodSeconds", "minReplicas",
                    "terminationGracePeriodSeconds", "ttlSecondsAfterFinished", "number", "value")  # fmt: skip
_FALSE_MEANS_FALSE = ("automountServiceAccountToken", "enableServiceLinks", "allowPrivilegeEscalation", "suspend",
                      "runAsNonRoot", "readOnlyRootFilesystem", "immutable", "optional")  # fmt: skip

_STATUS_IS_THREE = ("Deployment", "Job", "CronJob", "Namespace", "Service", "Pod", "ResourceQuota", "PodDisruptionBudget",
                    "Ingress", "SelfSubjectAccessReview", "SelfSubjectRulesReview", "HorizontalPodAutoscaler")  # fmt: skip

Fields = dict[int, tuple[str, str]]


class _Unsupported(ValueError):
    """A field or message that the table does not have."""


def _parse_table(text: str) -> dict[str, Fields]:
    table: dict[str, Fields] = {}
    for line in text.replace("\n    ", " ").strip().splitlines():
        name, _, fields = line.partition(": ")
        table[name.rstrip(":")] = {
            int(number): (field, type_) for number, field, type_ in (entry.split(":") for entry in fields.split())
        }
    return table


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _wire_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, integer or bytes) of one message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value - 2**64 if value >= 2**63 else value
        elif wire_type == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("truncated message")
            yield number, data[at : at + length]
            at += length
        else:
            raise _Unsupported(f"wire type {wire_type}")


def _quantity(data: bytes) -> str:
    return next((value.decode() for number, value in _wire_fields(data) if number == 1), "0")


def _int_or_string(data: bytes) -> int | str:
    parts = dict(_wire_fields(data))
    return parts.get(3, b"").decode() if parts.get(1) else int(parts.get(2, 0))


def _time(data: bytes) -> str | None:
    seconds = dict(_wire_fields(data)).get(1)
    return rfc3339(datetime.fromtimestamp(seconds, UTC)) if seconds else None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "s": lambda value: value.decode(),
    "i": lambda value: value,
    "b": bool,
    "y": lambda value: base64.b64encode(value).decode(),
    "Q": _quantity,
    "X": _int_or_string,
    "T": _time,
}


class _Decoder:
    def __init__(self) -> None:
        self._table = _parse_table(protobuf_fields.MESSAGES)

    def knows(self, message: str) -> bool:
        return message in self._table

    def value(self, type_: str, raw: Any) -> Any:
        scalar = _SCALARS.get(type_)
        return scalar(raw) if scalar else self.message(type_, raw)

    def message(self, name: str, data: bytes) -> Json:
        fields, decoded = self._table[name], dict[str, Any]()
        for number, raw in _wire_fields(data):
            if number not in fields:
                self._check_unlisted(name, number, raw)
                continue
            field, type_ = fields[number]
            self._set(decoded, field, type_, raw)
        return decoded

    @staticmethod
    def _check_unlisted(message: str, number: int, raw: Any) -> None:
        """Clients send empty values of everything: only one that says something matters, and no status does."""
        if raw and not (number == 3 and message in _STATUS_IS_THREE):
            raise _Unsupported(f"field {number} of {message}")

    def _set(self, decoded: Json, field: str, type_: str, raw: Any) -> None:
        if type_.startswith("*"):
            decoded.setdefault(field, []).append(self.value(type_[1:], raw))
        elif type_.startswith("%"):
            entry = dict(_wire_fields(raw))
            key = entry.get(1, b"").decode()
            decoded.setdefault(field, {})[key] = self.value(type_[1:], entry.get(2, b""))
        else:
            value = self.value(type_, raw)
            if field in _INLINED:
                decoded.update(value)
            elif not _is_unset(field, value):
                decoded[field] = value


def _is_unset(field: str, value: Any) -> bool:
    """Go's zero values are on the wire too; JSON leaves them out unless a pointer was set to them."""
    if value is None or value == "":
        return True
    if value is False:
        return field not in _FALSE_MEANS_FALSE
    return value == 0 and isinstance(value, int) and field not in _ZERO_MEANS_ZERO


def decode(body: bytes) -> Json:
    """The object in `body` as JSON; ApiError 415 for kinds and fields that the table lacks, 400 for damaged ones."""
    if not body.startswith(_MAGIC):
        raise ApiError(400, "BadRequest", "the body of the request was in an unknown format - it is no Kubernetes protobuf")
    decoder = _Decoder()
    try:
        envelope = dict(_wire_fields(body[len(_MAGIC) :]))
        type_meta = dict(_wire_fields(envelope.get(1, b"")))
        api_version, kind = type_meta.get(1, b"").decode(), type_meta.get(2, b"").decode()
        if not decoder.knows(kind):
            raise _Unsupported(f"kind {kind}")
        return {"apiVersion": api_version, "kind": kind, **decoder.message(kind, envelope.get(2, b""))}
    except _Unsupported as missing:
        message = f"the simulated cluster does not read {missing} in protobuf; send the object as JSON or YAML (kubectl apply -f)"
        raise ApiError(415, "UnsupportedMediaType", message) from missing
    except (ValueError, IndexError, KeyError, AttributeError, TypeError) as damage:
        raise ApiError(400, "BadRequest", f"the protobuf body of the request cannot be read: {damage}") from damage
