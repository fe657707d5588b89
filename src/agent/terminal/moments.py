"""Points in time as people write and read them: in their own time zone, with its offset."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from agent.terminal.durations import parse_duration

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def parse_moment(text: str, now: float, *, after: float | None = None) -> int:
    """`14:00`, `2026-11-21`, `2026-11-21T14:00+01:00`, `2h` (ago) or `now` -> epoch seconds. ValueError on anything else.

    Without an offset the time is local. A time of day is the last one before `now`, or the first one from `after` on.
    """
    text = text.strip()
    if text == "now":
        return int(now)
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _time_of_day(*(int(part or 0) for part in clock.groups()), now=now, after=after)
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone().timestamp())
    except ValueError:
        pass
    try:
        return int(now) - parse_duration(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no time; write 14:00, 2026-11-21T14:00, or 30m, 2h, 1d for so long ago") from None


def _time_of_day(hour: int, minute: int, second: int, *, now: float, after: float | None) -> int:
    day = datetime.fromtimestamp(now if after is None else after).astimezone()
    found = day.replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
    moment = found.astimezone().timestamp()
    if after is None and moment > now:
        moment = (found - timedelta(days=1)).astimezone().timestamp()
    elif after is not None and moment < after:
        moment = (found + timedelta(days=1)).astimezone().timestamp()
    return int(moment)


def local_time(at: float, *, date: bool = True) -> str:
    """`2026-11-21 14:00:05 +01:00`; without the date when everything is of one day."""
    local = datetime.fromtimestamp(at).astimezone()
    offset = local.strftime("%z")
    return local.strftime("%Y-%m-%d %H:%M:%S " if date else "%H:%M:%S ") + f"{offset[:3]}:{offset[3:]}"


def of_one_day(moments: list[int]) -> bool:
    return len({datetime.fromtimestamp(at).date() for at in moments}) <= 1
