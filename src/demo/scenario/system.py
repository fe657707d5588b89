"""Namespaces and what a cluster runs for itself: control plane, DNS, network, ingress, certificates."""

from __future__ import annotations

from demo.api_status import Json
from demo.identifiers import digest
from demo.scenario.nodes import CONTROL_PLANE, NODE_AGE, WORKERS
from demo.scenario.workloads import app_labels, container, daemonset, deployment, pod, running, service, template
from demo.scenario.world import World, ago

NAMESPACES = {
    "default": 41, "kube-system": 41, "kube-public": 41, "kube-node-lease": 41, "ingress-nginx": 40, "cert-manager": 40,
    "monitoring": 38, "data": 36, "shop": 35, "payments": 35, "ci": 30, "logistics": 12,
}  # fmt: skip
K8S_VERSION = "v1.36.3"


def add_namespaces(world: World) -> None:
    """Each with its default ServiceAccount and the cluster's root certificate."""
    for name, days in NAMESPACES.items():
        labels = {"pod-security.kubernetes.io/enforce": "baseline"} if name in ("shop", "payments") else None
        age = ago(days=days)
        world.add("v1", "Namespace", name, age=age, labels=labels)
        world.add("v1", "ServiceAccount", "default", namespace=name, age=age, manager="kube-controller-manager")
        certificate = "-----BEGIN CERTIFICATE-----\n(the simulated cluster's authority)\n-----END CERTIFICATE-----\n"
        about = {"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver."}
        world.add("v1", "ConfigMap", "kube-root-ca.crt", namespace=name, age=age, annotations=about,
                  data={"ca.crt": certificate}, manager="kube-controller-manager")  # fmt: skip


def _static_pods(world: World) -> None:
    """The control plane's own pods: mirrors of manifests on the node, owned by the Node."""
    node = world.find("nodes", "", CONTROL_PLANE)
    images = {
        "etcd": ("registry.k8s.io/etcd:3.6.8-0", "100m", "100Mi"),
        "kube-apiserver": (f"registry.k8s.io/kube-apiserver:{K8S_VERSION}", "250m", ""),
        "kube-controller-manager": (f"registry.k8s.io/kube-controller-manager:{K8S_VERSION}", "200m", ""),
        "kube-scheduler": (f"registry.k8s.io/kube-scheduler:{K8S_VERSION}", "100m", ""),
    }
    for name, (image, cpu, memory) in images.items():
        one = container(name, image, requests=(cpu, memory), command=[name])
        mark = digest(f"manifest {world.identifiers.seed} {name}")[:32]
        annotations = {
            "kubernetes.io/config.hash": mark,
            "kubernetes.io/config.mirror": mark,
            "kubernetes.io/config.source": "file",
        }
        source = template({"component": name, "tier": "control-plane"}, [one], annotations, hostNetwork=True,
                          priorityClassName="system-node-critical", priority=2000001000, nodeName=CONTROL_PLANE,
                          automountServiceAccountToken=False)  # fmt: skip
        owner = {**node, "spec": {"template": source}}
        made = pod(world, owner, f"{name}-{CONTROL_PLANE}", NODE_AGE, running, namespace="kube-system")
        del made["metadata"]["ownerReferences"][0]["blockOwnerDeletion"]
        world.keep(made, "kubelet")


def _dns(world: World) -> None:
    labels = {"k8s-app": "kube-dns", "app.kubernetes.io/name": "coredns"}
    one = container("coredns", "registry.k8s.io/coredns/coredns:v1.12.1", requests=("100m", "70Mi"), limits=("", "170Mi"),
                    args=["-conf", "/etc/coredns/Corefile"])  # fmt: skip
    one["ports"] = [{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "dns-tcp", "containerPort": 53},
                    {"name": "metrics", "containerPort": 9153}]  # fmt: skip
    tolerations = [{"key": "CriticalAddonsOnly", "operator": "Exists"},
                   {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]  # fmt: skip
    source = template(
        labels,
        [one],
        priorityClassName="system-cluster-critical",
        priority=2000000000,
        serviceAccountName="coredns",
        nodeSelector={"kubernetes.io/os": "linux"},
        tolerations=tolerations,
    )
    deployment(world, "kube-system", "coredns", source, age=NODE_AGE, pods=[(NODE_AGE, running)] * 2)
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"},
        {"name": "dns-tcp", "port": 53, "targetPort": "dns-tcp"},
        {"name": "metrics", "port": 9153, "targetPort": "metrics"},
    ]
    service(world, "kube-system", "kube-dns", {"k8s-app": "kube-dns"}, ports, age=NODE_AGE, clusterIP="10.96.0.10")
    plugins = ("errors", "health", "ready", "kubernetes cluster.local", "forward . /etc/resolv.conf", "cache 30")
    corefile = ".:53 {\n" + "".join(f"    {plugin}\n" for plugin in plugins) + "}\n"
    world.add("v1", "ConfigMap", "coredns", namespace="kube-system", age=NODE_AGE, data={"Corefile": corefile})


