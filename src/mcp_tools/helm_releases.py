"""Helm's own records: one Secret (or ConfigMap) for each revision of each release, read without the helm command.

Its labels say name, revision and status; its payload is JSON in gzip in base64. Source: helm.sh/helm/v3
pkg/storage/driver/{secrets,cfgmaps,labels,util}.go, pkg/release/release.go.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from configuration.errors import ClusterError, NotFound, NotPermitted
from kinds.kind import Kind
from kinds.registry import KINDS
from kinds.times import to_time
from mcp_tools.k8s_api import METADATA_LIST, ClusterApi
from mcp_tools.list_pages import decode_object, decode_page
from mcp_tools.object_forms import form_of
from mcp_tools.secret_access import SecretAccess
from mcp_tools.secret_payloads import read_secret

RECORD = "sh.helm.release.v1."
MAX_RELEASE_BYTES = 32 * 1024 * 1024
"""Of an unpacked record. Helm packs at most 1 MiB; what unpacks to more than thirty times that is no release."""
_PAGE = 500
_GZIP = b"\x1f\x8b\x08"
_SECRETS, _CONFIG_MAPS = KINDS["secrets"], KINDS["configmaps"]


@dataclass(frozen=True, slots=True)
class Revision:
    """What the labels of one record say. `updated` is epoch seconds."""

    namespace: str
    name: str
    revision: int
    status: str
    updated: int | None
    in_secret: bool
    """False: in a ConfigMap."""


class Info(msgspec.Struct):
    """`info` of a record; times are RFC 3339."""

    first_deployed: str = ""
    last_deployed: str = ""
    description: str = ""
    status: str = ""
    notes: str = ""


class ChartMetadata(msgspec.Struct):
    """`chart.metadata`."""

    name: str = ""
    version: str = ""
    app_version: str = msgspec.field(name="appVersion", default="")


class Chart(msgspec.Struct):
    """`chart`, without templates and files: they are most of a record and nobody's question."""

    metadata: ChartMetadata | None = None
    values: dict[str, Any] | None = None


class Release(msgspec.Struct):
    """A record. Nothing in it is redacted: it never leaves the modules that read releases. `config`: the values given."""

    name: str = ""
    namespace: str = ""
    version: int = 0
    info: Info = msgspec.field(default_factory=Info)
    chart: Chart = msgspec.field(default_factory=Chart)
    config: dict[str, Any] | None = None
    manifest: str = ""

    def __repr__(self) -> str:
        return f"Release({self.namespace}/{self.name} v{self.version})"


_RELEASES = msgspec.json.Decoder(Release)


async def revisions(api: ClusterApi, namespace: str = "", name: str = "") -> list[Revision]:
    """All revisions, newest first for each release; names must be validated. Raises ClusterError.

    Records in ConfigMaps are an option of Helm that few use: where the cluster, or this server's policy, does not permit to list
    those, they count as none.
    """
    selector = "owner=helm" + (f",name={name}" if name else "")
    found = await _listed(api, _SECRETS, namespace, selector, [("fieldSelector", "type=helm.sh/release.v1")])
    with suppress(NotPermitted):
        found += await _listed(api, _CONFIG_MAPS, namespace, selector, [])
    return sorted(found, key=lambda one: (one.namespace, one.name, -one.revision))


def latest(found: Sequence[Revision]) -> list[Revision]:
    """The newest revision of each release."""
    newest: dict[tuple[str, str], Revision] = {}
    for one in found:
        key = one.namespace, one.name
        if key not in newest or one.revision > newest[key].revision:
            newest[key] = one
    return list(newest.values())


