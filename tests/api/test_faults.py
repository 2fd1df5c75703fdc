"""pydantic's findings as pointers."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from cellar.api.body import validated
from cellar.api.faults import below, invalid_body
from cellar.errors import InvalidInput, ShapeMismatch
from cellar.nn.spec import Frozen


class Own(Frozen):
    """A branch of a union."""

    equations: str
    size: int = 1


class Left(Frozen):
    """A layer."""

    type: Literal["left"]
    cell: str | Own


class Right(Frozen):
    """Another layer."""

    type: Literal["right"]
    width: int = Field(ge=1)


class Document(Frozen):
    """A body."""

    name: str
    layers: list[Annotated[Left | Right, Field(discriminator="type")]] = Field(default_factory=list)
    flag: bool = False
    rate: float = 1.0


BAD: list[tuple[object, str, str | None, str]] = [
    ([], "", "an object", "an array"),
    (None, "", "an object", "null"),
    ({}, "/name", "a value", "nothing"),
    ({"name": 1}, "/name", "a string", "1"),
    ({"name": "x", "nmae": 1}, "/nmae", "no such member", "1"),
    ({"name": "x", "a/b~c": 1}, "/a~1b~0c", "no such member", "1"),
    ({"name": "x", "flag": 1}, "/flag", "true or false", "1"),
    ({"name": "x", "rate": "1.5"}, "/rate", "a number", '"1.5"'),
    ({"name": "x", "rate": True}, "/rate", "a number", "true"),
    ({"name": "x", "layers": {}}, "/layers", "an array", "an object"),
    ({"name": "x", "layers": [{"type": "right", "width": 0}]}, "/layers/0/width", "greater than or equal to 1", "0"),
    ({"name": "x", "layers": [{"type": "right", "width": True}]}, "/layers/0/width", "an integer", "true"),
    ({"name": "x", "layers": [{"type": "right", "width": 1.5}]}, "/layers/0/width", "an integer", "1.5"),
    (
        {"name": "x", "layers": [{"type": "left", "cell": {"size": 2}}]},
        "/layers/0/cell/equations",
        "a value",
        "nothing",
    ),
    ({"name": "x", "layers": [{"type": "right", "width": 1}, {}]}, "/layers/1", None, "an object"),
]


@pytest.mark.parametrize(("document", "pointer", "expected", "actual"), BAD)
def test_faults_have_their_place(document: object, pointer: str, expected: str | None, actual: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(Document, document)
    assert caught.value.pointer == pointer
    assert expected is None or caught.value.expected == expected
    assert caught.value.actual == actual


def test_a_long_value_is_cut() -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(Document, {"name": "x", "rate": "y" * 10_000})
    assert caught.value.actual is not None
    assert len(caught.value.actual) == 60


def test_below_moves_the_pointers_of_errors() -> None:
    with pytest.raises(ShapeMismatch) as caught, below("/network"):
        raise ShapeMismatch("wrong", pointer="/layers/0")
    assert caught.value.pointer == "/network/layers/0"


def test_faults_in_layers_within_each_other_are_found_in_no_time() -> None:
    """Every level has a tag that is no member, and so two readings."""
    document: Any = {"width": 0}
    for _ in range(60):
        document = {"layers": [document]}
    fault = {"loc": (*("layers", 0, "left") * 60, "width"), "type": "x", "msg": "Wrong", "input": 0}
    assert invalid_body([fault], document).pointer == "/layers/0" * 60 + "/width"
