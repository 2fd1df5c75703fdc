"""Reads dates and times of day from texts, whole columns at once where all have the same form."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_OFFSET = np.iinfo(np.int32).min
"""The offset of a time that has none."""

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_TIME = (
    r"(?:[T ,]+(?P<h>\d{1,2})(?:(?<=T\d\d)|(?=:))"  # the hour alone after a T, as NumPy writes it
    r"(?::(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?)?)?"
)
_ZONE = r"\s?(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_DATES = (
    r"(?P<Y>\d{4})(?P<sep>[-/.])(?P<M>\d{1,2})(?P=sep)(?P<D>\d{1,2})",
    r"(?P<a>\d{1,2})(?P<sep>[-/. ])(?P<b>\d{1,2})(?P=sep)(?P<Y>\d{4}|\d{2})",
    r"(?P<D>\d{1,2})[-/. ]+(?P<name>[A-Za-z]{3,9})[-/., ]+(?P<Y>\d{4}|\d{2})",
    r"(?:[A-Za-z]{3}, )?(?P<name>[A-Za-z]{3,9})\.? (?P<D>\d{1,2}),? (?P<Y>\d{4})",
    r"(?P<Y>\d{4})[-/](?P<M>\d{1,2})",
    r"(?P<Y>\d{4})[-/ ]?[Qq](?P<quarter>[1-4])",
    r"(?P<Y>\d{4})(?P<M>\d{2})(?P<D>\d{2})",
)
_FORMS = tuple(re.compile(date + _TIME + _ZONE).fullmatch for date in _DATES)

DAY_S = 24 * 60 * 60

_NUMBERS = ("Y", "M", "D", "h", "m", "s", "f")


class TimeFields(NamedTuple):
    """The parts of times, an array for each. `first` and `second` are day and month in either order."""

    year: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    microseconds: NDArray[np.int64]
    """Of the day."""
    offset: NDArray[np.int32]
    """Minutes east of UTC, or NO_OFFSET."""


class NoTime(Exception):
    """A text is not a date or a time."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class TimeForm(NamedTuple):
    """One of the forms of dates that are known."""

    number: int

    @property
    def has_open_order(self) -> bool:
        """Whether day and month may come in either order."""
        return self.number == 1


def form_of(text: str) -> TimeForm | None:
    """Return the form of a text, None if it is no date.

    >>> form_of("2024-03-01 12:00"), form_of("1/3/2024").has_open_order, form_of("12.5")
    (TimeForm(number=0), True, None)
    """
    for number, matches in enumerate(_FORMS):
        if (found := matches(text.strip())) is not None and (
            not (name := found.groupdict().get("name")) or _month(name)
        ):
            return TimeForm(number)
    return None


def read_fields(texts: Sequence[str], form: TimeForm) -> TimeFields:
    """Return the parts of texts of a form; those of other texts raise NoTime."""
    found = _of_equal_lengths(texts, form)
    return _one_by_one(texts, form) if found is None else found


def _of_equal_lengths(texts: Sequence[str], form: TimeForm) -> TimeFields | None:
    """Return the parts if all texts have their digits at the same places as the first; None if they do not."""
    match = _FORMS[form.number](texts[0])
    if match is None or not texts[0].isascii():
        return None
    groups = match.groupdict()
    if groups.get("name") or groups.get("quarter") or groups.get("half") or len(groups["Y"]) == 2:
        return None
    try:
        packed = np.array(texts, dtype="S")
    except UnicodeEncodeError:
        return None
    length = len(texts[0])
    if packed.itemsize != length:
        return None
    bytes_of = packed.view(np.uint8).reshape(len(texts), length)
    spans = {name: match.span(name) for name in groups if name in (*_NUMBERS, "a", "b") and groups[name]}
    is_digit = np.zeros(length, bool)
    for begin, end in spans.values():
        is_digit[begin:end] = True
    others = np.frombuffer(texts[0].encode(), np.uint8)
    digits = bytes_of[:, is_digit] - np.uint8(48)
    if (bytes_of[:, ~is_digit] != others[~is_digit]).any() or (digits > 9).any():
        return None
    numbers = {name: _number(bytes_of[:, begin:end]) for name, (begin, end) in spans.items()}
    return _fields(numbers, groups, form, len(texts))