async def read_release(api: ClusterApi, revision: Revision) -> Release:
    """The record of one revision. Raises ClusterError, whose text quotes nothing of it."""
    record = f"{RECORD}{revision.name}.v{revision.revision}"
    what = f"read revision {revision.revision} of Helm release {revision.namespace}/{revision.name}"
    if revision.in_secret:
        secret = await read_secret(api, revision.namespace, record, SecretAccess.RELEASE)
        packed = secret.values.get("release")
    else:
        answer = await api.get(_CONFIG_MAPS.api_path(revision.namespace, record), doing=what, max_bytes=6 * 1024 * 1024)
        packed = _text(answer.body)
    release = _unpacked(packed or b"")
    if release is None:
        raise ClusterError(f"cannot {what}: its record is damaged, or unpacks to more than {MAX_RELEASE_BYTES >> 20} MiB")
    return release


def chosen(found: Sequence[Revision], namespace: str, name: str, number: int | None, *, deployed: bool = False) -> Revision:
    """The revision asked for, else the newest (with `deployed`: the newest that is deployed, if any). Raises NotFound."""
    if not found:
        raise NotFound(
            f"there is no Helm release {name!r} in namespace {namespace}; k8s_helm what=list names those there are",
            status=404,
            reason="NotFound",
        )
    if number is not None:
        for one in found:
            if one.revision == number:
                return one
        known = ", ".join(str(one.revision) for one in found[:20])
        raise NotFound(
            f"Helm release {namespace}/{name} has no revision {number}; it has: {known}", status=404, reason="NotFound"
        )
    return next((one for one in found if deployed and one.status == "deployed"), found[0])


async def _listed(
    api: ClusterApi, kind: Kind, namespace: str, selector: str, query: list[tuple[str, str | int]]
) -> list[Revision]:
    """From labels alone: of Secrets as a Table, of ConfigMaps as metadata. No payload is asked for."""
    form = form_of(kind)
    accept = form.accept_list if kind is _SECRETS else METADATA_LIST
    doing = f"list Helm releases in {kind.name}" + (f" of namespace {namespace}" if namespace else "")
    found, token = [], ""
    while True:
        asked: list[tuple[str, str | int]] = [("limit", _PAGE), ("labelSelector", selector), *query, *form.query]
        asked += [("continue", token)] if token else []
        answer = await api.get(kind.api_path(namespace or None), doing=doing, query=asked, accept=accept)
        page = form.page(answer.body, doing) if kind is _SECRETS else decode_page(answer.body, doing)
        for item in page.items or []:
            obj = form.item(item) if kind is _SECRETS else decode_object(item)
            if (one := _revision(obj.get("metadata") or {}, in_secret=kind is _SECRETS)) is not None:
                found.append(one)
        token = page.metadata.continue_token
        if not token:
            return found


def _revision(metadata: dict[str, Any], *, in_secret: bool) -> Revision | None:
    """None for what carries Helm's label and is no record of it."""
    labels = metadata.get("labels") or {}
    name, number = str(labels.get("name") or ""), str(labels.get("version") or "")
    if not number.isdecimal() or len(number) > 9 or metadata.get("name") != f"{RECORD}{name}.v{number}":
        return None
    stamp = next((str(labels[key]) for key in ("modifiedAt", "createdAt") if str(labels.get(key) or "").isdecimal()), "")
    updated = int(stamp[:12]) if stamp else _seconds(metadata.get("creationTimestamp"))
    return Revision(str(metadata.get("namespace") or ""), name, int(number), str(labels.get("status") or ""), updated, in_secret)


def _seconds(time: Any) -> int | None:
    try:
        return to_time(str(time or ""))
    except ValueError:
        return None


def _text(body: bytes) -> bytes:
    try:
        return str((decode_object(body).get("data") or {}).get("release") or "").encode()
    except (TypeError, ValueError, AttributeError):
        return b""


def _unpacked(packed: bytes) -> Release | None:
    """None for what is no record. Helm before gzip stored plain JSON."""
    try:
        content = base64.b64decode(packed, validate=True)
        if content.startswith(_GZIP):
            unpacker = zlib.decompressobj(wbits=31)
            content = unpacker.decompress(content, MAX_RELEASE_BYTES)
            if not unpacker.eof:
                return None
        return _RELEASES.decode(content)
    except (binascii.Error, ValueError, zlib.error, RecursionError, msgspec.MsgspecError):
        return None
