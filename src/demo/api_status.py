"""The API's errors: one exception that carries a Kubernetes Status object.

ApiError is raised anywhere below the HTTP layer and becomes the response there.
The wording follows k8s.io/apimachinery/pkg/api/errors, since clients and people match on it.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """An HTTP error with its Status body (kind Status, apiVersion v1)."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": details} if details else {}),
            "code": code,
        }


def success(resource: str, group: str, name: str, uid: str) -> Json:
    """The Status that a finished DELETE answers with; without details where all are empty."""
    named = {"name": name, "group": group, "kind": resource, "uid": uid}
    details = {key: value for key, value in named.items() if value}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        **({"details": details} if details else {}),
    }


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(plural: str, group: str, name: str) -> Json:
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def not_found(plural: str, group: str, name: str) -> ApiError:
    message = f'{_qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(plural, group, name))


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    message = f'{_qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(plural, group, name))


def conflict(plural: str, group: str, name: str, cause: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {cause}'
    return ApiError(409, "Conflict", message, _details(plural, group, name))


def forbidden(plural: str, group: str, name: str, cause: str) -> ApiError:
    message = f'{_qualified(plural, group)} "{name}" is forbidden: {cause}'
    return ApiError(403, "Forbidden", message, _details(plural, group, name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message)


def too_many_requests(message: str, causes: list[Json], retry_after_seconds: int = 0) -> ApiError:
    retry = {"retryAfterSeconds": retry_after_seconds} if retry_after_seconds else {}
    return ApiError(429, "TooManyRequests", message, {"causes": causes, **retry})


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str, continue_token: str = "") -> ApiError:
    """410 for a resourceVersion or continue token that is gone; a token to start over may go with it."""
    error = ApiError(410, "Expired", message)
    if continue_token:
        error.status["metadata"] = {"continue": continue_token}
    return error


def too_large_revision(asked: int, current: int) -> ApiError:
    message = f"Too large resource version: {asked}, current: {current}"
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return ApiError(504, "Timeout", message, details)


def invalid(kind: str, group: str, name: str, causes: list[Json]) -> ApiError:
    """422; each cause is {reason, message, field}, the message as field errors print it."""
    listed = [f"{cause['field']}: {cause['message']}" for cause in causes]
    text = listed[0] if len(listed) == 1 else "[" + ", ".join(listed) + "]"
    message = f'{_qualified(kind, group)} "{name}" is invalid: {text}'
    details = {**_details(kind, group, name), "causes": causes}
    return ApiError(422, "Invalid", message, details)


def field_required(field: str, detail: str = "") -> Json:
    message = "Required value" + (f": {detail}" if detail else "")
    return {"reason": "FieldValueRequired", "message": message, "field": field}


def field_invalid(field: str, value: object, detail: str) -> Json:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return {"reason": "FieldValueInvalid", "message": f"Invalid value: {shown}: {detail}", "field": field}


def field_forbidden(field: str, detail: str) -> Json:
    return {"reason": "FieldValueForbidden", "message": f"Forbidden: {detail}", "field": field}
