"""Changes as columns are the changes that they stand for."""

from cellar.ports import APPEND, UNMARKED, Change, Identity, Position, StepChanges, join_changes

BEFORE = Position(b"an epoch", 7, bytes(16))
DIGESTS = [bytes([number]) * 16 for number in (1, 2, 3)]
MARKS = [bytes([number]) * 16 for number in (11, 12, 13)]


def columns(before: Position = BEFORE, *, numbered: bool = False) -> StepChanges:
    return StepChanges(before, b"".join(DIGESTS), b"".join(MARKS), b"onetwosix", b"123", numbered=numbered)


def test_each_change_is_made_when_it_is_looked_at() -> None:
    second = Change(
        "step",
        Position(b"an epoch", 8, DIGESTS[0]),
        Position(b"an epoch", 9, DIGESTS[1]),
        1,
        APPEND,
        UNMARKED,
        MARKS[1],
        b"two",
        b"2",
    )
    found = columns()
    assert found[1] == found[-2] == [*found][1] == second
    assert [change.output for change in found] == [b"one", b"two", b"six"]
    assert len(found) == 3
    assert found[0].before == BEFORE
    assert found.after == found[-1].after == Position(b"an epoch", 10, DIGESTS[2])


def test_numbered_steps_name_their_numbers_and_have_fingerprints() -> None:
    found = columns(numbered=True)
    assert [change.identity for change in found] == [Identity(step=number) for number in (7, 8, 9)]
    assert [change.fingerprint for change in found] == MARKS


def test_some_of_them_are_columns_as_well() -> None:
    found = columns(numbered=True)
    for part in (slice(0, 2), slice(1, 3), slice(2, 3), slice(0, 3)):
        some = found[part]
        assert isinstance(some, StepChanges)
        assert [*some] == [*found][part]


def test_changes_that_follow_each_other_are_one_sequence() -> None:
    first = columns()
    second = columns(first.after)
    joined = join_changes([first, second])
    assert isinstance(joined, StepChanges)
    assert [*joined] == [*first, *second]
    assert join_changes([first]) is first
    for other in (columns(first.after, numbered=True), [*second]):
        assert [*join_changes([first, other])] == [*first, *other]
