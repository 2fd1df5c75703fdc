"""What things may be called: everything that stands in a path, a Redis key or a frame.

No name is `.` or `..`: clients and proxies take those out of paths, and nothing that is called so could be reached.
Names of sessions may have colons, as the addresses of devices have; in Redis keys they stand between braces.
"""

MOST_NAME_CHARACTERS = 128


def _names_of(characters: str) -> str:
    """Return the expression of names of these characters, and of dots that are not all of a short one."""
    any_of, no_dot = f"[{characters}.-]", f"[{characters}-]"
    return rf"(?:{any_of}{{3,{MOST_NAME_CHARACTERS}}}|{no_dot}\.|{any_of}?{no_dot})"


NAME = _names_of("A-Za-z0-9_:")
"""Of sessions, snapshots and writers, as a regular expression for `fullmatch`."""

MODEL_NAME = _names_of("A-Za-z0-9_")
"""Of models and jobs."""

NAME_IN_WORDS = f"1 to {MOST_NAME_CHARACTERS} letters, digits, dots, hyphens, underscores or colons, and not . or .."
MODEL_NAME_IN_WORDS = NAME_IN_WORDS.replace(", underscores or colons", " or underscores")
