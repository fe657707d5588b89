"""Users with few rights, and users with none: ServiceAccounts with a kubeconfig each."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controlplane.api_client import ApiClient, Object
from controlplane.certificates import sign_token, write_private
from controlplane.components import ISSUER, kubeconfig_text
from controlplane.polling import wait_until

# What the API server adds to a token's life, for clocks that differ.
LEEWAY_SECONDS = 60
READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class User:
    """``name`` is the one in the audit log: system:serviceaccount:NAMESPACE:NAME."""

    name: str
    kubeconfig: Path
    token: str


def rule(*resources: str, verbs: tuple[str, ...] = READ, groups: tuple[str, ...] = ("", "apps", "batch")) -> Object:
    """A rule of a role: ``rule("pods", "pods/log", verbs=("get",))``."""
    return {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}


class Users:
    """Creates users of one cluster; their kubeconfig files lie in the cluster's folder (0600)."""

    def __init__(self, api: ApiClient, folder: Path, server: str) -> None:
        self._api = api
        self._folder = folder
        self._server = server

    def create(
        self,
        namespace: str,
        name: str,
        *,
        rules: Sequence[Object] = (),
        cluster_rules: Sequence[Object] = (),
    ) -> User:
        """A ServiceAccount that may do ``rules`` in its namespace and ``cluster_rules`` everywhere; by default nothing."""
        self._api.create_or_replace(
            f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name, "namespace": namespace}}
        )
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        if rules:
            self._bind(f"{rbac}/namespaces/{namespace}", "Role", namespace, name, name, rules)
        if cluster_rules:
            self._bind(rbac, "ClusterRole", namespace, name, f"{namespace}-{name}", cluster_rules)
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        answer = self._api.post(f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 3600}})
        user = self._write(namespace, name, answer["status"]["token"])
        self._wait_until_effective(user, namespace, rules, cluster_rules)
        return user

    def with_expired_token(self, namespace: str = "default", *, expires_in_seconds: int = -3600) -> User:
        """The default ServiceAccount with a token that was valid and ran out an hour ago: HTTP 401.

        With a positive number it still works, and is refused from then on, at most 10 s late
        because the API server remembers good tokens that long. (It issues none under 10 minutes itself.)
        """
        account = self._api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")["metadata"]
        expires = int(time.time()) + expires_in_seconds - LEEWAY_SECONDS
        claims = {
            "iss": ISSUER,
            "aud": [ISSUER],
            "iat": expires - 7200,
            "nbf": expires - 7200,
            "exp": expires,
            "sub": f"system:serviceaccount:{namespace}:default",
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": "default", "uid": account["uid"]}},
        }
        token = sign_token(self._folder / "service-account.key", claims)
        return self._write(namespace, "default", token, f"expires.{expires}")

    def with_bad_token(self, namespace: str = "default") -> User:
        """A user whose token nobody issued: HTTP 401."""
        return self._write(namespace, "nobody", "not-a-token-of-this-cluster")

    def _bind(self, base: str, kind: str, namespace: str, account: str, name: str, rules: Sequence[Object]) -> None:
        collection = f"{base}/{kind.lower()}s"
        metadata: Object = {"name": name}
        self._api.create_or_replace(collection, {"metadata": metadata, "rules": list(rules)})
        binding = {
            "metadata": metadata,
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        }
        self._api.create_or_replace(f"{base}/{kind.lower()}bindings", binding)

    def _write(self, namespace: str, name: str, token: str, file_name: str = "") -> User:
        full_name = f"system:serviceaccount:{namespace}:{name}"
        path = self._folder / "users" / f"{re.sub('[^a-z0-9.-]', '-', f'{namespace}.{file_name or name}')}.kubeconfig"
        path.parent.mkdir(exist_ok=True)
        ca = (self._folder / "ca.crt").read_bytes()
        write_private(path, kubeconfig_text(self._folder.name, self._server, ca, name, token, namespace))
        return User(full_name, path, token)

    def _wait_until_effective(self, user: User, namespace: str, rules: Sequence[Object], everywhere: Sequence[Object]) -> None:
        """The authorizer sees a new binding a moment later."""
        client = ApiClient(self._server, self._folder / "ca.crt", user.token)
        for wanted, where in ((rules, namespace), (everywhere, "")):
            if wanted:
                review = {"spec": {"resourceAttributes": _attributes(wanted[0], where)}}
                wait_until(functools.partial(_is_allowed, client, review), f"the role of {user.name} to take effect")


def _attributes(one: Object, namespace: str) -> Object:
    resource, _, subresource = one["resources"][0].partition("/")
    return {
        "namespace": namespace,
        "verb": one["verbs"][0],
        "group": one["apiGroups"][0],
        "resource": resource,
        "subresource": subresource,
    }


def _is_allowed(client: ApiClient, review: Object) -> bool:
    return bool(client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)["status"]["allowed"])
