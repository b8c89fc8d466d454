"""Dates and times that a pickle describes: unpacked here from the bytes that Python packs them in, and checked by Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone

Time = date | time | timedelta
"""What a file may hold of them as a value."""
_FOLD = 128


def times_table() -> dict[str, Callable[..., object]]:
    """Return what makes each kind of date and time, by the global name that a file asks for."""
    return {
        "datetime.date": _date,
        "datetime.datetime": _datetime,
        "datetime.time": _time,
        "datetime.timedelta": _timedelta,
        "datetime.timezone": _timezone,
    }


def _date(packed: object) -> date:
    high, low, month, day = _numbers(packed, 4)
    return date(256 * high + low, month, day)


def _datetime(packed: object, zone: object = None) -> datetime:
    high, low, month, day, *clock = _numbers(packed, 10)
    whole_day = date(256 * high + low, month % _FOLD, day)
    return datetime.combine(whole_day, _clock(clock, zone).replace(fold=month // _FOLD))


def _time(packed: object, zone: object = None) -> time:
    hour, *rest = _numbers(packed, 6)
    return _clock([hour % _FOLD, *rest], zone).replace(fold=hour // _FOLD)


def _clock(numbers: list[int], zone: object) -> time:
    hour, minute, second, *micros = numbers
    if zone is not None and not isinstance(zone, timezone):
        raise TypeError("a time in something else than a time zone")
    return time(hour, minute, second, int.from_bytes(bytes(micros), "big"), zone)


def _timedelta(*parts: object) -> timedelta:
    if len(parts) != 3 or not all(type(part) is int for part in parts):
        raise TypeError("a duration in another form than Python writes")
    days, seconds, micros = parts
    return timedelta(days, seconds, micros)  # type: ignore[arg-type]


def _timezone(offset: object, *name: object) -> timezone:
    if not isinstance(offset, timedelta) or not all(isinstance(part, str) for part in name):
        raise TypeError("a time zone of something else than an offset and a name")
    return timezone(offset, *name)  # type: ignore[arg-type]


def _numbers(packed: object, count: int) -> list[int]:
    if not isinstance(packed, bytes) or len(packed) != count:
        raise TypeError("a date or time in another form than Python writes")
    return list(packed)
