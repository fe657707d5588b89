"""What a request to the Kubernetes API does, and to what: read from its method, path and query, as the API server reads them.

Source: k8s.io/apiserver pkg/endpoints/request/requestinfo.go. Here anything that is not written plainly is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from configuration.errors import NotPermitted

Query = Sequence[tuple[str, str | int]]

READING = frozenset({"get", "list", "watch"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_READ_SUBRESOURCES = frozenset({"", "log", "scale", "status"})
"""What a GET of only reads. Of others (exec, attach, portforward, proxy, a console) it opens a connection, or runs something."""
_CONNECTING = frozenset({"attach", "exec", "portforward", "proxy", "token"})
"""Subresources that act, or hand out a credential, whatever the method, and know no dry run."""
_REVIEWS = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
}
"""Questions about oneself that are put as a POST; nothing is stored."""
_OF_A_NAMESPACE = frozenset({"status", "finalize"})
"""What may stand after /namespaces/NAME and is a part of the namespace itself."""
PROJECTS = frozenset({("project.openshift.io", "projects"), ("project.openshift.io", "projectrequests")})
"""(API group, plural) of what OpenShift serves Namespace objects as a second time. To make a ProjectRequest makes a Namespace.

Source: github.com/openshift/openshift-apiserver pkg/project/apiserver/registry."""
_SINGLE = frozenset({"continue", "dryRun", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"})
_ABOUT_THE_SERVER = frozenset({"healthz", "livez", "metrics", "openapi", "readyz", "version"})

_SEGMENT = re.compile(r"[A-Za-z0-9._:@+~-]{1,253}\Z")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_GROUP = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class ApiTarget:
    """One request. `verb` is get, list, watch, create, update, patch, delete, deletecollection or connect.

    Parts that there are none of are "". The namespace of a Namespace object is its own name, as for the API server; so is that
    of a Project.
    `resource` is "" for discovery, /version and the like.
    """

    verb: str
    context: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def mutating(self) -> bool:
        """Whether it may change something, or run something; a review of one's own rights does not."""
        return self.verb not in READING and not (self.verb == "create" and (self.group, self.resource) in _REVIEWS)

    @property
    def knows_dry_run(self) -> bool:
        """Whether `dryRun=All` keeps the API server from acting on it."""
        return self.verb != "connect"

    @property
    def is_namespace(self) -> bool:
        """Whether it is about Namespace objects, under whichever name."""
        return (self.group, self.resource) == ("", "namespaces") or (self.group, self.resource) in PROJECTS

    @property
    def full_resource(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def __str__(self) -> str:
        part = f"/{self.subresource}" if self.subresource else ""
        where = "/".join(one for one in ("" if self.is_namespace else self.namespace, self.name) if one)
        return f"{self.verb} {self.full_resource or 'API'}{part}{' ' + where if where else ''}"


def api_target(method: str, path: str, query: Query, context: str) -> ApiTarget:
    """Raises NotPermitted for a path that does not plainly name something of the Kubernetes API."""
    segments = _segments(path)
    _refuse_repetitions(query, path)
    reading = method == "GET"
    if not reading and method not in _VERBS:
        raise _unclear(path, f"method {method[:20]!a}")
    root, rest = _root(segments, path)
    if root is None or not rest:
        if not reading:
            raise _unclear(path, f"{method} of no resource")
        return ApiTarget("get", context)
    return _resource_target(method, root, rest, query, path, context)


def _segments(path: str) -> list[str]:
    if not path.startswith("/"):
        raise _unclear(path, "no path of an API")
    segments = path[1:].split("/")
    if any(_SEGMENT.match(one) is None or one in (".", "..") for one in segments):
        raise _unclear(path, "a part of it is empty, or holds what no name holds")
    return segments


def _refuse_repetitions(query: Query, path: str) -> None:
    """The API server takes one of several, and nobody should have to know which."""
    names = [name for name, _ in query]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise _unclear(path, f"{name} is given {names.count(name)} times")


def _root(segments: list[str], path: str) -> tuple[str | None, list[str]]:
    """The API group and what follows group and version; (None, …) for what is no resource."""
    head = segments[0]
    if head == "api" and len(segments) > 1:
        return "", _after_version(segments[1:], path)
    if head == "apis" and len(segments) > 1:
        if _GROUP.match(segments[1]) is None:
            raise _unclear(path, "no API group")
        return segments[1], _after_version(segments[2:], path)
    if head in ("api", "apis") or head in _ABOUT_THE_SERVER:
        return None, []
    raise _unclear(path, "no path of the Kubernetes API")


def _after_version(segments: list[str], path: str) -> list[str]:
    if segments and _LABEL.match(segments[0]) is None:
        raise _unclear(path, "no API version")
    return segments[1:]


def _resource_target(method: str, group: str, rest: list[str], query: Query, path: str, context: str) -> ApiTarget:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if _LABEL.match(namespace) is None:
            raise _unclear(path, "no namespace")
        if len(rest) > 2 and not (len(rest) == 3 and rest[2] in _OF_A_NAMESPACE):
            rest = rest[2:]
    resource, name, subresource = (*rest[:3], "", "")[:3]
    if _LABEL.match(resource) is None or (group == "" and resource in ("watch", "proxy")):
        raise _unclear(path, "no resource")
    if subresource and _LABEL.match(subresource) is None:
        raise _unclear(path, "no subresource")
    if len(rest) > 3 and subresource != "proxy":
        raise _unclear(path, "more than a subresource")
    if (group, resource) in PROJECTS:
        namespace = name
    verb = _verb(method, name, subresource, query)
    return ApiTarget(verb, context, group, resource, subresource, namespace, name)


def _verb(method: str, name: str, subresource: str, query: Query) -> str:
    if subresource in _CONNECTING or (method == "GET" and subresource not in _READ_SUBRESOURCES):
        return "connect"
    if method == "GET":
        watching = str(dict(query).get("watch", "false")).lower() not in ("false", "0")
        return "watch" if watching else "get" if name else "list"
    return "deletecollection" if method == "DELETE" and not name else _VERBS[method]


def _unclear(path: str, why: str) -> NotPermitted:
    return NotPermitted(
        f"a request to {path[:200]!a} is not sent: {why}; this server only asks what it can check against its policy",
        reason="UnclearRequest",
    )