def _number(digits: NDArray[np.uint8]) -> NDArray[np.int64]:
    found = np.zeros(len(digits), np.int64)
    for column in range(digits.shape[1]):
        found = found * 10 + (digits[:, column] - np.uint8(48))
    return found


def _fields(
    numbers: dict[str, NDArray[np.int64]], groups: dict[str, str | None], form: TimeForm, count: int
) -> TimeFields:
    zero, one = np.zeros(count, np.int64), np.ones(count, np.int64)
    get = numbers.get
    fraction = get("f", zero) * 10 ** max(0, 6 - len(groups["f"] or "")) // 10 ** max(0, len(groups["f"] or "") - 6)
    _check_below(get("h", zero), 25)
    _check_below(get("m", zero), 60)
    _check_below(get("s", zero), 61)
    seconds = (get("h", zero) * 60 + get("m", zero)) * 60 + get("s", zero)
    _check_below(seconds, DAY_S + 1)  # 24:00 is the end of a day, 23:59:60 a leap second
    offset = np.full(count, _offset(groups["zone"]), np.int32)
    first, second = (get("a"), get("b")) if form.has_open_order else (get("D", one), get("M", one))
    assert first is not None
    assert second is not None
    return TimeFields(numbers["Y"], first, second, seconds * 1_000_000 + fraction, offset)


def _check_below(numbers: NDArray[np.int64], limit: int) -> None:
    if (bad := np.flatnonzero(numbers >= limit)).size:
        raise NoTime(int(bad[0]))


def _one_by_one(texts: Sequence[str], form: TimeForm) -> TimeFields:
    """Return the parts of texts of different lengths."""
    found = np.empty((4, len(texts)), np.int64)
    offsets = np.empty(len(texts), np.int32)
    matches = _FORMS[form.number]
    for index, text in enumerate(texts):
        match = matches(text.strip())
        if match is None:
            raise NoTime(index)
        *found[:, index], offsets[index] = _parts(match.groupdict(), index)
    return TimeFields(found[0], found[1], found[2], found[3], offsets)


def _parts(groups: dict[str, str | None], index: int) -> tuple[int, int, int, int, int]:
    year = int(groups["Y"] or 0)
    if len(groups["Y"] or "") == 2:
        year += 2000 if year < 69 else 1900  # as POSIX has it
    name, quarter = groups.get("name"), groups.get("quarter")
    if "a" in groups:
        first, second = int(groups["a"] or 0), int(groups["b"] or 0)
    else:
        month = _month(name) if name else 3 * int(quarter) - 2 if quarter else int(groups.get("M") or 1)
        if not month:
            raise NoTime(index)
        first, second = int(groups.get("D") or 1), month
    hour, minute, second_of_minute = (int(groups[part] or 0) for part in ("h", "m", "s"))
    if groups["half"]:
        if not 1 <= hour <= 12:
            raise NoTime(index)
        hour = hour % 12 + (12 if groups["half"] in "pP" else 0)
    if hour > 24 or minute > 59 or second_of_minute > 60 or (hour == 24 and (minute or second_of_minute)):
        raise NoTime(index)
    fraction = int((groups["f"] or "0")[:6].ljust(6, "0"))
    microseconds = ((hour * 60 + minute) * 60 + second_of_minute) * 1_000_000 + fraction
    return year, first, second, microseconds, _offset(groups["zone"])


def _month(name: str) -> int:
    """Return the number of a month's English name, 0 for another word."""
    return _MONTHS.get(name[:3].lower(), 0)


def _offset(zone: str | None) -> int:
    """Return minutes east of UTC."""
    if not zone:
        return NO_OFFSET
    if zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if zone[0] == "-" else minutes
