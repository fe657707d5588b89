"""What KWOK does with nodes and pods: its configuration file, and the annotations that choose a pod's fate.

A pod without STATE runs (and a Job's pod completes). With it, the pod goes where the annotation says
and stays there; the values of FAILING_STATES are what kubectl then prints as STATUS:

``testcluster/state: CrashLoopBackOff``  the state, on every container or only on
``testcluster/container: app``           this one; the others run
``testcluster/restarts: "7"``            restartCount
``testcluster/reason: OOMKilled``        reason and
``testcluster/exit-code: "137"``         exit code of the termination that is shown
``testcluster/restart-every: 500ms``     CrashLoopBackOff only: one more restart each time this passes
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controlplane.binaries import Binaries

STATE = "testcluster/state"
CONTAINER = "testcluster/container"
RESTARTS = "testcluster/restarts"
REASON = "testcluster/reason"
EXIT_CODE = "testcluster/exit-code"
RESTART_EVERY = "testcluster/restart-every"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _State:
    phase: str
    container: str
    """The affected container's ``state`` and ``lastState``, as a template."""
    restarts: int = 0
    started: bool = False
    init: bool = False
    """The first init container is affected; the others wait for it."""
    address: bool = True
    pod_reason: str = ""
    pod_message: str = ""
    event: tuple[str, str, str] | None = None


_TERMINATED = """terminated:
      exitCode: {{ $exitCode }}
      reason: {{ $reason | Quote }}
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
      containerID: containerd://{{ sha256sum (printf "%s/%s/last" $uid .name) }}"""


def _waiting(reason: str, message: str) -> str:
    return f"state:\n    waiting:\n      reason: {reason}\n      message: {message}"


_BACK_OFF = f"{_waiting('CrashLoopBackOff', 'back-off 5m0s restarting failed container')}\n  lastState:\n    {_TERMINATED}"
_RESTARTING = ("Warning", "BackOff", "Back-off restarting failed container")
_PULL_BACK_OFF = _waiting("ImagePullBackOff", """'Back-off pulling image "{{ .image }}"'""")

FAILING_STATES: dict[str, _State] = {
    "Running": _State("Running", "state:\n    running:\n      startedAt: {{ $now | Quote }}", started=True),
    "NotReady": _State("Running", "state:\n    running:\n      startedAt: {{ $now | Quote }}", started=True),
    "CrashLoopBackOff": _State("Running", _BACK_OFF, restarts=5, event=_RESTARTING),
    "OOMKilled": _State("Running", f"state:\n    {_TERMINATED}", restarts=2),
    "ImagePullBackOff": _State("Pending", _PULL_BACK_OFF, event=("Warning", "Failed", "Error: ImagePullBackOff")),
    "ErrImagePull": _State(
        "Pending",
        _waiting("ErrImagePull", """'failed to pull image "{{ .image }}": not found'"""),
        event=("Warning", "Failed", "Error: ErrImagePull"),
    ),
    "ContainerCreating": _State("Pending", "state:\n    waiting:\n      reason: ContainerCreating", address=False),
    "CreateContainerConfigError": _State(
        "Pending",
        _waiting("CreateContainerConfigError", "'secret \"settings\" not found'"),
        event=("Warning", "Failed", 'Error: secret "settings" not found'),
    ),
    "Init:CrashLoopBackOff": _State("Pending", _BACK_OFF, restarts=4, init=True, event=_RESTARTING),
    "Error": _State("Failed", f"state:\n    {_TERMINATED}"),
    # No container status: kubectl would print its reason, Error, in place of the pod's.
    "Evicted": _State(
        "Failed",
        "",
        pod_reason="Evicted",
        pod_message="The node was low on resource: memory.",
        event=("Warning", "Evicted", "The node was low on resource: memory."),
    ),
    "Completed": _State("Succeeded", f"state:\n    {_TERMINATED}"),
}

