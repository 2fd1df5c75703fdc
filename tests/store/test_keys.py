"""Keys of sessions: one slot for each session, no key for two of them, and the keys of plain names as they were."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from cellar.ports import SessionKey
from cellar.store.keys import SessionKeys
from tests.device_names import ALLOWED, NAMES

KEYS = SessionKeys("cellar")

IDEMPOTENCY_KEYS = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)


def keys_of(name: str, once: str = "k") -> Iterator[bytes]:
    """Yield all keys of a session."""
    key = SessionKey("default", name)
    for make in (KEYS.record, KEYS.tombstone, KEYS.log, KEYS.events, KEYS.mark, KEYS.snapshots, KEYS.shadow):
        yield make(key)
    yield KEYS.older_answer(key, once)
    yield KEYS.held(key, b"0123456789abcdef")


@given(NAMES, IDEMPOTENCY_KEYS)
def test_a_session_has_one_slot(name: str, once: str) -> None:
    assert len({key_slot(key) for key in keys_of(name, once)}) == 1


@given(NAMES, NAMES, IDEMPOTENCY_KEYS, IDEMPOTENCY_KEYS)
def test_no_key_belongs_to_two_sessions(one: str, other: str, once: str, also: str) -> None:
    assert one == other or not {*keys_of(one, once)} & {*keys_of(other, also)}


def test_no_key_belongs_to_two_of_the_names_that_are_hard() -> None:
    names = {*ALLOWED, *(f"{name}}}{end}" for name in ALLOWED for end in ("", ":t", ":k:k", ":s"))}
    keys = [key for name in names for once in ("k", "k}", "}") for key in {*keys_of(name, once)}]
    owners: dict[bytes, set[str]] = {key: set() for key in keys}
    for name in names:
        for key in keys_of(name):
            owners[key].add(name)
    assert all(len(owner) <= 1 for owner in owners.values())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("abc", b"cellar:{default/abc}"),
        ("aa:bb:cc:dd:ee:ff", b"cellar:{default/aa:bb:cc:dd:ee:ff}"),
        ("A_b.c-9", b"cellar:{default/A_b.c-9}"),
        ("site/1/temp", b"cellar:{default/site/1/temp}"),
        ("{a}b", b"cellar:{default/{a%7Db}"),
        ("100%", b"cellar:{default/100%25}"),
        ("\u00e4", "cellar:{default/\u00e4}".encode()),
    ],
)
def test_keys(name: str, key: bytes) -> None:
    assert KEYS.record(SessionKey("default", name)) == key
