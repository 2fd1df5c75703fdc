"""The keys of an installation by what they hold: sessions, catalogue, blobs, and those that follow from others."""

import re
from collections.abc import Iterable

from cellar.ports import SessionKey
from cellar.store.keys import SessionKeys

BLOB = re.compile(rb"\{blob/[0-9a-f]{64}\}")

SESSION = re.compile(rb"\{([^/{}]+)/([^{}]*)\}")

CATALOGUE = re.compile(rb"\{(models|jobs|keys|datasets|deletions)\}")

DERIVED_SESSION_KEY = re.compile(rb":(c|d:.*)$", re.DOTALL)
"""Marks of a session that live for seconds."""


def tag_of(key: bytes) -> bytes | None:
    """Return the hash tag of a key with its braces, None for keys without one.

    Keys without a tag list the others, or coordinate processes: all of them are made again.

    >>> tag_of(b"cellar:{default/abc}:l"), tag_of(b"cellar:{models}:default:newest"), tag_of(b"cellar:sweep")
    (b'{default/abc}', b'{models}', None)
    """
    begin = key.find(b"{")
    end = key.find(b"}", begin)
    return key[begin : end + 1] if begin >= 0 and end > begin else None


def is_blob(tag: bytes) -> bool:
    """Return whether a hash tag is that of a blob."""
    return BLOB.fullmatch(tag) is not None


def is_catalogue(tag: bytes) -> bool:
    """Return whether a hash tag is that of models, jobs, API keys, datasets or deletions."""
    return CATALOGUE.fullmatch(tag) is not None


def session_of(tag: bytes) -> SessionKey | None:
    """Return the session of a hash tag, None for the tag of another thing.

    >>> session_of(b"{default/a%7Db}")
    SessionKey(tenant='default', session='a}b')
    """
    found = SESSION.fullmatch(tag)
    if found is None or is_blob(tag):
        return None
    name = found[2].replace(b"%7D", b"}").replace(b"%25", b"%")
    return SessionKey(found[1].decode(), name.decode())


def is_kept(key: bytes) -> bool:
    """Return whether a key is part of a backup as a key: not a blob, and nothing that follows from others."""
    tag = tag_of(key)
    return (
        tag is not None
        and not is_blob(tag)
        and not (session_of(tag) and DERIVED_SESSION_KEY.search(key.split(tag, 1)[1]))
    )


def counted_as(rest: bytes) -> str | None:
    """Return which number in the report of a backup counts a key without its prefix, None for none.

    >>> counted_as(b"{default/abc}"), counted_as(b"{default/abc}:l"), counted_as(b"{models}:default:newest")
    ('sessions', None, 'catalogue_keys')
    """
    tag = tag_of(rest)
    if tag is None or session_of(tag) is None:
        return "catalogue_keys"
    return "sessions" if rest == tag else None


def listing(keys: SessionKeys, restored: Iterable[bytes], prefix: bytes) -> list[tuple[bytes | str, ...]]:
    """Return the commands that list the sessions among keys that were written, and those that have a shadow."""
    commands: list[tuple[bytes | str, ...]] = []
    for key in restored:
        tag = tag_of(key)
        session = None if tag is None else session_of(tag)
        if session is None or tag is None:
            continue
        rest = key[len(prefix) + 1 :]
        name = session.session.encode()
        if rest == tag:
            commands.append(("ZADD", keys.bucket_of(session), "0", name))
        elif rest == tag + b":x":
            commands.append(("SADD", keys.shadows(session.tenant), name))
    return commands
