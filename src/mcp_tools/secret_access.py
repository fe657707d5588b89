"""The one way to the payload of a Secret: a request that says why, and that names exactly one Secret.

ClusterApi refuses every other request for them (k8s_api.py). Who may say why is a short list that a test holds: the tool
that inspects a Secret without showing its values, and the reading of Helm's releases and their drift.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

_ONE_SECRET = re.compile(r"/api/v1/namespaces/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?/secrets/[A-Za-z0-9][A-Za-z0-9._-]{0,252}\Z")


class SecretAccess(Enum):
    """Why the payload of one Secret is fetched."""

    INSPECT = "inspect"
    """Sizes, fingerprints and certificates are answered; values are not."""
    DRIFT = "drift"
    """Compared with what Helm wrote; both sides are redacted first."""
    RELEASE = "release"
    """Helm's own record of a release, by the name that Helm gives it."""

    def covers(self, path: str, query: Sequence[object], accept: str) -> bool:
        """One Secret by its name, as JSON: no list, no watch, no subresource, nothing in the query."""
        if _ONE_SECRET.match(path) is None or query or accept != "application/json":
            return False
        return self is not SecretAccess.RELEASE or "/secrets/sh.helm.release.v1." in path
