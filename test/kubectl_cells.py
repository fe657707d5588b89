"""Which of our columns each cell of `kubectl get -o wide` must equal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from kinds.times import to_rfc3339

Cell = Callable[[Any], Any]

RELATIVE = frozenset({"Age", "Duration", "Last Schedule", "Last Seen", "First Seen"})
"""Cells like `3m12s`, which change with the clock; we keep the moment instead."""

PLACEHOLDERS = frozenset({"<none>", "<unset>", "<unknown>", ""})
"""What kubectl prints for nothing; ours is null or empty text."""


def column(name: str) -> Cell:
    return lambda record: getattr(record, name)


def listed(name: str) -> Cell:
    return lambda record: ",".join(getattr(record, name) or ())


def or_default(name: str, default: object) -> Cell:
    """Null is not set; kubectl prints what that means."""

    def cell(record: Any) -> Any:
        value = getattr(record, name)
        return default if value is None else value

    return cell


def said(name: str) -> Cell:
    """Status of a condition as text."""
    return lambda record: {True: "True", False: "False", None: None}[getattr(record, name)]


def as_json(name: str) -> Cell:
    def cell(record: Any) -> str | None:
        value = getattr(record, name)
        return None if value is None else json.dumps(value, separators=(",", ":"))

    return cell


def created_at(record: Any) -> str:
    return to_rfc3339(record.created_at)


def _gates(pod: Any) -> str | None:
    gates = pod.readiness_gates
    return f"{sum(pod.conditions.get(gate) == 'True' for gate in gates)}/{len(gates)}" if gates else None


def _kernel(node: Any) -> str | None:
    return f"{node.kernel_version or '<unknown>'} ({node.architecture})" if node.architecture else node.kernel_version


def _source(event: Any) -> str:
    return f"{event.source or ''}, {event.host}" if event.host else event.source


def _target(event: Any) -> str:
    return f"{event.object_kind.lower()}/{event.object_name}"


def _node_selector(daemonset: Any) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((daemonset.node_selector or {}).items()))


def _class_name(storageclass: Any) -> str:
    return f"{storageclass.name} (default)" if storageclass.is_default else storageclass.name


NAME = {"Name": column("name")}
TEMPLATE = {"Containers": listed("container_names"), "Images": listed("images"), "Selector": column("selector")}
CREATED = NAME | {"Created At": created_at}
BINDING = NAME | {
    "Role": column("role"),
    "Users": column("users"),
    "Groups": column("groups"),
    "ServiceAccounts": column("service_accounts"),
}

CELLS: Mapping[str, Mapping[str, Cell]] = {
    "namespaces": NAME | {"Status": column("status")},
    "nodes": NAME
    | {
        "Status": column("status"),
        "Roles": column("roles"),
        "Version": column("kubelet_version"),
        "Internal-IP": column("internal_ip"),
        "External-IP": column("external_ip"),
        "OS-Image": column("os_image"),
        "Kernel-Version": _kernel,
        "Container-Runtime": column("container_runtime"),
    },
    "pods": NAME
    | {
        "Ready": column("ready"),
        "Status": column("status"),
        "Restarts": column("restarts"),
        "IP": column("pod_ip"),
        "Node": column("node"),
        "Nominated Node": column("nominated_node"),
        "Readiness Gates": _gates,
    },
    "services": NAME
    | {
        "Type": column("type"),
        "Cluster-IP": column("cluster_ip"),
        "External-IP": column("external_ip"),
        "Port(s)": column("ports"),
        "Selector": column("selector"),
    },
    "deployments": NAME
    | {"Ready": column("ready"), "Up-to-date": column("updated_replicas"), "Available": column("available_replicas")}
    | TEMPLATE,
    "replicasets": NAME
    | {"Desired": column("replicas"), "Current": column("current_replicas"), "Ready": column("ready_replicas")}
    | TEMPLATE,
    "statefulsets": NAME | {"Ready": column("ready"), "Containers": TEMPLATE["Containers"], "Images": TEMPLATE["Images"]},
    "daemonsets": NAME
    | {
        "Desired": column("desired"),
        "Current": column("current"),
        "Ready": column("ready"),
        "Up-to-date": column("updated"),
        "Available": column("available"),
        "Node Selector": _node_selector,
    }
    | TEMPLATE,
    "jobs": NAME | {"Status": column("status"), "Completions": column("completions")} | TEMPLATE,
    "events": NAME
    | {
        "Type": column("type"),
        "Reason": column("reason"),
        "Object": _target,
        "Subobject": column("field_path"),
        "Source": _source,
        "Message": column("message"),
        "Count": column("count"),
    },
    "endpointslices": NAME | {"AddressType": column("address_type"), "Ports": column("ports"), "Endpoints": column("endpoints")},
    "ingresses": NAME
    | {
        "Class": column("ingress_class"),
        "Hosts": column("hosts"),
        "Address": column("address"),
        "Ports": column("ports"),
    },
    "networkpolicies": NAME | {"Pod-Selector": column("pod_selector")},
    "cronjobs": NAME
    | {
        "Schedule": column("schedule"),
        "Timezone": column("time_zone"),
        "Suspend": lambda cronjob: str(cronjob.suspended),
        "Active": column("active"),
    }
    | TEMPLATE,
    "configmaps": NAME | {"Data": column("data_count")},
    "secrets": NAME | {"Type": column("type"), "Data": column("key_count")},
    "persistentvolumeclaims": NAME
    | {
        "Status": column("status"),
        "Volume": column("volume"),
        "Capacity": column("capacity"),
        "Access Modes": column("access_modes"),
        "StorageClass": column("storage_class"),
        "VolumeAttributesClass": column("volume_attributes_class"),
        "VolumeMode": column("volume_mode"),
    },
    "persistentvolumes": NAME
    | {
        "Capacity": column("capacity"),
        "Access Modes": column("access_modes"),
        "Reclaim Policy": column("reclaim_policy"),
        "Status": column("status"),
        "Claim": column("claim"),
        "StorageClass": column("storage_class"),
        "VolumeAttributesClass": column("volume_attributes_class"),
        "Reason": column("reason"),
        "VolumeMode": column("volume_mode"),
    },
    "storageclasses": {
        "Name": _class_name,
        "Provisioner": column("provisioner"),
        "ReclaimPolicy": column("reclaim_policy"),
        "VolumeBindingMode": column("volume_binding_mode"),
        "AllowVolumeExpansion": or_default("allow_volume_expansion", False),
    },
    "horizontalpodautoscalers": NAME
    | {
        "Reference": column("reference"),
        "Targets": column("targets"),
        "MinPods": lambda autoscaler: str(autoscaler.min_replicas),
        "MaxPods": column("max_replicas"),
        "Replicas": column("current_replicas"),
    },
    "poddisruptionbudgets": NAME
    | {
        "Min Available": or_default("min_available", "N/A"),
        "Max Unavailable": or_default("max_unavailable", "N/A"),
        "Allowed Disruptions": column("disruptions_allowed"),
    },
    "serviceaccounts": NAME,
    "roles": CREATED,
    "rolebindings": BINDING,
    "clusterroles": CREATED,
    "clusterrolebindings": BINDING,
    "resourcequotas": NAME | {"Request": column("requests"), "Limit": column("limits")},
    "limitranges": CREATED,
    "gatewayclasses": NAME
    | {"Controller": column("controller"), "Accepted": said("accepted"), "Description": column("description")},
    "gateways": NAME | {"Class": column("gateway_class"), "Address": column("address"), "Programmed": said("programmed")},
    "httproutes": NAME | {"Hostnames": as_json("hostnames")},
    "grpcroutes": NAME | {"Hostnames": as_json("hostnames")},
    "referencegrants": NAME,
    "customresourcedefinitions": CREATED,
    "validatingwebhookconfigurations": NAME | {"Webhooks": column("webhook_count")},
    "mutatingwebhookconfigurations": NAME | {"Webhooks": column("webhook_count")},
}
