"""Suggests the known name that is most similar to an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 64
"""Longer names are not compared with the known ones, which are all shorter."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `name`, None if none is similar. Ignore case and separators.

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
    """Return "; did you mean 'x'?" for the most similar known name, or an empty text."""
    found = closest(name, known)
    return f"; did you mean {found!r}?" if found is not None else ""


def plain_name(name: str) -> str:
    """Return a name in lower case and without separators, because frameworks differ in both.

    >>> plain_name("Batch-Size"), plain_name("batchSize")
    ('batchsize', 'batchsize')
    """
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")
