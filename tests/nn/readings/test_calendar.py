"""Times as numbers: texts, offsets of time zones, and the calendar."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cellar.nn.readings.calendar import local_time, parse_time, split_time, turns_of


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])
def test_local_times_are_those_of_the_zone(zone: str) -> None:
    begin, random = datetime(1975, 1, 1, tzinfo=UTC), np.random.default_rng(0)
    changes = [datetime(2026, 3, 29, 1, tzinfo=UTC) + timedelta(seconds=each) for each in (-1, 0, 1)]
    moments = [*changes, *(begin + timedelta(seconds=int(each)) for each in random.integers(0, 2_000_000_000, 300))]
    found = local_time(np.array([moment.timestamp() for moment in moments]), zone)
    local = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC).timestamp() for moment in moments]
    assert found.tolist() == local


def test_the_last_years_of_the_calendar_have_local_times() -> None:
    found = local_time(np.array([datetime(9999, 12, 31, tzinfo=UTC).timestamp(), -62135596800.0]), "Europe/Berlin")
    assert np.isfinite(found).all()


def test_a_text_without_an_offset_is_of_the_zone() -> None:
    assert parse_time("2026-07-01T12:00:00", "Europe/Berlin") == parse_time("2026-07-01T10:00:00Z", "Asia/Tokyo")
    with pytest.raises(ValueError, match="isoformat"):
        parse_time("yesterday", "UTC")


def test_a_time_is_a_day_and_a_second_exactly() -> None:
    days, seconds = split_time(np.array([-0.5, 0, 86399, 86400, 1.7e9]))
    assert days.tolist() == [-1, 0, 0, 1, 19675]
    assert seconds.tolist() == [86399.5, 0, 86399, 0, 80000]


def test_turns_are_parts_of_the_day_the_week_and_the_year() -> None:
    noon = np.array([datetime(2024, 12, 31, 12, tzinfo=UTC).timestamp()])  # a Tuesday in a leap year
    assert turns_of("hour", noon) == 0.5
    assert turns_of("weekday", noon) == 1.5 / 7
    assert turns_of("month", noon) == 11 / 12
    assert turns_of("day_of_year", noon) == 365.5 / 366
