"""What `metadata.managedFields` tells: who wrote last, and the keys that a Secret has. It never leaves the server itself:
it is half of an object's bytes and nobody's answer."""

from __future__ import annotations

from typing import Any


def take_manager(obj: dict[str, Any]) -> str | None:
    """Removes managedFields from an object and gives the manager of its newest entry.

    None without one, and when several managers wrote in the same newest second: who was last cannot be told then.
    """
    metadata = obj.get("metadata")
    entries = metadata.pop("managedFields", None) if isinstance(metadata, dict) else None
    if not isinstance(entries, list):
        return None
    newest, managers = "", set[str]()
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        time, manager = entry.get("time"), entry.get("manager")
        if not isinstance(time, str) or not isinstance(manager, str) or time < newest:
            continue
        if time > newest:
            newest, managers = time, set()
        managers.add(manager)
    return managers.pop() if len(managers) == 1 else None


def key_names(metadata: dict[str, Any], fields: tuple[str, ...]) -> set[str]:
    """Keys of the maps `fields` (`data`, `stringData`) that any manager says to have set: names, never values."""
    names: set[str] = set()
    entries = metadata.get("managedFields")
    for entry in entries if isinstance(entries, list) else ():
        set_by = entry.get("fieldsV1") if isinstance(entry, dict) else None
        for field in fields:
            members = set_by.get(f"f:{field}") if isinstance(set_by, dict) else None
            if isinstance(members, dict):
                names.update(key[2:] for key in members if key.startswith("f:"))
    return names
