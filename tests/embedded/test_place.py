"""The place of an api process, as an argument."""

import pytest

from cellar.embedded.place import Place
from cellar.errors import StartupError


@pytest.mark.parametrize(
    ("place", "descriptors"),
    [
        (Place(parent=1, slot=0, slots=1, listeners=[3], control=4), [3, 4]),
        (Place(1, 1, 2, [3, 4], 5, 6, ["/run/0.sock", "/run/1.sock"]), [3, 4, 5, 6]),
    ],
)
def test_an_argument_says_it_all(place: Place, descriptors: list[int]) -> None:
    assert Place.of(place.to_argument()) == place
    assert place.descriptors == descriptors


@pytest.mark.parametrize("argument", ["", "3", "{}", '{"slot": 0}', '{"nothing": 1}', "[1]"])
def test_another_argument_is_refused(argument: str) -> None:
    with pytest.raises(StartupError, match="started by `cellar serve`"):
        Place.of(argument)
