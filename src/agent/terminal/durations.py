"""Ages and durations for people."""

from __future__ import annotations

from datetime import datetime

_UNITS = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def age(seconds: float) -> str:
    """As `kubectl get` prints AGE: `42s`, `3m20s`, `61m`, `5h12m`, `3d4h`, `12d`, `2y30d`; two units while the larger is small.

    Thresholds: k8s.io/apimachinery pkg/util/duration, HumanDuration.
    """
    total = max(0, int(seconds))
    minutes, hours, days, years = total // 60, total // 3600, total // 86400, total // (365 * 86400)
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _pair(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _pair(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def age_of(timestamp: str, now: float) -> str:
    """The age of an RFC 3339 time at `now` (epoch seconds); the text itself when it is no time."""
    try:
        return age(now - datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return timestamp


def parse_duration(text: str) -> int:
    """`90`, `90s`, `5m`, `2h`, `1h30m`, `1d` -> seconds. ValueError on anything else."""
    rest, total = text.strip().lower(), 0
    if rest.isdigit():
        return int(rest)
    sizes = dict(_UNITS)
    number = ""
    for character in rest:
        if character.isdigit():
            number += character
        elif character in sizes and number:
            total, number = total + int(number) * sizes[character], ""
        else:
            raise ValueError(f"{text!r} is no duration; write 90s, 5m, 2h or 1h30m")
    if number or not rest:
        raise ValueError(f"{text!r} is no duration; write 90s, 5m, 2h or 1h30m")
    return total


def took(seconds: float) -> str:
    """A measured duration: `38 ms`, `1.2 s`, `2m05s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}m{int(seconds) % 60:02d}s"
