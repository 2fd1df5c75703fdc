"""What pydantic found wrong, as errors of the tree: where, what was expected, what was sent, and what was meant."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

import orjson

from cellar.api.errors.members import members_at, models_at, places_below, words_at
from cellar.api.errors.synonyms import INSTEAD, layer_hint, meant_value, synonym
from cellar.api.schemas.names import IN_WORDS
from cellar.errors import InvalidInput, InvalidParameter
from cellar.suggestions import closest, plain_name
from cellar.wire.json.document import pointer_of
from cellar.wire.numbers.text import NumberText

SHOWN = 60
"""How much of a wrong value an answer repeats, characters."""

MOST_COMPARED = 4
"""Unknown members that are compared with others where one is missing, a millisecond each: there may be hundreds."""

NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?")

LOCATIONS = ("path", "query", "header")

EXPECTED = {
    "missing": "a value",
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "int_parsing": "an integer",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "an array",
    "tuple_type": "an array",
    "dict_type": "an object",
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
    """Return a value as JSON, cut where it is long; containers by type alone.

    >>> shown([1, 2]), shown("x"), shown(True)
    ('an array', '"x"', 'true')
    """
    if (name := JSON_TYPES.get(type(value))) is not None:
        return name
    if isinstance(value, str):
        value = value[:SHOWN]
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # an integer of more than 64 bits
        text = str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class _Fault:
    """One of pydantic's findings, and where in the document it is."""

    found: Mapping[str, Any]
    path: list[str | int]
    kind: Any
    """What the document was read as; None if that is not known."""

    @property
    def type(self) -> str:
        """Return pydantic's name for it."""
        return str(self.found["type"])

    def members(self) -> list[str]:
        """Return which members the object has whose member this is."""
        return [] if self.kind is None else members_at(self.kind, self.found["loc"][:-1])


def invalid_body(found: Sequence[Mapping[str, Any]], document: Any, kind: Any = None) -> InvalidInput:
    """Return the deepest of pydantic's errors about `document`: of a union's branches, the one that fitted longest.

    `kind` is the type that it was to be.
    """
    faults = [_Fault(each, _real_path(each["loc"], document, each["type"]), kind) for each in found]
    fault = max(faults, key=lambda each: len(each.path))
    if fault.type == "missing":
        return _error(fault.path, f"expected a value{_misnamed(faults, fault)}", "a value", "nothing")
    if fault.type == "extra_forbidden":
        return _unknown_member(fault)
    if fault.type in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_type(fault, document)
    return _error(fault.path, _message(fault.found) + _parts(fault), _expected(fault.found), _actual(fault, document))


def _parts(fault: _Fault) -> str:
    """Return which members an object has where something else stands, or nothing."""
    if fault.type not in ("model_type", "model_attributes_type") or fault.kind is None:
        return ""
    members = members_at(fault.kind, fault.found["loc"])
    return f" with the members {', '.join(members)}" if members else ""


def _error(path: list[str | int], detail: str, expected: str, actual: str) -> InvalidInput:
    pointer = pointer_of(path)
    return InvalidInput(f"{pointer or 'body'}: {detail}", pointer=pointer, expected=expected, actual=actual)


def _actual(fault: _Fault, document: Any) -> str:
    """Return what was sent: pydantic may have been given what was made of it."""
    if fault.found["loc"][-1:] == ("[key]",):
        return shown(fault.found.get("input"))
    value = document
    for part in fault.path:
        value = value[part]
    return shown(value)


def _misnamed(faults: Sequence[_Fault], missing: _Fault) -> str:
    """Return which unknown member beside a missing one may stand for it, and what it means, or nothing."""
    beside = (each for each in faults if each.type == "extra_forbidden" and each.path[:-1] == missing.path[:-1])
    for extra in islice(beside, MOST_COMPARED):
        name = str(extra.path[-1])
        if hint := _member_hint(name, extra.members(), extra):
            return f"; there is no member `{name}`{hint}"
    return ""


def _unknown_member(fault: _Fault) -> InvalidInput:
    name, known = str(fault.path[-1]), fault.members()
    expected = f"one of {', '.join(known)}" if known else "no such member"
    detail = f"there is no such member{_member_hint(name, known, fault)}"
    return _error(fault.path, detail, expected, shown(name))


def _member_hint(name: str, known: list[str], fault: _Fault) -> str:
    """Return what a member that there is not may have meant, or nothing."""
    if (same := synonym(name, known)) is not None:
        return f"; did you mean `{same}`?"
    if (said := INSTEAD.get(plain_name(name))) is not None:
        return f"; {said}"
    if (near := closest(name, known)) is not None:
        return f"; did you mean `{near}`?"
    if fault.kind is None:
        return ""
    loc = fault.found["loc"][:-1]
    below = places_below(fault.kind, loc)
    if (found := synonym(name, list(below))) is not None:
        return f"; did you mean `{below[found]}`?"
    return _elsewhere_hint(name, fault.kind, loc)


