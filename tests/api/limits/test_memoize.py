"""The cache of header values is limited in bytes, not only in entries."""

from cellar.api.limits.memoize import LONGEST, MOST, memoized


def test_a_short_argument_is_computed_once_and_a_long_one_each_time() -> None:
    asked: list[str] = []

    @memoized
    def length(text: str) -> int:
        asked.append(text)
        return len(text)

    short, long = "a" * LONGEST, "a" * (LONGEST + 1)
    assert [length(text) for text in (short, long, short, long)] == [LONGEST, LONGEST + 1, LONGEST, LONGEST + 1]
    assert asked == [short, long, long]


def test_the_oldest_results_are_forgotten() -> None:
    asked: list[bytes] = []

    @memoized
    def same(data: bytes) -> bytes:
        asked.append(data)
        return data

    for number in range(MOST + 1):
        same(b"%d" % number)
    same(b"0")
    assert asked.count(b"0") == 2
