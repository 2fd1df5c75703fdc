"""Converts pydantic's validation errors to Cellar's errors: place, expected and actual value, and a suggestion."""

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
from cellar.errors.suggestions import closest, plain_name
from cellar.wire.json.document import pointer_of
from cellar.wire.numbers.text import NumberText

SHOWN = 60
"""Characters of a wrong value that an answer repeats."""

MOST_COMPARED = 4
"""Unknown members that are compared with a missing one, a millisecond each. An object may have hundreds."""

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
"""Faults of pydantic, in words of JSON."""

ARRAYS = ("list_type", "tuple_type")

JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    NumberText: "a long array of numbers",
    type(None): "null",
}


def shown(value: Any) -> str:
    """Return a value as JSON, cut if it is long; of a container its type alone.

    >>> shown([1, 2]), shown("x"), shown(True)
    ('an array', '"x"', 'true')
    """
    if (name := JSON_TYPES.get(type(value))) is not None:
        return name
    if isinstance(value, str):
        value = value[:SHOWN]
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # an integer of more than 64 bits, or a text that is not Unicode
        text = str(value).encode(errors="replace").decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of pydantic, and its place in the document."""

    found: Mapping[str, Any]
    path: list[str | int]
    kind: Any
    """The type that the document should have; None if it is not known."""

    @property
    def type(self) -> str:
        """Return pydantic's name of the fault."""
        return str(self.found["type"])

    def members(self) -> list[str]:
        """Return the members that the surrounding object may have."""
        return [] if self.kind is None else members_at(self.kind, self.found["loc"][:-1])


def invalid_body(found: Sequence[Mapping[str, Any]], document: Any, kind: Any = None) -> InvalidInput:
    """Return the error at the greatest depth of a document that should have the type `kind`."""
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
    """Return the members that an object would have where there is another value, or ""."""
    if fault.type not in ("model_type", "model_attributes_type") or fault.kind is None:
        return ""
    members = members_at(fault.kind, fault.found["loc"])
    return f" with the members {', '.join(members)}" if members else ""


def _error(path: list[str | int], detail: str, expected: str, actual: str) -> InvalidInput:
    pointer = pointer_of(path)
    return InvalidInput(f"{pointer or 'body'}: {detail}", pointer=pointer, expected=expected, actual=actual)


def _actual(fault: _Fault, document: Any) -> str:
    """Return the value that was sent, from the document: pydantic may have seen a converted one."""
    if fault.found["loc"][-1:] == ("[key]",):
        return shown(fault.found.get("input"))
    value = document
    for part in fault.path:
        value = value[part]
    return shown(value)


def _misnamed(faults: Sequence[_Fault], missing: _Fault) -> str:
    """Return which unknown member of the same object may be the missing one, or ""."""
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
    """Return a suggestion for an unknown member, or ""."""
    if (same := synonym(name, known)) is not None:
        return f"; did you mean `{same}`?"
    if (advice := INSTEAD.get(plain_name(name))) is not None:
        return f"; {advice}"
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
    """Return which other types have a member, or that a surrounding object has it, or ""."""
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
    """Return the error of an object whose `type` is missing or unknown, or of an unknown word in place of an object."""
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
    """Return which type an object without `type` may have, by its members or by an unknown one, or ""."""
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
    """Return the values of `type` in the models of a union; none if they are distinguished in another way."""
    fields = [model.model_fields["type"] for model in models if "type" in model.model_fields]
    return [word for field in fields for word in get_args(field.annotation)]


def _value_hint(sent: Any, known: list[str]) -> str:
    """Return which of the known words is meant, or what to write instead, or ""."""
    if not isinstance(sent, str):
        return ""
    near = meant_value(sent, known)
    return layer_hint(sent, known) or ("" if near is None else f'; did you mean "{near}"?')


def invalid_request(found: Sequence[Mapping[str, Any]], document: Any, kind: Any = None) -> InvalidInput:
    """Return one of FastAPI's validation errors; `kind` is the type that the body should have."""
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
    """Return the parts of pydantic's location that are in the document: a location contains the tags of unions too.

    A tag may also be the name of a member, so of all readings the one that leads deepest is right; one that leads to an
    unknown member ends there. Each part is read once for each value: nested layers would otherwise double the readings
    with every level.
    """
    known: dict[tuple[int, int], list[str | int]] = {}

    def fit(path: list[str | int]) -> tuple[bool, int]:
        """Return how well a path fits the location: whether it ends at it, and its length."""
        ends = kind == "extra_forbidden" and path[-1:] == list(loc[-1:])
        return ends, len(path)

    def read(at: int, value: Any) -> list[str | int]:
        """Return the longest path in `value` for the location from index `at` on."""
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
    if (bound := _length_bound(fault)) is not None:
        return f"expected {bound}, found {fault['ctx']['actual_length'] or 'none'}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _length_bound(fault: Mapping[str, Any]) -> str | None:
    """Return how many items an array or an object may have, None for another fault."""
    for kind, word in (("too_short", "at least"), ("too_long", "at most")):
        if fault["type"] == kind:
            bound = fault["ctx"]["min_length" if kind == "too_short" else "max_length"]
            return f"{word} {bound} item{'' if bound == 1 else 's'}"
    return None


def _word_hint(fault: Mapping[str, Any]) -> str:
    """Return which of the allowed words is meant, or ""."""
    return _value_hint(fault.get("input"), str(fault["ctx"]["expected"]).split("'")[1::2])


def _quotes_hint(fault: Mapping[str, Any]) -> str:
    """Return a hint that a value is right without its quotes, or ""."""
    sent, kind = fault.get("input"), fault["type"]
    number = kind in ("int_type", "float_type") and isinstance(sent, str) and NUMBER.fullmatch(sent)
    flag = kind == "bool_type" and sent in ("true", "false")
    return f": {sent} without quotes" if number or flag else ""


def _expected(fault: Mapping[str, Any]) -> str:
    if fault["type"] in ("literal_error", "enum"):
        return str(fault["ctx"]["expected"])
    if (expected := EXPECTED.get(fault["type"])) is not None:
        return expected
    if (bound := _length_bound(fault)) is not None:
        return bound
    return _message(fault).removeprefix("input should be ").removeprefix("expected ")


@contextmanager
def below(prefix: str, *kinds: type[InvalidInput]) -> Iterator[None]:
    """Prepend `prefix` to pointers of errors, all or those kinds, whose raiser knows only a part of the document."""
    caught = kinds or (InvalidInput,)
    try:
        yield
    except caught as error:
        error.pointer = prefix + error.pointer
        raise
