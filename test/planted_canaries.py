"""A namespace full of secrets, in every form and place in which people leave them, and the search for them in any output."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controlplane.control_plane import ControlPlane
from controlplane.polling import wait_until
from custom_resources import definition, installed
from helm_records import release, store
from secret_canaries import OBJECT_FORMS, TEXT_FORMS, forms_of

GROUP = "canaries.example.com"
STRUCTURED = {
    "env value": "cnry-env-value",
    "env number": "7301942",
    "flag and value in args": "cnry-arg-value",
    "flag= in args": "cnry-arg-flag",
    "http header of a probe": "cnry-probe-header",
    "annotation": "cnry-annotation",
    "last applied": "cnry-env-value",
    "event message": "cnry-event-message",
    "log": "cnry-log-line",
    "condition message": "cnry-condition-message",
    "secret data": "cnry-secret-data",
    "binary data": "cnry-binary-data",
}
PAYLOAD = "cnry-secret-payload"
"""Of a Secret that nobody applied: its value is in its data, and nowhere else."""
SCRIPT = "\n".join(canary.text for canary in TEXT_FORMS)


WRITTEN = "\n".join(canary.text for canary in TEXT_FORMS if "‹" not in canary.text)
"""What may be said to a tool that writes: no redaction mark is in it."""


class NoRedactor:
    """What the product must not be without."""

    version = "none"
    key_id = "none"

    def redact_object(self, obj: dict[str, Any]) -> dict[str, Any]:
        return obj

    def redact_text(self, text: str) -> str:
        return text

    def redact_echo(self, text: str) -> str:
        return text

    def marks_of(self, _value: str) -> frozenset[str]:
        return frozenset()


def pod_template() -> dict[str, Any]:
    header = {"name": "Authorization", "value": f"Bearer {STRUCTURED['http header of a probe']}"}
    container = {
        "name": "app",
        "image": "example/app:1",
        "command": ["sh", "-c", SCRIPT],
        "args": ["--api-token", STRUCTURED["flag and value in args"], f"--password={STRUCTURED['flag= in args']}"],
        "env": [
            {"name": "GREETING", "value": STRUCTURED["env value"]},
            {"name": "PIN_PASSWORD", "value": STRUCTURED["env number"]},
        ],
        "livenessProbe": {"httpGet": {"path": "/", "port": 80, "httpHeaders": [header]}},
    }
    annotations = {"example.com/db-password": STRUCTURED["annotation"], "example.com/script": SCRIPT}
    return {"metadata": {"labels": {"app": "canary"}, "annotations": annotations}, "spec": {"containers": [container]}}


def manifest(api_version: str, kind: str, name: str, metadata: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | (metadata or {}), **fields}


@contextlib.contextmanager
def planted_namespace(control_plane: ControlPlane, name: str) -> Iterator[str]:
    """Everything applied by kubectl, which adds its own copy of it, in a new namespace; and a custom resource's definition."""
    with installed(control_plane.api, definition("vessels", GROUP, "Vessel", columns={"Note": ".spec.note"})):
        created = control_plane.create_namespace(name)
        node = {"metadata": {"annotations": {"example.com/db-password": STRUCTURED["annotation"]}}}
        try:
            control_plane.api.patch("/api/v1/nodes/node-1", node)
            _plant(control_plane, created)
            yield created
        finally:
            control_plane.api.patch("/api/v1/nodes/node-1", {"metadata": {"annotations": {"example.com/db-password": None}}})
            control_plane.delete_namespace(created)