def _node_agents(world: World) -> None:
    every = [{"operator": "Exists"}]
    nodes = (CONTROL_PLANE, *WORKERS)
    critical: Json = {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "priority": 2000001000,
        "tolerations": every,
    }
    proxy = container("kube-proxy", f"registry.k8s.io/kube-proxy:{K8S_VERSION}", command=["/usr/local/bin/kube-proxy"],
                      securityContext={"privileged": True})  # fmt: skip
    daemonset(
        world, "kube-system", "kube-proxy", template({"k8s-app": "kube-proxy"}, [proxy], **critical), age=NODE_AGE, nodes=nodes
    )
    agent = container("cilium-agent", "quay.io/cilium/cilium:v1.18.2", requests=("100m", "512Mi"),
                      securityContext={"capabilities": {"add": ["NET_ADMIN", "SYS_ADMIN"], "drop": ["ALL"]}})  # fmt: skip
    clean = container("clean-cilium-state", "quay.io/cilium/cilium:v1.18.2", command=["/init-container.sh"])
    source = template({"k8s-app": "cilium", **app_labels("cilium-agent", "cilium")}, [agent], initContainers=[clean], **critical)
    daemonset(world, "kube-system", "cilium", source, age=NODE_AGE, nodes=nodes)


def _ingress(world: World) -> None:
    one = container("controller", "registry.k8s.io/ingress-nginx/controller:v1.13.2", requests=("100m", "90Mi"),
                    args=["/nginx-ingress-controller", "--ingress-class=nginx"])  # fmt: skip
    one["ports"] = [{"name": "http", "containerPort": 80}, {"name": "https", "containerPort": 443}]
    age = ago(days=40)
    labels = {
        **app_labels("ingress-nginx"),
        "app.kubernetes.io/instance": "ingress-nginx",
        "app.kubernetes.io/managed-by": "Helm",
    }
    deployment(world, "ingress-nginx", "ingress-nginx-controller", template(labels, [one]), age=age, pods=[(age, running)] * 2)
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "nodePort": 31080},
        {"name": "https", "port": 443, "targetPort": "https", "nodePort": 31443},
    ]
    made = service(
        world, "ingress-nginx", "ingress-nginx-controller", app_labels("ingress-nginx"), ports, age=age, type="LoadBalancer"
    )
    world.keep({**made, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.20"}]}}})
    world.add("networking.k8s.io/v1", "IngressClass", "nginx", age=age, spec={"controller": "k8s.io/ingress-nginx"})


def _certificates(world: World) -> None:
    age = ago(days=40)
    for name, image in (
        ("cert-manager", "controller"),
        ("cert-manager-cainjector", "cainjector"),
        ("cert-manager-webhook", "webhook"),
    ):
        one = container(name, f"quay.io/jetstack/cert-manager-{image}:v1.18.2", requests=("10m", "32Mi"))
        deployment(world, "cert-manager", name, template(app_labels(name, "cert-manager"), [one]), age=age, pods=[(age, running)])
    ports = [{"name": "https", "port": 443, "targetPort": 10250}]
    service(world, "cert-manager", "cert-manager-webhook", app_labels("cert-manager-webhook"), ports, age=age)


def add_system(world: World) -> None:
    """Everything of kube-system, ingress-nginx and cert-manager, and the API's own Service."""
    classes: tuple[tuple[str, int], ...] = (("system-cluster-critical", 2000000000), ("system-node-critical", 2000001000))
    for name, value in classes:
        world.add(
            "scheduling.k8s.io/v1", "PriorityClass", name, age=NODE_AGE, value=value, preemptionPolicy="PreemptLowerPriority"
        )
    for name in ("coredns", "kube-proxy", "cilium"):
        world.add("v1", "ServiceAccount", name, namespace="kube-system", age=NODE_AGE)
    _static_pods(world)
    _dns(world)
    _node_agents(world)
    _ingress(world)
    _certificates(world)
    port: Json = {"name": "https", "port": 443, "targetPort": 6443}
    service(world, "default", "kubernetes", {}, [port], age=NODE_AGE, clusterIP="10.96.0.1",
            labels={"component": "apiserver", "provider": "kubernetes"})  # fmt: skip
