"""Names of sessions, writers, snapshots, models and aliases: which texts they may be.

`.` and `..` are no names: clients and proxies remove them from paths, so nothing with such a name could be reached.
Sessions and writers have the names of their devices, which may be any text without control characters and without the
line separators U+2028 and U+2029: a name is always a part of one line of a log. Names are compared by their bytes in
UTF-8, without Unicode normalisation. Names of models, jobs and snapshots are plain ASCII.
"""

import re

MOST_NAME_BYTES = 256
"""Most bytes of the name of a session or a writer in UTF-8."""

MOST_PLAIN_CHARACTERS = 128
"""Most characters of the name of a model, a job or a snapshot."""


def names_of(any_character: str, no_dot: str, most: int) -> str:
    """Return the regular expression of names with up to `most` characters, which are not `.` or `..`.

    `any_character` and `no_dot` match one character, the second one every character but the dot.
    """
    return rf"(?:{any_character}{{3,{most}}}|{no_dot}\.|{any_character}?{no_dot})"


_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"

NAME_CHARACTER = f"[^{_CONTROL}]"
"""A character of the name of a session or a writer, as a regular expression."""

NAME = names_of(NAME_CHARACTER, f"[^{_CONTROL}.]", MOST_NAME_BYTES)
"""Names of sessions and writers, as a regular expression; it does not know how many bytes a character has."""

SNAPSHOT_NAME = names_of("[A-Za-z0-9_:.-]", "[A-Za-z0-9_:-]", MOST_PLAIN_CHARACTERS)
"""Names of snapshots, as a regular expression for `fullmatch`."""

MODEL_NAME = names_of("[A-Za-z0-9_.-]", "[A-Za-z0-9_-]", MOST_PLAIN_CHARACTERS)
"""Names of models and jobs."""

ALIAS = "[A-Za-z_][A-Za-z0-9_.-]{0,63}"
"""Names of aliases of versions. They do not begin with a digit, so that `co2@3` always names a version."""

MODEL_REFERENCE = f"({MODEL_NAME})(?:@(?:([1-9][0-9]{{0,8}})|({ALIAS})))?"
"""References to models: `co2` the newest version, `co2@3` one version, `co2@live` the version of an alias."""

TENANT = "[a-z0-9][a-z0-9-]{0,62}"
"""Names of tenants."""

TENANT_IN_WORDS = "a lower-case letter or digit and up to 62 more, or hyphens"
NAME_IN_WORDS = f"1 to {MOST_NAME_BYTES} bytes of UTF-8 without control characters or line separators, and not . or .."
ALIAS_IN_WORDS = "a letter or underscore and up to 63 more letters, digits, dots, hyphens or underscores"
SNAPSHOT_NAME_IN_WORDS = (
    f"1 to {MOST_PLAIN_CHARACTERS} letters, digits, dots, hyphens, underscores or colons, and not . or .."
)
MODEL_NAME_IN_WORDS = SNAPSHOT_NAME_IN_WORDS.replace(", underscores or colons", " or underscores")

_PLAIN = re.compile(names_of("[A-Za-z0-9_:.-]", "[A-Za-z0-9_:-]", MOST_NAME_BYTES)).fullmatch
_NAME = re.compile(NAME).fullmatch
_PREFIX = re.compile(f"{NAME_CHARACTER}{{0,{MOST_NAME_BYTES}}}").fullmatch


def is_name(text: str) -> bool:
    """Return whether a session or a writer may have this name.

    >>> is_name("aa:bb:cc:dd:ee:ff"), is_name("site/1/température"), is_name(".."), is_name("a\\n")
    (True, True, False, False)
    """
    return _PLAIN(text) is not None or (_NAME(text) is not None and _is_short(text))


def is_prefix(text: str) -> bool:
    """Return whether the name of a session may begin with this text."""
    return _PREFIX(text) is not None and _is_short(text)


def shown_name(text: str) -> str:
    """Return the beginning of a text that is not a name, for an error. Bytes that are not UTF-8 are replaced by `?`."""
    return text[:64].encode(errors="replace").decode()


def _is_short(text: str) -> bool:
    try:
        return len(text.encode()) <= MOST_NAME_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
