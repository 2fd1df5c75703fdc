"""Checks the options of a new session, and creates its metadata."""

from dataclasses import replace
from typing import NamedTuple

from cellar.errors import InvalidInput
from cellar.ports import NAME_IN_WORDS, Alias, Following, ModelVersion, SessionMeta, is_name, shown_name
from cellar.sessions.values.learning import check_one_row
from cellar.sessions.values.model_protocol import Sizes
from cellar.sessions.values.position import EPOCH_BYTES
from cellar.sessions.values.random_bytes import random_bytes

MAX_HISTORY, MAX_LOG, MAX_EVENTS = 256, 1_000_000, 100_000
"""The most earlier states, logged changes and events that a session may keep."""

MAX_TTL_S = 2**31

NAME_BYTES = 12
"""Random bytes of a generated name."""


class SessionOptions(NamedTuple):
    """The options of a new session; `SessionMeta` explains each."""

    batch_size: int
    ttl_s: int
    history: int = 0
    log: int = 0
    events: int = 0
    pinned: bool = False
    learning: str = ""
    """The learning of the session, as JSON of the request; empty: none."""

    def check(self, most_rows: int) -> None:
        """Raise InvalidInput for options that are invalid for sessions of any model."""
        check_range("batch_size", self.batch_size, most_rows, setting="CELLAR_MAX_BATCH_SIZE")
        check_range("ttl_s", self.ttl_s, MAX_TTL_S)
        if self.learning:
            check_one_row(self.batch_size)

    def check_with(self, sizes: Sizes, most_numbers: int) -> None:
        """Raise InvalidInput for options that are invalid for sessions of a network of these sizes."""
        check_rows(self.batch_size, sizes, most_numbers)
        kept = most_numbers // max(1, self.batch_size * sizes.state_size)
        for option, value, most in (
            ("history", self.history, min(MAX_HISTORY, kept)),
            ("log", self.log, MAX_LOG),
            ("events", self.events, MAX_EVENTS),
        ):
            check_range(option, value, most, least=0)

    def meta(
        self, version: ModelVersion, kernel_rev: int, now_s: float, alias: Alias | None, learning: str = ""
    ) -> SessionMeta:
        """Return the metadata of a new session, with a fresh random incarnation, which follows the alias if given.

        `learning` is what it learns, as its model says.
        """
        incarnation = random_bytes(EPOCH_BYTES)
        options = self.history, self.log, self.events, self.pinned
        made = SessionMeta(
            version.ref, version.digest, self.batch_size, kernel_rev, self.ttl_s, now_s, incarnation, *options
        )
        if alias is not None:
            made = replace(made, following=Following.of(alias.alias, alias.moved_ms, version.ref))
        return replace(made, learning=learning) if learning else made


def is_as_asked(there: SessionMeta, asked: SessionMeta, model: str) -> bool:
    """Return whether a request with these options would create the existing session.

    A name means any version, and an alias any that it has named.
    """
    name = there.model.partition("@")[0]
    same = [name, there.model] if there.following is None else [there.follows]
    if model not in same:
        return False
    made = replace(asked, model=there.model, model_digest=there.model_digest, kernel_rev=there.kernel_rev)
    made = replace(made, created_s=there.created_s, incarnation=there.incarnation)
    return replace(made, migrated=there.migrated, following=there.following) == there


def new_name(name: str | None) -> str:
    """Return the name of a new session, a random one for None. Raise InvalidInput for an invalid name."""
    if name is None:
        return random_bytes(NAME_BYTES).hex()
    if not is_name(name):
        actual = shown_name(name)
        raise InvalidInput("not a name for a session", pointer="/session", expected=NAME_IN_WORDS, actual=actual)
    return name


def check_rows(rows: int, sizes: Sizes, most_numbers: int) -> None:
    """Raise InvalidInput for more rows than a session of such a network may have."""
    most = most_numbers // max(sizes.out_size, sizes.state_size)
    check_range("batch_size", rows, most, setting="CELLAR_MAX_NUMBERS")


def check_range(name: str, value: int, most: int, *, least: int = 1, setting: str = "") -> None:
    """Raise InvalidInput unless the value is from `least` to `most`, which is a setting if its name is given."""
    if not least <= value <= most:  # of a model that is too large for any session, `most` is 0
        expected, told = f"{least} to {most}", f" ({setting})" if setting else ""
        raise InvalidInput(f"{name} is out of range{told}", pointer=f"/{name}", expected=expected, actual=str(value))
