"""The events of one delta, one after the other, into rows to write: what applying each by itself would leave."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cache.change_history import object_changes
from cache.delta import ObjectChange
from cache.object_rows import ObjectRows, StoredObject, removed_row
from cache.staging import Staged
from cache.staging_tables import StagedRows, State
from kinds.record import sort_key

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Written:
    """The newest state of an object that these events wrote."""

    key: bytes
    row: StoredObject
    staged: Staged


@dataclass(slots=True)
class DeltaFold:
    """`stored` and `holders` are what the database holds of the objects and names that the events mention."""

    rows: ObjectRows
    stored: Mapping[str, StoredObject]
    holders: dict[bytes, str]
    result: StagedRows = field(default_factory=StagedRows)
    added: int = 0
    changed: int = 0
    removed: int = 0
    _written: dict[str, _Written] = field(default_factory=dict)
    _gone: dict[str, tuple[StoredObject, Staged | None]] = field(default_factory=dict)

    def run(self, changes: Sequence[ObjectChange]) -> StagedRows:
        """Fold them all. An unchanged resourceVersion and an unknown deleted object have no effect."""
        for change in changes:
            if change.type == "DELETED":
                self._delete(change.uid, change.staged)
            elif change.staged is not None:
                self._write(change.staged, change.manager)
        for uid, written in self._written.items():
            arguments = (written.key, uid, written.row.row, written.row.sides, written.staged.compressed())
            if uid in self.stored and uid not in self._gone:
                details = self.rows.differing_details(self.stored[uid], written.row)
                self.result.add_object(*arguments, state=State.CHANGED, details=details)
            else:
                self.result.add_object(*arguments)
        self.result.removed = [
            removed_row(self.rows, last, None if staged is None else staged.compressed()) for last, staged in self._gone.values()
        ]
        return self.result

    def _current(self, uid: str) -> StoredObject | None:
        if uid in self._written:
            return self._written[uid].row
        return None if uid in self._gone else self.stored.get(uid)

    def _write(self, staged: Staged, manager: str | None) -> None:
        record = staged.record
        current, version = self._current(record.uid), record.resource_version
        if current is not None and version and self.rows.value(current, "resource_version") == version:
            return
        row = self._encode(staged)
        if row is None:
            return
        key = sort_key(record.namespace, record.name)
        holder = self.holders.get(key)
        if holder is not None and holder != record.uid:
            self._delete(holder, None)  # a name belongs to one object: the event of its deletion was not seen
        if current is None:
            self.added += 1
        else:
            self.changed += 1
            self.result.changes += [
                (record.uid, record.namespace, record.name, found.field, found.old, found.new, version, manager)
                for found in object_changes(self.rows.kind, current, row)
            ]
        self.holders[key] = record.uid
        self._written[record.uid] = _Written(key, row, staged)

    def _delete(self, uid: str, staged: Staged | None) -> None:
        current = self._current(uid)
        if current is None:
            return
        self.removed += 1
        written = self._written.pop(uid, None)
        last = None if staged is None else self._encode(staged)
        if last is not None:
            self._gone[uid] = (last, staged)
        else:
            self._gone[uid] = (current, None if written is None else written.staged)
        for key in [key for key, holder in self.holders.items() if holder == uid]:
            del self.holders[key]

    def _encode(self, staged: Staged) -> StoredObject | None:
        """None for a record that SQLite cannot hold: what is stored of it stays."""
        record = staged.record
        try:
            return self.rows.encode(record)
        except (TypeError, ValueError) as error:
            logger.warning("%s %s/%s cannot be stored: %s", self.rows.kind.name, record.namespace or "-", record.name, error)
            return None
