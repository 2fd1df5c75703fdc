"""pydantic's findings as pointers."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from cellar.api.errors.validation_errors import below, invalid_body
from cellar.api.http.body import validated
from cellar.api.http.parameters import CURSOR_PATTERN
from cellar.api.schemas.names import IN_WORDS
from cellar.errors import InvalidInput, ShapeMismatch
from cellar.nn.spec.base import Frozen
from tests.api.conftest import DOCUMENT


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
    pair: list[float] = Field(default_factory=list, min_length=2, max_length=2)


BAD: list[tuple[object, str, str | None, str]] = [
    ([], "", "an object", "an array"),
    (None, "", "an object", "null"),
    ({}, "/name", "a value", "nothing"),
    ({"name": 1}, "/name", "a string", "1"),
    ({"name": "x", "nmae": 1}, "/nmae", "one of name, layers, flag, rate, pair", '"nmae"'),
    ({"nmae": 1}, "/name", "a value", "nothing"),
    ({"quagga": 1}, "/name", "a value", "nothing"),
    ({"name": "x", "a/b~c": 1}, "/a~1b~0c", "one of name, layers, flag, rate, pair", '"a/b~c"'),
    ({"name": "x", "flag": 1}, "/flag", "true or false", "1"),
    ({"name": "x", "rate": "1.5"}, "/rate", "a number", '"1.5"'),
    ({"name": "x", "rate": True}, "/rate", "a number", "true"),
    ({"name": "x", "layers": {}}, "/layers", "an array", "an object"),
    ({"name": "x", "pair": [1, 2, 3]}, "/pair", "at most 2 items", "an array"),
    ({"name": "x", "layers": [{"type": "right", "width": 0}]}, "/layers/0/width", "greater than or equal to 1", "0"),
    ({"name": "x", "layers": [{"type": "right", "width": True}]}, "/layers/0/width", "an integer", "true"),
    ({"name": "x", "layers": [{"type": "right", "width": 1.5}]}, "/layers/0/width", "an integer", "1.5"),
    (
        {"name": "x", "layers": [{"type": "left", "cell": {"size": 2}}]},
        "/layers/0/cell/equations",
        "a value",
        "nothing",
    ),
    (
        {"name": "x", "layers": [{"type": "right", "width": 1}, {}]},
        "/layers/1",
        "a member `type`: one of left, right",
        "an object",
    ),
    ({"name": "x", "layers": [{"type": "RIGHT"}]}, "/layers/0/type", "one of left, right", '"RIGHT"'),
    ({"name": "x", "layers": [{"type": 3}]}, "/layers/0/type", "one of left, right", "3"),
    ({"name": "x", "layers": [{"type": ["right"]}]}, "/layers/0/type", "one of left, right", "an array"),
    ({"name": "x", "layers": ["right"]}, "/layers/0", "an object", '"right"'),
    (
        {"name": "x", "layers": [{"type": "right", "width": 1, "wdth": 1}]},
        "/layers/0/wdth",
        "one of type, width",
        '"wdth"',
    ),
    (
        {"name": "x", "layers": [{"type": "left", "cell": {"equations": "", "formula": 2}}]},
        "/layers/0/cell/formula",
        "one of equations, size",
        '"formula"',
    ),
]


@pytest.mark.parametrize(("document", "pointer", "expected", "actual"), BAD)
def test_faults_have_their_place(document: object, pointer: str, expected: str | None, actual: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(Document, document)
    assert caught.value.pointer == pointer
    assert expected is None or caught.value.expected == expected
    assert caught.value.actual == actual


HINTS: list[tuple[object, str]] = [
    ({"nmae": 1}, "expected a value; there is no member `nmae`; did you mean `name`?"),
    ({"quagga": 1}, "expected a value"),
    ({"name": "x", "nmae": 1}, "there is no such member; did you mean `name`?"),
    ({"name": "x", "width": 1}, "there is no such member; did you mean `layers[].width`?"),
    ({"name": "x", "quagga": 1}, "there is no such member"),
    (
        {"name": "x", "layers": [{"type": "right", "width": 1, "flag": 1}]},
        "there is no such member; `flag` stands further out",
    ),
    ({"name": "x", "layers": [{"type": "rigth"}]}, 'expected one of left, right, found "rigth"; did you mean "right"?'),
    ({"name": "x", "rate": "1.5"}, "expected a number: 1.5 without quotes"),
    ({"name": "x", "rate": "fast"}, "expected a number"),
    ({"name": "x", "flag": "true"}, "expected true or false: true without quotes"),
    ({"name": "x", "pair": []}, "expected at least 2 items, found none"),
]


@pytest.mark.parametrize(("document", "detail"), HINTS)
def test_faults_say_what_was_meant(document: object, detail: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(Document, document)
    assert caught.value.detail == f"{caught.value.pointer}: {detail}"


def test_an_integer_of_any_length_is_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        validated(Document, {"name": 2**70})
    assert caught.value.actual == str(2**70)


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


def test_of_many_unknown_members_few_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def closest(name: str, known: list[str]) -> None:
        nonlocal compared
        compared += 1

    monkeypatch.setattr("cellar.api.errors.validation_errors.closest", closest)
    with pytest.raises(InvalidInput) as caught:
        validated(Document, {f"quagga{number}": 1 for number in range(500)})
    assert caught.value.detail == "/name: expected a value"
    assert 0 < compared <= 10


def patterns(part: Any) -> set[str]:
    """Return the regular expressions in a part of the OpenAPI document."""
    if isinstance(part, list):
        return {each for inner in part for each in patterns(inner)}
    if not isinstance(part, dict):
        return set()
    own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
    return own | {each for inner in part.values() for each in patterns(inner)}


def test_every_pattern_of_a_request_is_said_in_words() -> None:
    found = patterns(DOCUMENT)
    assert len(found) > 3
    assert found - {CURSOR_PATTERN} <= IN_WORDS.keys()  # the store says itself what a cursor is
