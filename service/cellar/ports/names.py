"""Patterns of the names of sessions, models and aliases, in paths, Redis keys and frames.

`.` and `..` are no names: clients and proxies remove them from paths, so nothing with such a name could be reached.
Names of sessions may have colons, because addresses of devices have them; in Redis keys they stand between braces.
"""

MOST_NAME_CHARACTERS = 128


def _names_of(characters: str) -> str:
    """Return the regular expression of names of these characters and dots; `.` and `..` do not match."""
    any_of, no_dot = f"[{characters}.-]", f"[{characters}-]"
    return rf"(?:{any_of}{{3,{MOST_NAME_CHARACTERS}}}|{no_dot}\.|{any_of}?{no_dot})"


NAME = _names_of("A-Za-z0-9_:")
"""Names of sessions, snapshots and writers, as a regular expression for `fullmatch`."""

MODEL_NAME = _names_of("A-Za-z0-9_")
"""Names of models and jobs."""

ALIAS = "[A-Za-z_][A-Za-z0-9_.-]{0,63}"
"""Names of aliases of versions. They do not begin with a digit, so that `co2@3` always names a version."""

MODEL_REFERENCE = f"({MODEL_NAME})(?:@(?:([1-9][0-9]{{0,8}})|({ALIAS})))?"
"""References to models: `co2` the newest version, `co2@3` one version, `co2@live` the version of an alias."""

NAME_IN_WORDS = f"1 to {MOST_NAME_CHARACTERS} letters, digits, dots, hyphens, underscores or colons, and not . or .."
ALIAS_IN_WORDS = "a letter or underscore and up to 63 more letters, digits, dots, hyphens or underscores"
MODEL_NAME_IN_WORDS = NAME_IN_WORDS.replace(", underscores or colons", " or underscores")
