"""Times as numbers: day and second of rows, texts of times, and the calendar of a time zone as turns of a circle."""

import bisect
import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from cellar.nn.numerics.portable_math import Doubles

DAY_S = 86400
MOST_DAYS = 2_932_896
"""Days from 1970-01-01 to 9999-12-31, the last one of the calendar."""
LEAST_DAYS = -719_162
"""Days from 1970-01-01 to 0001-01-01."""

_STEP = timedelta(days=7)
"""No zone has changed its offset twice within a week, and back."""


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name, such as Europe/Berlin. Raise ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"no time zone is named {name[:64]!r}") from error


def split_time(time_s: Doubles) -> tuple[Doubles, Doubles]:
    """Return the day since 1970-01-01 and the second of the day of times in seconds since 1970-01-01, in UTC."""
    days = np.floor(time_s / DAY_S)
    return days, time_s - days * DAY_S


def parse_time(text: str, zone: str) -> float:
    """Return seconds since 1970-01-01 in UTC of an ISO 8601 text, without an offset one of `zone`. Raise ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(zone))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)


def local_time(time_s: Doubles, zone: str) -> Doubles:
    """Return times in a zone as seconds since 1970-01-01 by its clocks. The zone's rules are those of the machine."""
    if zone == "UTC" or not time_s.size:
        return time_s
    years = 1970 + np.floor(time_s / (365.2425 * DAY_S)).astype(np.int64)
    first, last = int(years.min()) - 1, int(years.max()) + 1
    begins, offsets = _offsets(zone, first, last)
    found: Doubles = time_s + offsets[np.searchsorted(begins, time_s, side="right") - 1]
    return found


@lru_cache(maxsize=256)
def _offsets(zone: str, first: int, last: int) -> tuple[Doubles, Doubles]:
    """Return when offsets to UTC begin in some years of a zone, and these offsets, both in seconds."""
    changes = [change for year in range(max(first, 2), min(last, 9998) + 1) for change in _year(zone, year)]
    begins = np.array([begin for begin, _ in changes], np.float64)
    begins[0] = -math.inf
    return begins, np.array([offset for _, offset in changes], np.float64)


@lru_cache(maxsize=1024)
def _year(zone: str, year: int) -> tuple[tuple[float, float], ...]:
    """Return the offset at the begin of a year of UTC, and each change of it: (second since 1970-01-01, offset)."""
    place, moment = zone_of(zone), datetime(year, 1, 1, tzinfo=UTC)
    end, found = datetime(year + 1, 1, 1, tzinfo=UTC), [(_second(moment), _offset(place, moment))]
    while moment < end:
        following = min(moment + _STEP, end)
        if _offset(place, following) != found[-1][1]:
            change_s = _change(place, int(_second(moment)), int(_second(following)))
            found.append((float(change_s), _offset(place, _moment(change_s))))
        moment = following
    return tuple(found)


def _change(zone: ZoneInfo, first_s: int, last_s: int) -> int:
    """Return the second from which on a zone has the offset of `last_s`, which is another one than at `first_s`."""
    before = _offset(zone, _moment(first_s))
    seconds = range(first_s, last_s + 1)
    return seconds[bisect.bisect_left(seconds, True, key=lambda second: _offset(zone, _moment(second)) != before)]


def _moment(second: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


def _second(moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)


def _offset(zone: ZoneInfo, moment: datetime) -> float:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset / timedelta(seconds=1)


def turns_of(feature: str, local_s: Doubles) -> Doubles:
    """Return the part of the day, week or year that has passed, from 0 to 1, of local times in seconds."""
    days, seconds = split_time(local_s)
    if feature == "hour":
        return seconds / DAY_S
    if feature == "weekday":  # 1970-01-01 was a Thursday; the week begins on Monday
        found: Doubles = (np.mod(days + 3, 7) + seconds / DAY_S) / 7
        return found
    dates: NDArray[np.datetime64] = days.astype(np.int64).astype("datetime64[D]")
    years = dates.astype("datetime64[Y]")
    if feature == "month":
        months = (dates.astype("datetime64[M]") - years.astype("datetime64[M]")).astype(np.float64)
        return np.asarray(months / 12, np.float64)
    first = years.astype("datetime64[D]")
    length = ((years + 1).astype("datetime64[D]") - first).astype(np.float64)
    return np.asarray(((dates - first).astype(np.float64) + seconds / DAY_S) / length, np.float64)