_DEFAULTS = {"OOMKilled": ("OOMKilled", 137), "Completed": ("Completed", 0)}
_NOT_STARTED = "state:\n    waiting:\n      reason: PodInitializing"
_RUNNING = FAILING_STATES["Running"].container


def write_stages(target: Path, binaries: Binaries) -> None:
    """Writes KWOK's configuration: its stock stages for nodes, ours for pods."""
    documents: list[Object] = [
        yaml.safe_load(binaries.kwok_file("node-initialize")),
        yaml.safe_load(binaries.kwok_file("node-heartbeat-with-lease")),
        yaml.safe_load(binaries.kwok_file("pod-delete")),
    ]
    complete = yaml.safe_load(binaries.kwok_file("pod-complete"))
    complete["spec"]["selector"]["matchExpressions"].append(_annotation(STATE, "DoesNotExist"))
    documents.append(complete)
    documents.append(_pod_stage("pod-running", "Running", _annotation(STATE, "DoesNotExist")))
    for name in FAILING_STATES:
        documents.append(_pod_stage(f"pod-{name.lower().replace(':', '-')}", name, _annotation(STATE, "In", [name])))
    documents.append(_restart_stage())
    target.write_text(yaml.safe_dump_all(documents, sort_keys=False))


def _annotation(key: str, operator: str, values: list[str] | None = None) -> Object:
    return _match(f'.metadata.annotations["{key}"]', operator, values)


def _match(key: str, operator: str, values: list[str] | None = None) -> Object:
    return {"key": key, "operator": operator} | ({"values": values} if values else {})


def _stage(name: str, matches: list[Object], template: str, event: tuple[str, str, str] | None) -> Object:
    following: Object = {"patches": [{"subresource": "status", "root": "status", "type": "strategic", "template": template}]}
    if event:
        following["event"] = dict(zip(("type", "reason", "message"), event, strict=True))
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": [_match(".metadata.deletionTimestamp", "DoesNotExist"), *matches]},
            "next": following,
        },
    }


def _pod_stage(name: str, state_name: str, chosen: Object) -> Object:
    """Takes a pod that no stage has touched yet (a kubelet sets startTime first) to its state."""
    state = FAILING_STATES[state_name]
    untouched = _match(".status.startTime", "DoesNotExist")
    return _stage(name, [untouched, chosen], _template(state_name, state), state.event)


def _template(state_name: str, state: _State) -> str:
    healthy = state_name == "Running"
    reason, exit_code = _DEFAULTS.get(state_name, ("Error", 1))
    lines = [
        _variables(state.restarts, reason, exit_code),
        f"phase: {state.phase}",
        "startTime: {{ $now | Quote }}",
    ]
    if state.pod_reason:
        lines += [f"reason: {state.pod_reason}", f"message: {state.pod_message!r}"]
    lines += ["conditions:", _condition("Initialized", not state.init, "ContainersNotInitialized")]
    not_ready = "PodCompleted" if state.phase == "Succeeded" else "ContainersNotReady"
    lines += [_condition(name, healthy, not_ready) for name in ("Ready", "ContainersReady")]
    if state.container:
        lines += [_init_statuses(state), _container_statuses(state, healthy)]
    return "\n".join([*lines, _ADDRESSES if state.address else "", ""])


def _variables(restarts: int, reason: str, exit_code: int) -> str:
    def annotation(key: str, default: object) -> str:
        return f'or (index $annotations "{key}") "{default}"'

    return "\n".join(
        [
            "{{ $now := Now }}",
            "{{ $uid := .metadata.uid }}",
            "{{ $annotations := or .metadata.annotations dict }}",
            f"{{{{ $only := {annotation(CONTAINER, '')} }}}}",
            f"{{{{ $restarts := {annotation(RESTARTS, restarts)} }}}}",
            f"{{{{ $reason := {annotation(REASON, reason)} }}}}",
            f"{{{{ $exitCode := {annotation(EXIT_CODE, exit_code)} }}}}",
        ]
    )


