"""Certificates and private keys inside a value: what the certificates say, and which key belongs to them. Never the key.

Certificates are public by nature. What a parser says about something it cannot read is dropped: it may quote it.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

MOST_BLOCKS = 300
"""A bundle of all public roots has some 150."""
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----(?:[^-]|-(?!----)){1,200000}-----END \1-----")
_OTHERS = frozenset(
    {"CERTIFICATE REQUEST", "PUBLIC KEY", "RSA PUBLIC KEY", "DH PARAMETERS", "EC PARAMETERS", "X509 CRL", "PKCS7"}
)
_PACKED_PEM = re.compile(rb"LS0tLS1CRUdJTi[A-Za-z0-9+/]{40,}={0,2}(?:\r?\n[ \t]*[A-Za-z0-9+/]{8,}={0,2}(?=\r?\n|\Z))*")
"""base64 of PEM, as in a kubeconfig."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. `names`: its subject alternative names, as `DNS:web.example`. `public_key`: to compare, not to show."""

    subject: str
    issuer: str
    serial: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    authority: bool
    self_signed: bool
    algorithm: str
    fingerprint: str
    """SHA-256 of the certificate."""
    public_key: bytes
    parsed: x509.Certificate


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """`public_key` is None for one that is encrypted or cannot be read."""

    algorithm: str
    public_key: bytes | None
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class PemContent:
    """What is in a value, in its order. `unreadable` counts blocks that are damaged."""

    certificates: tuple[CertificateFacts, ...] = ()
    keys: tuple[PrivateKey, ...] = ()
    others: tuple[str, ...] = ()
    unreadable: int = 0


def pem_content(value: bytes) -> PemContent:
    """All PEM blocks of a value: as they are, with escaped line ends (JSON), or in base64."""
    certificates: list[CertificateFacts] = []
    keys: list[PrivateKey] = []
    others: list[str] = []
    unreadable = 0
    for label, block in _blocks(value):
        found: CertificateFacts | PrivateKey | None = None
        if label in ("CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"):
            found = certificate_facts(block)
        elif label.endswith("PRIVATE KEY"):
            found = _private_key(label, block)
        else:
            others.append(label.lower() if label in _OTHERS else "block")  # a label could be anything
            continue
        if isinstance(found, PrivateKey):
            keys.append(found)
        elif found is not None:
            certificates.append(found)
        unreadable += found is None
    return PemContent(tuple(certificates), tuple(keys), tuple(others), unreadable)


def certificate_facts(block: bytes) -> CertificateFacts | None:
    """Of one PEM block or of DER; None when it cannot be read."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    load = x509.load_pem_x509_certificate if block.startswith(b"-----") else x509.load_der_x509_certificate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd serial numbers are no trouble of ours
            found = load(block)
            return CertificateFacts(
                subject=found.subject.rfc4514_string() or "(empty)",
                issuer=found.issuer.rfc4514_string() or "(empty)",
                serial=f"{found.serial_number:x}",
                names=tuple(_alternative_names(found)),
                not_before=found.not_valid_before_utc,
                not_after=found.not_valid_after_utc,
                authority=_is_authority(found),
                self_signed=_issued(found, found),
                algorithm=_algorithm(found.public_key()),
                fingerprint=found.fingerprint(hashes.SHA256()).hex(),
                public_key=_public_bytes(found.public_key()),
                parsed=found,
            )
    except Exception:  # noqa: BLE001 (a damaged certificate fails in many ways, and its errors may quote it)
        return None


def chain_trouble(chain: Sequence[CertificateFacts]) -> str:
    """Of a served chain, the server's certificate first: "" when each is signed by the next."""
    for place, (one, above) in enumerate(pairwise(chain), 1):
        if not _issued(one.parsed, above.parsed):
            return f"certificate {place} is not signed by certificate {place + 1}: the order is wrong, or one is missing"
    return ""


def issued_by_one_of(certificate: CertificateFacts, authorities: Iterable[CertificateFacts]) -> bool:
    """Whether one of the authorities has signed it."""
    return any(_issued(certificate.parsed, authority.parsed) for authority in authorities)


def _blocks(value: bytes) -> list[tuple[str, bytes]]:
    texts = [value.replace(b"\\r", b"").replace(b"\\n", b"\n") if b"\\n" in value else value]
    for packed in _PACKED_PEM.findall(value)[:MOST_BLOCKS]:
        try:
            texts.append(base64.b64decode(b"".join(packed.split())))
        except (binascii.Error, ValueError):
            continue
    found = [(match[1].decode(), match[0]) for text in texts for match in _PEM.finditer(text)]
    return found[:MOST_BLOCKS]


def _private_key(label: str, block: bytes) -> PrivateKey | None:
    from cryptography.hazmat.primitives import serialization

    if label.startswith("ENCRYPTED") or b"ENCRYPTED" in block[:200]:
        return PrivateKey("encrypted", None, encrypted=True)
    load = serialization.load_ssh_private_key if label.startswith("OPENSSH") else serialization.load_pem_private_key
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            public = load(block, password=None).public_key()
            return PrivateKey(_algorithm(public), _public_bytes(public))
    except TypeError:  # how the library says that a password is needed
        return PrivateKey("encrypted", None, encrypted=True)
    except Exception:  # noqa: BLE001 (see certificate_facts)
        return None


def _alternative_names(certificate: x509.Certificate) -> Iterable[str]:
    from cryptography import x509

    words: dict[type, str] = {
        x509.DNSName: "DNS",
        x509.IPAddress: "IP",
        x509.RFC822Name: "email",
        x509.UniformResourceIdentifier: "URI",
    }
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in names:
        if (word := words.get(type(name))) is not None:
            yield f"{word}:{name.value}"


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether names and signature say that `issuer` signed it; False for a signature that cannot be checked."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm)
        return False
    return True


def _algorithm(public_key: object) -> str:
    """`RSA 2048`, `EC secp256r1`, `Ed25519`."""
    name = type(public_key).__name__.lstrip("_").removesuffix("PublicKey")
    name = {"EllipticCurve": "EC"}.get(name, name)
    curve = getattr(getattr(public_key, "curve", None), "name", None)
    size = getattr(public_key, "key_size", None)
    return f"{name} {curve or size}" if curve or size else name


def _public_bytes(public_key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    raw: bytes = public_key.public_bytes(encoding, form)  # type: ignore[attr-defined] # every public key of the library has it
    return raw