def _elsewhere_hint(name: str, kind: Any, loc: Sequence[str | int]) -> str:
    """Return which other types have a member, or that an object further out has it, or nothing."""
    for end in reversed(range(len(loc))):
        models = models_at(kind, loc[:end])
        having = [model for model in models if name in model.model_fields]
        if len(models) == 1 and having:
            return f"; `{name}` stands further out"
        if end == len(loc) - 1 and (types := _types(having)):
            return f'; what has it is of the type "{types[0]}"' if len(types) == 1 else f"; {_listed(types)} have it"
    return ""


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _unknown_type(fault: _Fault, document: Any) -> InvalidInput:
    """Return the error of an object without a type or of none that there is, or of a word that stands for such one."""
    value = document
    for part in fault.path:
        value = value[part]
    known = [] if fault.kind is None else words_at(fault.kind, fault.found["loc"], "type")
    words = f"one of {', '.join(known)}" if known else "a type that there is"
    if isinstance(value, dict) and "type" not in value:
        expected = f"a member `type`: {words}"
        return _error(fault.path, f"expected {expected}{_type_hint(value, fault)}", expected, shown(value))
    if not isinstance(value, dict | str):
        return _error(fault.path, "expected an object", "an object", shown(value))
    path = [*fault.path, "type"] if isinstance(value, dict) else fault.path
    sent = value["type"] if isinstance(value, dict) else value
    return _error(path, f"expected {words}, found {shown(sent)}{_value_hint(sent, known)}", words, shown(sent))


def _type_hint(value: dict[str, Any], fault: _Fault) -> str:
    """Return which type an object without one is of by its members, or by what stands in another, or nothing."""
    models = [] if fault.kind is None else models_at(fault.kind, fault.found["loc"])
    fits = [model for model in models if value and value.keys() <= model.model_fields.keys()]
    if len(fits) == 1:
        return f'; by its members it may be "{_types([fits[0]])[0]}"'
    members = {name for model in models for name in model.model_fields}
    for name in islice((name for name in value if name not in members), MOST_COMPARED):
        if hint := _value_hint(value[name], _types(models)):
            return f"; `{shown(name)[1:-1]}` is called `type` here{hint}"
    return ""


def _types(models: Sequence[Any]) -> list[str]:
    """Return what `type` may be in models of a union, nothing where they are told apart otherwise."""
    fields = [model.model_fields["type"] for model in models if "type" in model.model_fields]
    return [word for field in fields for word in get_args(field.annotation)]


def _value_hint(sent: Any, known: list[str]) -> str:
    """Return which of some words is meant, or what to write instead, or nothing."""
    if not isinstance(sent, str):
        return ""
    near = meant_value(sent, known)
    return layer_hint(sent, known) or ("" if near is None else f'; did you mean "{near}"?')


def invalid_request(found: Sequence[Mapping[str, Any]], document: Any, kind: Any = None) -> InvalidInput:
    """Return one of FastAPI's validation errors, whose locations begin with body, path, query or header.

    `kind` is the type that the body was to be.
    """
    outside = [fault for fault in found if fault["loc"][0] in LOCATIONS]
    if not outside:
        return invalid_body([{**fault, "loc": fault["loc"][1:]} for fault in found], document, kind)
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

    A tag may be the name of a member too, so the reading that leads deepest is the right one; one that leads to an
    unknown member ends there. Each part is read once for each place that it may stand in: layers within layers would
    else have two readings for every level.
    """
    known: dict[tuple[int, int], list[str | int]] = {}

    def fit(path: list[str | int]) -> tuple[bool, int]:
        ends = kind == "extra_forbidden" and path[-1:] == list(loc[-1:])
        return ends, len(path)

    def read(at: int, value: Any) -> list[str | int]:
        if at == len(loc):
            return []
        if (at, id(value)) not in known:
            part, without = loc[at], read(at + 1, value)
            in_object = isinstance(value, dict) and part in value
            in_array = isinstance(value, list) and isinstance(part, int) and part < len(value)
            if in_object or in_array:
                found = max([part, *read(at + 1, value[part])], without, key=fit)
            else:
                found = [part] if kind == "missing" and at + 1 == len(loc) else without
            known[at, id(value)] = found
        return known[at, id(value)]

    return read(0, document)


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] in ARRAYS and isinstance(fault.get("input"), NumberText):
        return "expected a shorter array"
    if fault["type"] == "string_pattern_mismatch" and fault["ctx"]["pattern"] in IN_WORDS:
        return f"expected {IN_WORDS[fault['ctx']['pattern']]}"
    if fault["type"] in ("literal_error", "enum"):
        return f"expected {fault['ctx']['expected']}{_word_hint(fault)}"
    if (expected := EXPECTED.get(fault["type"])) is not None:
        return f"expected {expected}{_quotes_hint(fault)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _word_hint(fault: Mapping[str, Any]) -> str:
    """Return which of the words that a value may be is meant, or nothing."""
    return _value_hint(fault.get("input"), str(fault["ctx"]["expected"]).split("'")[1::2])


def _quotes_hint(fault: Mapping[str, Any]) -> str:
    """Return that a value which is right but for its quotes has none, or nothing."""
    sent, kind = fault.get("input"), fault["type"]
    number = kind in ("int_type", "float_type") and isinstance(sent, str) and NUMBER.fullmatch(sent)
    flag = kind == "bool_type" and sent in ("true", "false")
    return f": {sent} without quotes" if number or flag else ""


def _expected(fault: Mapping[str, Any]) -> str:
    if fault["type"] in ("literal_error", "enum"):
        return str(fault["ctx"]["expected"])
    if (expected := EXPECTED.get(fault["type"])) is not None:
        return expected
    return _message(fault).removeprefix("input should be ").removeprefix("expected ")


@contextmanager
def below(prefix: str, kind: type[InvalidInput] = InvalidInput) -> Iterator[None]:
    """Make pointers of errors begin with `prefix`, where the raiser does not know the document around its part."""
    try:
        yield
    except kind as error:
        error.pointer = prefix + error.pointer
        raise
