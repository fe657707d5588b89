"""What is in a Secret, without its values: sizes, fingerprints, certificates, and what looks like a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kinds.counted import counted
from kinds.registry import KINDS
from kinds.times import to_rfc3339
from mcp_tools.answer_budget import fitting
from mcp_tools.certificates import CertificateFacts, chain_trouble, issued_by_one_of
from mcp_tools.k8s_tools.reading import scope_of
from mcp_tools.object_names import object_name
from mcp_tools.output_schemas import obj
from mcp_tools.plain_text import plain_text
from mcp_tools.redaction import MARK
from mcp_tools.secret_access import SecretAccess
from mcp_tools.secret_content import ValueContent, certificates_of, content_of
from mcp_tools.secret_payloads import SecretPayload, read_secret
from mcp_tools.tool_declaration import CONTEXT, MAX_TOKENS, ToolAnswer, ToolContext, ToolDeclaration, text, tool

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_SHOWN_NAMES = 20
_SOON_DAYS = 30
_KEY = obj(
    {
        "key": _TEXT,
        "bytes": {"type": ["integer", "null"]},
        "fingerprint": {"type": "string", "description": "As in redaction marks: equal for equal values"},
        "content": _TEXT,
        "notes": _TEXTS,
        "registries": _TEXTS,
        "expires": _TEXT,
    },
    optional=("notes", "registries", "expires"),
)
_CERTIFICATE = obj(
    {
        "key": _TEXT,
        "subject": _TEXT,
        "issuer": _TEXT,
        "names": _TEXTS,
        "not_before": _TEXT,
        "not_after": _TEXT,
        "days_left": {"type": "integer", "description": "Negative: expired"},
        "authority": {"type": "boolean"},
        "self_signed": {"type": "boolean"},
        "algorithm": _TEXT,
        "sha256": _TEXT,
    }
)


@tool(
    "k8s_inspect_secret",
    title="Inspect a Secret without its values",
    arguments={
        "context": CONTEXT,
        "name": text("Name of the Secret."),
        "namespace": text("Its namespace; empty: the context's own.", max_length=63, default=""),
        "max_tokens": MAX_TOKENS,
    },
    output=obj(
        {
            "cluster": _TEXT,
            "namespace": _TEXT,
            "name": _TEXT,
            "type": _TEXT,
            "immutable": {"type": "boolean"},
            "created": _TEXT,
            "keys": {"type": "array", "items": _KEY},
            "certificates": {"type": "array", "items": _CERTIFICATE},
            "key_matches": {
                "type": ["boolean", "null"],
                "description": "null: no readable pair of key and certificate",
            },
            "chain": {"type": "string", "description": "Whether each certificate is signed by the next; empty without any"},
            "findings": {"type": "array", "items": _TEXT, "description": "What is wrong or soon will be"},
            "note": _TEXT,
        }
    ),
)
async def inspect_secret(
    tools: ToolContext, *, name: str, context: str = "", namespace: str = "", max_tokens: int = 4000
) -> ToolAnswer:
    """Keys, sizes, fingerprints and certificates (expiry, chain, key match) of a Secret; never its values."""
    api = tools.clusters.api(context)
    scope = str(scope_of(tools, api, KINDS["secrets"], namespace))
    secret = await read_secret(api, scope, object_name(name), SecretAccess.INSPECT)
    contents = {key: content_of(key, value) for key, value in secret.values.items()}
    marks = _fingerprints(tools, secret)
    now = datetime.fromtimestamp(tools.clock(), UTC)
    head = {
        "cluster": api.context,
        "namespace": scope,
        "name": name,
        "type": _clean(tools, secret.type),
        "immutable": secret.immutable,
        "created": _clean(tools, str(secret.metadata.get("creationTimestamp") or "")),
    }
    chain = _chain(contents)
    pair = _key_matches(contents, chain)
    facts = {
        "key_matches": pair,
        "chain": _chain_words(contents, chain),
        "findings": _findings(tools, contents, chain, pair, now),
    }
    keys = [_key_row(tools, key, secret.values[key], contents[key], marks.get(key, "")) for key in secret.values]
    shown_first = {id(one) for one in chain}
    found = sorted(certificates_of(contents), key=lambda one: (id(one[1]) not in shown_first, one[1].not_after))
    certificates = [_certificate_row(tools, key, one, now) for key, one in found]
    return fitting([*keys, *certificates], lambda shown: _answer(head, facts, shown, keys, certificates), max_tokens)


def _answer(
    head: dict[str, Any], facts: dict[str, Any], shown: Sequence[dict[str, Any]], keys: list[Any], certificates: list[Any]
) -> ToolAnswer:
    some_keys, some = list(shown[: len(keys)]), list(shown[len(keys) :])
    note = ""
    if len(shown) < len(keys) + len(certificates):
        note = f"{len(some_keys)} of {len(keys)} keys and {len(some)} of {len(certificates)} certificates shown; raise max_tokens"
    structured = head | {"keys": some_keys, "certificates": some} | facts | {"note": note}
    lines = [f"Secret {head['namespace']}/{head['name']} ({head['type']}): {counted(len(keys), 'key')}, values not shown"]
    lines += [f"{row['key']}\t{row['bytes']} B\t{row['fingerprint'] or '-'}\t{_words(row)}" for row in some_keys]
    for row in some:
        lines.append(f"certificate in {row['key']}: {row['subject']} by {row['issuer']}, until {row['not_after']}")
        lines[-1] += f" ({row['days_left']} days)" + (f"; {', '.join(row['names'])}" if row["names"] else "")
    if facts["key_matches"] is not None:
        lines.append("the private key " + ("fits the certificate" if facts["key_matches"] else "does NOT fit the certificate"))
    lines += [f"chain: {facts['chain']}"] if facts["chain"] else []
    lines += [f"! {finding}" for finding in facts["findings"]]
    return ToolAnswer("\n".join([*lines, *([note] if note else [])]), structured)


def _words(row: dict[str, Any]) -> str:
    parts = [row["content"], *(f"registry {host}" for host in row.get("registries", ()))]
    parts += [f"expires {row['expires']}"] if row.get("expires") else []
    return ", ".join(parts) + (f" ({'; '.join(row['notes'])})" if row.get("notes") else "")


# --- rows ---


def _fingerprints(tools: ToolContext, secret: SecretPayload) -> dict[str, str]:
    """Key -> fingerprint, made where all marks are made. What comes back is taken only if it is a mark and nothing else."""
    data = secret.manifest.get("data")
    copy = {"apiVersion": "v1", "kind": "Secret", "data": dict(data) if isinstance(data, dict) else {}}
    marked = tools.redactor.redact_object(copy)["data"]
    return {
        str(key): value.split(":")[1].rstrip("›")
        for key, value in marked.items()
        if isinstance(value, str) and MARK.fullmatch(value)
    }


def _key_row(tools: ToolContext, key: str, value: bytes | None, content: ValueContent, mark: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "key": _clean(tools, key),
        "bytes": None if value is None else len(value),
        "fingerprint": mark if value else "",
        "content": content.content,
    }
    row |= {"notes": [_clean(tools, note) for note in content.notes[:_SHOWN_NAMES]]} if content.notes else {}
    row |= {"registries": [_clean(tools, host) for host in content.registries[:_SHOWN_NAMES]]} if content.registries else {}
    return row | ({"expires": to_rfc3339(content.expires)} if content.expires is not None else {})


def _certificate_row(tools: ToolContext, key: str, one: CertificateFacts, now: datetime) -> dict[str, Any]:
    names = [_clean(tools, name) for name in one.names[:_SHOWN_NAMES]]
    return {
        "key": _clean(tools, key),
        "subject": _clean(tools, one.subject),
        "issuer": _clean(tools, one.issuer),
        "names": names + ([f"and {len(one.names) - _SHOWN_NAMES} more"] if len(one.names) > _SHOWN_NAMES else []),
        "not_before": _time(one.not_before),
        "not_after": _time(one.not_after),
        "days_left": _days(one, now),
        "authority": one.authority,
        "self_signed": one.self_signed,
        "algorithm": one.algorithm,
        "sha256": one.fingerprint,
    }


def _clean(tools: ToolContext, words: str) -> str:
    """Words from the cluster, on one line."""
    return " ".join(plain_text(tools.redactor.redact_text(words)).split())[:300]


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _days(one: CertificateFacts, now: datetime) -> int:
    return (one.not_after - now).days


# --- certificates ---


def _chain(contents: dict[str, ValueContent]) -> Sequence[CertificateFacts]:
    """The certificates that a server would send: those of tls.crt, else of the first key with one that is no authority."""
    if (own := contents.get("tls.crt")) is not None and own.pem.certificates:
        return own.pem.certificates
    for content in contents.values():
        if content.pem.certificates and not content.pem.certificates[0].authority:
            return content.pem.certificates
    return ()


def _key_matches(contents: dict[str, ValueContent], chain: Sequence[CertificateFacts]) -> bool | None:
    own = contents.get("tls.key")
    found = own.pem.keys if own is not None else [key for content in contents.values() for key in content.pem.keys]
    readable = [key for key in found if key.public_key is not None]
    if not chain or not readable:
        return None
    return any(key.public_key == chain[0].public_key for key in readable)


def _chain_words(contents: dict[str, ValueContent], chain: Sequence[CertificateFacts]) -> str:
    if not chain:
        return ""
    if trouble := chain_trouble(chain):
        return trouble
    words = f"{len(chain)} certificates, each signed by the next" if len(chain) > 1 else "1 certificate"
    last = chain[-1]
    if last.self_signed:
        return f"{words}; the last is self-signed"
    content = contents.get("ca.crt")
    if content is None or not content.pem.certificates:
        return f"{words}; who signed the last is not in this Secret"
    signed = issued_by_one_of(last, content.pem.certificates)
    return f"{words}; the last is {'' if signed else 'NOT '}signed by one in ca.crt"


def _findings(
    tools: ToolContext, contents: dict[str, ValueContent], chain: Sequence[CertificateFacts], pair: bool | None, now: datetime
) -> list[str]:
    found = ["the private key does not fit the certificate"] if pair is False else []
    if trouble := chain_trouble(chain):
        found.append(trouble)
    elif "NOT" in _chain_words(contents, chain):
        found.append("ca.crt did not sign the certificate")
    for key, one in certificates_of(contents):
        days, what = _days(one, now), f"{_clean(tools, one.subject)} in {_clean(tools, key)}"
        if days < 0:
            found.append(f"{what} expired {-days} days ago")
        elif days < _SOON_DAYS:
            found.append(f"{what} expires in {days} days")
        elif one.not_before > now:
            found.append(f"{what} is not valid before {_time(one.not_before)}")
    return found[:_SHOWN_NAMES]


TOOLS: tuple[ToolDeclaration, ...] = (inspect_secret,)
