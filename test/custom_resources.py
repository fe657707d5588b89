"""CustomResourceDefinitions of the tests' own, with objects of any shape."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from controlplane.api_client import ApiClient, ApiError, Object
from controlplane.polling import wait_until


def definition(
    plural: str,
    group: str,
    kind: str,
    *,
    versions: tuple[str, ...] = ("v1",),
    scope: str = "Namespaced",
    columns: dict[str, str] | None = None,
    **names: Any,
) -> Object:
    """Takes objects of any shape. The first version is the stored one. `columns`: title -> JSON path, as kubectl prints it."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": scope,
        "names": {"plural": plural, "singular": kind.lower(), "kind": kind} | names,
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": version == versions[0],
                "schema": schema,
                "additionalPrinterColumns": [
                    {"name": title, "type": "string", "jsonPath": path} for title, path in (columns or {}).items()
                ],
            }
            for version in versions
        ],
    }
    metadata: Object = {"name": f"{plural}.{group}"}
    if group.endswith(".k8s.io"):  # such groups are protected: their definitions must say where they were agreed on
        metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test's own"}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec}


@contextlib.contextmanager
def installed(api: ApiClient, *definitions: Object) -> Iterator[None]:
    """Installs them, waits until they are served, and removes them with all their objects."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    try:
        for one in definitions:
            api.post(path, one)
        for one in definitions:
            spec = one["spec"]
            for version in spec["versions"]:
                root = f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
                wait_until(lambda root=root: served(api, root), f"{root} to be served")
        yield
    finally:
        for one in definitions:
            with contextlib.suppress(ApiError):
                api.delete(f"{path}/{one['metadata']['name']}")
        for one in definitions:
            name = one["metadata"]["name"]
            wait_until(lambda name=name: not served(api, f"{path}/{name}"), f"the end of {name}")


def served(api: ApiClient, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as error:
        if error.status in (404, 429):  # 429: "storage is (re)initializing"
            return False
        raise
    return True


GATEWAY_GROUP = "gateway.networking.k8s.io"


def gateway_definitions() -> tuple[Object, ...]:
    """Definitions with the names, versions and printed columns of the Gateway API, for objects of any shape."""

    def condition(type_: str) -> str:
        return f'.status.conditions[?(@.type=="{type_}")].status'

    age = {"Age": ".metadata.creationTimestamp"}
    hostnames = {"Hostnames": ".spec.hostnames"} | age
    classes = (
        {"Controller": ".spec.controllerName", "Accepted": condition("Accepted")} | age | {"Description": ".spec.description"}
    )
    gateways = {"Class": ".spec.gatewayClassName", "Address": ".status.addresses[*].value", "Programmed": condition("Programmed")}
    return (
        definition("gatewayclasses", GATEWAY_GROUP, "GatewayClass", scope="Cluster", columns=classes | age, shortNames=["gc"]),
        definition("gateways", GATEWAY_GROUP, "Gateway", columns=gateways | age, shortNames=["gtw"]),
        definition("httproutes", GATEWAY_GROUP, "HTTPRoute", columns=hostnames),
        definition("grpcroutes", GATEWAY_GROUP, "GRPCRoute", columns=hostnames),
        definition(
            "referencegrants", GATEWAY_GROUP, "ReferenceGrant", columns=age, versions=("v1beta1",), shortNames=["refgrant"]
        ),
    )
