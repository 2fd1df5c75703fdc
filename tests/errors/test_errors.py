"""The tree of errors, as drawn and as it is."""

import re

from cellar import errors


def drawn() -> dict[str, str]:
    """Return the parent of every class, by name, as the picture at the top of the module has it."""
    parents: dict[str, str] = {}
    above = ["CellarError"]
    for indent, name in re.findall(r"^    ((?:[│ ]   )*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4 + 1
        parents[name] = above[depth - 1]
        above[depth:] = [name]
    return parents


def real(parent: type[errors.CellarError] = errors.CellarError) -> dict[str, str]:
    """Return the parent of every class below one, by name."""
    found: dict[str, str] = {}
    for kind in parent.__subclasses__():
        found |= {kind.__name__: parent.__name__, **real(kind)}
    return found


def test_the_picture_is_the_tree() -> None:
    assert len(drawn()) > 30
    assert drawn() == real()


def test_an_error_tells_the_members_that_are_known() -> None:
    error = errors.ShapeMismatch("too long", pointer="/input", expected="2 elements")
    assert (str(error), error.fields()) == ("too long", {"pointer": "/input", "expected": "2 elements"})
    overlap = errors.Overlap("in the middle", position="a.1.b", boundaries=(1, 4))
    assert overlap.fields() == {"position": "a.1.b", "boundaries": (1, 4)}