def _condition(kind: str, true: bool, reason: str) -> str:
    condition = f'- type: {kind}\n  lastTransitionTime: {{{{ $now | Quote }}}}\n  status: "{true}"'
    return condition if true else f"{condition}\n  reason: {reason}"


def _container(body: str, *, ready: bool, started: bool, restarts: str = "0") -> str:
    created = "waiting:" not in body or "lastState:" in body
    image_id = "{{ .image }}@sha256:{{ sha256sum .image }}" if created else ""
    container_id = 'containerd://{{ sha256sum (printf "%s/%s" $uid .name) }}' if created else ""
    return "\n".join(
        [
            "- name: {{ .name | Quote }}",
            "  image: {{ .image | Quote }}",
            f'  imageID: "{image_id}"',
            f"  containerID: '{container_id}'" if container_id else "",
            f"  ready: {str(ready).lower()}",
            f"  started: {str(started).lower()}",
            f"  restartCount: {restarts}",
            f"  {body}",
        ]
    )


def _container_statuses(state: _State, healthy: bool) -> str:
    if state.init:
        affected = other = _container(_NOT_STARTED, ready=False, started=False)
    else:
        affected = _container(state.container, ready=healthy, started=state.started, restarts="{{ $restarts }}")
        other = _container(_RUNNING, ready=True, started=True)
    return (
        "containerStatuses:\n{{ range .spec.containers }}\n{{ if or (not $only) (eq .name $only) }}\n"
        f"{affected}\n{{{{ else }}}}\n{other}\n{{{{ end }}}}\n{{{{ end }}}}"
    )


def _init_statuses(state: _State) -> str:
    if state.init:
        first = _container(state.container, ready=False, started=False, restarts="{{ $restarts }}")
        later = _container(_NOT_STARTED, ready=False, started=False)
        each = f"{{{{ if eq $index 0 }}}}\n{first}\n{{{{ else }}}}\n{later}\n{{{{ end }}}}"
    else:
        completed = _TERMINATED.replace("$exitCode", "0").replace("$reason", '"Completed"')
        done = _container(f"state:\n    {completed}", ready=True, started=False)
        sidecar = _container(_RUNNING, ready=True, started=True)
        each = f'{{{{ if eq (or .restartPolicy "") "Always" }}}}\n{sidecar}\n{{{{ else }}}}\n{done}\n{{{{ end }}}}'
    return (
        "{{ if .spec.initContainers }}\ninitContainerStatuses:\n"
        f"{{{{ range $index, $item := .spec.initContainers }}}}\n{each}\n{{{{ end }}}}\n{{{{ end }}}}"
    )


_ADDRESSES = """{{ with NodeIPsWith .spec.nodeName }}
hostIP: {{ index . 0 | Quote }}
hostIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}
{{ with PodIPsWith .spec.nodeName (or .spec.hostNetwork false) .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}"""


def _restart_stage() -> Object:
    """Adds a restart to the containers in back-off, again and again."""
    template = """{{ $root := . }}
{{ $now := Now }}
containerStatuses:
{{ range .status.containerStatuses }}
{{ if .state.waiting }}
{{ $_ := set . "restartCount" (add (int .restartCount) 1) }}
{{ $_ := set .lastState.terminated "finishedAt" $now }}
{{ end }}
- {{ YAML . 1 }}
{{ end }}
"""
    stage = _stage(
        "pod-restart-again",
        [
            _annotation(RESTART_EVERY, "Exists"),
            _match(".status.containerStatuses.[].state.waiting.reason", "In", ["CrashLoopBackOff"]),
        ],
        template,
        None,
    )
    stage["spec"]["delay"] = {
        "durationMilliseconds": 1000,
        "durationFrom": {"expressionFrom": f'.metadata.annotations["{RESTART_EVERY}"]'},
    }
    return stage
