"""Turns local times of a time zone into UTC."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput

STEP_S = 900
"""Offsets of time zones change at multiples of a quarter of an hour."""

CHANGE = timedelta(hours=3)
"""Longer than the clocks are ever put back."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # a local time


class TimeZone:
    """A time zone by its name, as Europe/Berlin."""

    def __init__(self, name: str) -> None:
        """Raise InvalidInput for an unknown name."""
        try:
            self._zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidInput(
                f"no time zone {name!r}: send a name of the IANA database, such as Europe/Berlin",
                pointer="/timezone",
                expected="a name such as Europe/Berlin or UTC",
                actual=name,
            ) from None
        self.name = name
        self._known: dict[int, tuple[float, float, bool]] = {}
        self._later = False
        """Whether the last time of an hour that occurs twice was in the later one."""
        self._before_s = -np.inf

    def to_utc(self, local_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], int | None]:
        """Return local times as UTC, and the index of the first that the clocks skip, None if there is none.

        In an hour that occurs twice, times are of the later one as soon as one is before its predecessor.
        """
        quarters, places = np.unique(np.floor(local_s / STEP_S).astype(np.int64), return_inverse=True)
        offsets = np.array([self._offsets(int(quarter)) for quarter in quarters]).reshape(-1, 3)[places]
        skipped = np.flatnonzero(offsets[:, 2])
        found = local_s - offsets[:, 0]
        twice = np.flatnonzero((offsets[:, 0] != offsets[:, 1]) & (offsets[:, 2] == 0))
        for at in twice:
            before_s = local_s[at - 1] if at else self._before_s
            is_new = not at or offsets[at - 1, 0] == offsets[at - 1, 1]
            self._later = (self._later and not (is_new and at)) or local_s[at] <= before_s
            if self._later:
                found[at] = local_s[at] - offsets[at, 1]
        if local_s.size:
            self._before_s = float(local_s[-1])
            self._later = self._later and bool(twice.size) and twice[-1] == local_s.size - 1
        return found, int(skipped[0]) if skipped.size else None

    def has_offset(self, utc_s: float, minutes: int) -> bool:
        """Return whether the zone has that offset at a time."""
        offset = datetime.fromtimestamp(utc_s, UTC).astimezone(self._zone).utcoffset()
        return offset == timedelta(minutes=minutes)

    def _offsets(self, quarter: int) -> tuple[float, float, bool]:
        """Return the offsets before and after a change of the clocks, and whether there is no such time."""
        found = self._known.get(quarter)
        if found is None:
            local = _EPOCH + timedelta(seconds=quarter * STEP_S)
            first = local.replace(tzinfo=self._zone)
            after = (first.astimezone(UTC) + CHANGE).astimezone(self._zone).utcoffset()
            assert after is not None
            occurs_twice = self._local(local - after) == local
            second = after.total_seconds() if occurs_twice else _seconds(first)
            found = self._known[quarter] = _seconds(first), second, self._local(local - _offset(first)) != local
        return found

    def _local(self, utc: datetime) -> datetime:
        """Return a time in UTC as a local time, both without their zone."""
        return utc.replace(tzinfo=UTC).astimezone(self._zone).replace(tzinfo=None)


def _offset(time: datetime) -> timedelta:
    offset = time.utcoffset()
    assert offset is not None
    return offset


def _seconds(time: datetime) -> float:
    return _offset(time).total_seconds()
