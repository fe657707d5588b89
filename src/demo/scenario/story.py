"""The whole story, in the order in which its objects would have come."""

from __future__ import annotations

from demo import endpoint_objects, workload_status
from demo.api_status import Json
from demo.scenario import batch, configuration, data, nodes, payments, shop, system
from demo.scenario.world import World, ago
from demo.timestamps import parse_time


def tell(world: World) -> None:
    """Fill an empty store. The same seed and start give the same bytes."""
    system.add_namespaces(world)
    nodes.add_nodes(world)
    system.add_system(world)
    configuration.add_configuration(world)
    data.add_data(world)
    shop.add_shop(world)
    payments.add_payments(world)
    batch.add_batch(world)
    _add_endpoints(world)
    _add_budget_statuses(world)


def _add_endpoints(world: World) -> None:
    pods = world.table.by_key("pods")
    for stored in world.store.snapshot(world.table.by_key("services")):
        service = stored.obj
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        found = [pod.obj for pod in world.store.in_namespace(pods, namespace)]
        api_server = namespace == "default" and name == "kubernetes"
        age = world.start - parse_time(service["metadata"]["creationTimestamp"])
        labels = {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
        if api_server:
            content: Json = {
                "addressType": "IPv4",
                "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
                "endpoints": [{"addresses": [nodes.node_address(nodes.CONTROL_PLANE)], "conditions": {"ready": True}}],
            }
            subsets = [{"addresses": [{"ip": nodes.node_address(nodes.CONTROL_PLANE)}], "ports": content["ports"]}]
        else:
            content, subsets = endpoint_objects.slice_content(service, found), endpoint_objects.subsets(service, found)
        slice_name = name if api_server else f"{name}-{world.identifiers.suffix()}"
        world.add("discovery.k8s.io/v1", "EndpointSlice", slice_name, namespace=namespace, age=age, labels=labels,
                  owner=None if api_server else service, manager="kube-controller-manager", **content)  # fmt: skip
        extra = {"subsets": subsets} if subsets else {}
        world.add("v1", "Endpoints", name, namespace=namespace, age=age, labels=service["metadata"].get("labels"),
                  manager="kube-controller-manager", **extra)  # fmt: skip


def _add_budget_statuses(world: World) -> None:
    pods = world.table.by_key("pods")
    for stored in world.store.snapshot(world.table.by_key("poddisruptionbudgets.policy")):
        budget = stored.copy()
        wanted = budget["spec"]["selector"]["matchLabels"]
        selected = [
            pod.obj
            for pod in world.store.in_namespace(pods, budget["metadata"]["namespace"])
            if wanted.items() <= pod.obj["metadata"].get("labels", {}).items()
        ]
        budget["status"] = workload_status.budget_status(budget, selected, world.at(ago(days=2)))
        world.keep(budget)
