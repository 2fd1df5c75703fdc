"""Which known name was meant by one that is unknown."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 64
"""Characters of a name that is compared with others; no known name is longer."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to `name`, None if none is near; case and separators count least.

    >>> closest("learningRate", ["learning_rate", "momentum"]), closest("hiden", ["in", "hidden"])
    ('learning_rate', 'hidden')
    """
    if len(name) > LONGEST:
        return None
    names = list(known)
    exact = get_close_matches(name, names, n=1)
    plain: dict[str, str] = {}
    for each in names:
        plain.setdefault(plain_name(each), each)
    if (found := plain.get(plain_name(name))) is not None:
        return found
    near = get_close_matches(plain_name(name), plain, n=1)
    return exact[0] if exact else plain[near[0]] if near else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name that is nearest, or nothing."""
    found = closest(name, known)
    return f"; did you mean {found!r}?" if found is not None else ""


def plain_name(name: str) -> str:
    """Return a name without case and separators, in which frameworks differ.

    >>> plain_name("Batch-Size"), plain_name("batchSize")
    ('batchsize', 'batchsize')
    """
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")
