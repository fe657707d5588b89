"""Names as they may appear in an API path. Paths are built from names that passed here, and from nothing else.

Rules: k8s.io/apimachinery pkg/util/validation (RFC 1123 labels and subdomains) and pkg/api/validation/path (path segments).
"""

from __future__ import annotations

import re

from configuration.errors import InvalidArguments

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9._:@+~-]{1,253}\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")


def namespace_name(text: str) -> str:
    """A namespace (RFC 1123 label). Raises InvalidArguments."""
    return _checked(text, _LABEL, "namespace", "at most 63 lower-case letters, digits and '-', e.g. kube-system")


def object_name(text: str) -> str:
    """The name of an object that exists (path segment: RBAC names hold ':'). Raises InvalidArguments."""
    if text in (".", "..") or text.startswith("-"):
        raise InvalidArguments(f"name {_shown(text)} is not a Kubernetes name; expected e.g. web-5d9c7b-x2x4z")
    return _checked(text, _SEGMENT, "name", "letters, digits, '-', '.', '_' and ':', no '/' and no '%'")


def new_object_name(text: str) -> str:
    """The name of an object to be created (RFC 1123 subdomain). Raises InvalidArguments."""
    return _checked(text, _SUBDOMAIN, "name", "lower-case letters, digits, '-' and '.', e.g. web-frontend")


def container_name(text: str) -> str:
    """A container's name (RFC 1123 label). Raises InvalidArguments."""
    return _checked(text, _LABEL, "container", "at most 63 lower-case letters, digits and '-'")


def api_group(text: str) -> str:
    """An API group as it stands in a path: `apps`, `gateway.networking.k8s.io`. Raises InvalidArguments."""
    return _checked(text, _SUBDOMAIN, "API group", "lower-case letters, digits, '-' and '.', e.g. apps")


def api_label(text: str) -> str:
    """A version or a plural resource name. Raises InvalidArguments."""
    return _checked(text, _LABEL, "API version or resource", "lower-case letters, digits and '-', e.g. v1")


def _checked(text: str, rule: re.Pattern[str], what: str, expected: str) -> str:
    if rule.match(text) is None:
        raise InvalidArguments(f"{what} {_shown(text)} is not a Kubernetes name; expected {expected}")
    return text


def _shown(text: str) -> str:
    return ascii(text[:60])