def _plant(control_plane: ControlPlane, name: str) -> None:
    control_plane.api.patch(
        f"/api/v1/namespaces/{name}", {"metadata": {"annotations": {"example.com/db-password": STRUCTURED["annotation"]}}}
    )
    template = pod_template()
    labels = {"matchLabels": {"app": "canary"}}
    _deploy_without_secrets(control_plane, name)
    notes = {"annotations": template["metadata"]["annotations"]}
    once = template | {"spec": template["spec"] | {"restartPolicy": "Never"}}
    items = [
        manifest("v1", "Secret", "s", stringData={"k": STRUCTURED["secret data"], "script": SCRIPT}),
        manifest("apps/v1", "Deployment", "web", spec={"selector": labels, "template": template}),
        manifest("apps/v1", "StatefulSet", "db", spec={"serviceName": "db", "selector": labels, "template": template}),
        manifest("apps/v1", "DaemonSet", "agent", spec={"selector": labels, "template": template}),
        manifest("batch/v1", "Job", "job", spec={"suspend": True, "template": once}),
        manifest("v1", "Service", "web", notes, spec={"ports": [{"port": 80}]}),
        manifest("v1", "Pod", "bare", notes, spec=template["spec"]),
        manifest("v1", "ConfigMap", "settings", data=_files(), binaryData=_binary()),
        manifest(f"{GROUP}/v1", "Vessel", "vessel", notes, spec=_fields(), status={"message": SCRIPT}),
    ]
    control_plane.kubectl("apply", "-n", name, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    _wait_for_revision(control_plane, name, "2")
    payload = manifest("v1", "Secret", "payload", stringData={"k": PAYLOAD})
    control_plane.api.post(f"/api/v1/namespaces/{name}/secrets", payload)
    bare = control_plane.pods.wait(name, "bare", lambda pod: pod["status"].get("startTime"))
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": name, "name": "bare", "uid": bare["metadata"]["uid"]}
    for number, message in enumerate(_messages(), 1):
        control_plane.api.post(
            f"/api/v1/namespaces/{name}/events",
            {
                "metadata": {"name": f"bare.{number}"},
                "involvedObject": about,
                "reason": f"Failed{number}",
                "type": "Warning",
                "message": message,
            },
        )
    control_plane.logs.set(name, "bare", f"token={STRUCTURED['log']}\n{SCRIPT}", previous=f"token={STRUCTURED['log']}")
    condition = {"type": "Example", "status": "False", "message": f"password={STRUCTURED['condition message']}\n{SCRIPT}"}
    control_plane.api.patch(f"/api/v1/namespaces/{name}/pods/bare/status", {"status": {"conditions": [condition]}}, "strategic")
    written = {"token": SCRIPT, "password": STRUCTURED["annotation"], "env": {"GREETING": STRUCTURED["env value"]}}
    values = written | {"script": SCRIPT, "list": [canary.text for canary in TEXT_FORMS]}
    documents = [json.dumps(item).replace(STRUCTURED["env value"], "cnry-env-before") for item in items]
    texts = {"manifest": "\n---\n".join(documents), "notes": SCRIPT, "description": SCRIPT}
    store(control_plane.api, release(name, "canary", config=values, values=values, **texts))


def _deploy_without_secrets(control_plane: ControlPlane, name: str) -> None:
    """The revision of the Deployment before the one that is full of them: what undoing shows is all that lies between the two."""
    labels = {"app": "canary"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "example/app:1"}]}}
    deployment = manifest("apps/v1", "Deployment", "web", spec={"selector": {"matchLabels": labels}, "template": template})
    control_plane.api.post(f"/apis/apps/v1/namespaces/{name}/deployments", deployment)
    _wait_for_revision(control_plane, name, "1")


def _wait_for_revision(control_plane: ControlPlane, name: str, revision: str) -> None:
    def is_there() -> bool:
        deployment = control_plane.api.get(f"/apis/apps/v1/namespaces/{name}/deployments/web")
        noted = deployment["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision")
        return bool(noted == revision)

    wait_until(is_there, f"revision {revision} of the Deployment")


def _files() -> dict[str, str]:
    """Each text as a file of its own, as part of one, and inside base64 once more."""
    files = {f"{re.sub('[^a-z0-9]+', '-', canary.form.lower())}.txt": canary.text for canary in TEXT_FORMS}
    packed = {"all.b64": base64.b64encode(SCRIPT.encode()).decode(), "all.json": json.dumps({"text": SCRIPT})}
    return files | packed | {"all.conf": SCRIPT, "objects.json": json.dumps(_fields())}


def _binary() -> dict[str, str]:
    return {"blob": base64.b64encode(f"\0{STRUCTURED['binary data']}".encode()).decode()}


def _fields() -> dict[str, Any]:
    named = {f"form{number}": fields for number, (_, fields, _) in enumerate(OBJECT_FORMS)}
    return named | {"note": TEXT_FORMS[0].text, "texts": [canary.text for canary in TEXT_FORMS]}


def _messages() -> list[str]:
    """All texts, in as many events as it takes: a message holds 1,024 bytes."""
    messages = [f"password: {STRUCTURED['event message']}"]
    for canary in TEXT_FORMS:
        if len(canary.text.encode()) > 1000:
            continue
        if len(messages[-1].encode()) + len(canary.text.encode()) > 1000:
            messages.append("it was said:")
        messages[-1] += f"\n{canary.text}"
    return messages


def searched_values() -> dict[str, str]:
    """What is planted, and looked for: form -> value."""
    return {canary.form: canary.value for canary in TEXT_FORMS} | {form: value for form, _, value in OBJECT_FORMS} | STRUCTURED


_SEARCHED = [(f"{name} ({form})", text) for name, value in searched_values().items() for form, text in forms_of(value).items()]


def rows_of(database: Path) -> dict[str, str]:
    """All cells of each table, decompressed. Virtual tables keep theirs in ordinary ones, which are read as bytes."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")
        return {
            name: "\n".join(_cell(cell) for row in connection.execute(f'SELECT * FROM "{name}"') for cell in row)
            for (name,) in tables.fetchall()
        }


def _cell(cell: object) -> str:
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return zlib.decompress(cell).decode(errors="replace")
    except zlib.error:
        return cell.decode(errors="replace")


def found_in_output(output: str) -> set[str]:
    """Names of the canaries in an output, with the form they have there: `jwt (raw)`."""
    return {name for name, text in _SEARCHED if text in output}
