"""What pydantic found wrong, as errors of the tree: a JSON pointer, what was expected and what was there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cellar.api.schemas.names import IN_WORDS
from cellar.errors import InvalidInput, InvalidParameter
from cellar.wire.document import pointer_of
from cellar.wire.number_text import NumberText

SHOWN = 60
"""How much of a wrong value an answer repeats, characters."""

LOCATIONS = ("path", "query", "header")

EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "no such member",
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "tuple_type": "an array",
    "dict_type": "an object",
    "union_tag_not_found": "a member `type`",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
"""pydantic's words for a fault, in the words of JSON."""

ARRAYS = ("list_type", "tuple_type")

JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    NumberText: "a long array of numbers",
    type(None): "null",
}


def shown(value: Any) -> str:
    """Return a short JSON-like picture of a value; containers by type alone.

    >>> shown([1, 2]), shown("x"), shown(True)
    ('an array', '"x"', 'true')
    """
    if (name := JSON_TYPES.get(type(value))) is not None:
        return name
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def invalid_body(found: Sequence[Mapping[str, Any]], document: Any) -> InvalidInput:
    """Return the deepest of pydantic's errors about `document`: of a union's branches, the one that fitted longest."""
    paths = [_real_path(fault["loc"], document, fault["type"]) for fault in found]
    path, fault = max(zip(paths, found, strict=True), key=lambda pair: len(pair[0]))
    pointer = pointer_of(path)
    return InvalidInput(
        f"{pointer or 'body'}: {_message(fault)}",
        pointer=pointer,
        expected=_expected(fault),
        actual="nothing" if fault["type"] == "missing" else shown(fault.get("input")),
    )


def invalid_request(found: Sequence[Mapping[str, Any]], document: Any) -> InvalidInput:
    """Return one of FastAPI's validation errors, whose locations begin with body, path, query or header."""
    outside = [fault for fault in found if fault["loc"][0] in LOCATIONS]
    if not outside:
        return invalid_body([{**fault, "loc": fault["loc"][1:]} for fault in found], document)
    location, parameter = (str(part) for part in outside[0]["loc"][:2])
    return InvalidParameter(
        f"{location} parameter {parameter}: {_message(outside[0])}",
        location=location,
        parameter=parameter,
        expected=_expected(outside[0]),
        actual=shown(outside[0].get("input")),
    )


def _real_path(loc: Sequence[str | int], document: Any, kind: str) -> list[str | int]:
    """Return the parts of pydantic's location that are in the document: it mixes in the tags of unions.

    A tag may be the name of a member too, so the reading that leads deepest is the right one. Each part is read once
    for each place that it may stand in: layers within layers would else have two readings for every level.
    """
    known: dict[tuple[int, int], list[str | int]] = {}

    def read(at: int, value: Any) -> list[str | int]:
        if at == len(loc):
            return []
        if (at, id(value)) not in known:
            part, without = loc[at], read(at + 1, value)
            in_object = isinstance(value, dict) and part in value
            in_array = isinstance(value, list) and isinstance(part, int) and part < len(value)
            if in_object or in_array:
                found = max([part, *read(at + 1, value[part])], without, key=len)
            else:
                found = [part] if kind == "missing" and at + 1 == len(loc) else without
            known[at, id(value)] = found
        return known[at, id(value)]

    return read(0, document)


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "union_tag_invalid":
        return f"expected one of {fault['ctx']['expected_tags']}"
    if fault["type"] in ARRAYS and isinstance(fault.get("input"), NumberText):
        return "expected a shorter array"
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] in IN_WORDS:
        return f"expected {IN_WORDS[fault['ctx']['pattern']]}"
    if (expected := EXPECTED.get(fault["type"])) is not None:
        return f"expected {expected}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _expected(fault: Mapping[str, Any]) -> str:
    return _message(fault).removeprefix("input should be ").removeprefix("expected ")


@contextmanager
def below(prefix: str, kind: type[InvalidInput] = InvalidInput) -> Iterator[None]:
    """Make pointers of errors begin with `prefix`, where the raiser does not know the document around its part."""
    try:
        yield
    except kind as error:
        error.pointer = prefix + error.pointer
        raise
