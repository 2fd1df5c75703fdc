"""Long documents: as short ones, but with the text of their arrays of numbers, and little besides."""

import json
from typing import Any

import orjson
import pytest

from cellar.errors import BodyTooLarge, InvalidInput, MalformedJson, NotFinite
from cellar.wire.json.document import SHORT_BYTES, decode
from cellar.wire.json.long_document import MOST_OTHER_BYTES
from cellar.wire.numbers.numbers import parse_array
from cellar.wire.numbers.text import NumberText

LONG = ", ".join(str(number) for number in range(20_000))
"""The numbers of an array that alone makes a document long."""


def listed(value: Any) -> Any:
    """Return a document with lists where it has texts."""
    if isinstance(value, NumberText):
        return value.as_list()
    if isinstance(value, dict):
        return {name: listed(each) for name, each in value.items()}
    return [listed(each) for each in value] if isinstance(value, list) else value


DOCUMENTS = [
    f'{{"a": [{LONG}]}}',
    f'{{"a": [[{LONG}], [{LONG}]], "b": {{"c": "[1, 2", "d": [{LONG}]}}, "e": [1, 2, "x"]}}',
    f"[[{LONG}]]",
    f'{{"a\\"[1": "\\\\", "b": [\n [ {LONG} ]\n, [1]], "c": [true, null, {{"d": [-1e-3, 2E+5]}}]}}',
    f'{{"ä€𝄞": [{LONG}], "b": "𝄞"}}',
    json.dumps({"a": list(range(20_000)), "b": {"c": [list(range(3000))] * 3}}, indent=4),
    f'{{"a": [{LONG}], "b": {json.dumps("x" * 100_000)}}}',
]


@pytest.mark.parametrize("text", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_it_is_the_document_that_it_is(text: str) -> None:
    body = text.encode()
    assert len(body) > SHORT_BYTES
    assert listed(decode(body)) == json.loads(body)


def test_long_arrays_stay_text() -> None:
    found = decode(f'{{"a": [{LONG}], "b": [1]}}'.encode())
    assert isinstance(found["a"], NumberText)
    assert found["b"] == [1]


MALFORMED = [
    f'{{"a": [{LONG}], "b": nope}}',
    f'{{"a": [{LONG}]',
    f'{{"a": [{LONG}',
    f'{{"a": [{LONG}]]}}',
    f'{{"a": [{LONG}]}} "b"',
    f"{{[{LONG}]: 1}}",
    f'{{"a": [{LONG}] [1]}}',
    f'{{"a": [{LONG}], "b": "',
    "[" * 100_000,
    '{"a":' * 20_000,
    f"{{'a': [{LONG}]}}",
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(MalformedJson):
        decode(text.encode())


def test_the_place_of_a_fault_is_that_in_the_body() -> None:
    text = f'{{"ä": [{LONG}],\n "b": [{LONG}], nope}}'
    with pytest.raises(MalformedJson) as caught:
        decode(text.encode())
    assert text[caught.value.offset :].startswith("nope")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("fault", "kind", "actual"),
    [
        ("null", InvalidInput, "null"),
        ('"1"', InvalidInput, "a string"),
        ('"[\\"]]"', InvalidInput, "a string"),
        ("true", InvalidInput, "true"),
        ('{"a": [1]}', InvalidInput, "an object"),
        ("NaN", NotFinite, "NaN"),
        ("-Infinity", NotFinite, "-Infinity"),
    ],
)
def test_what_is_no_number_is_found_in_a_long_array(fault: str, kind: type[InvalidInput], actual: str) -> None:
    found = decode(f'{{"id": 7, "a": [[{LONG}], [1, {fault}, {LONG}]], "b": "c"}}'.encode())
    assert (found["id"], found["b"]) == (7, "c")
    with pytest.raises(kind) as caught:
        parse_array(found["a"], pointer="/a", ndim=2)
    assert (caught.value.pointer, caught.value.actual) == ("/a/1/1", actual)


@pytest.mark.parametrize("value", ["{}", "true", '"ab"', '{"a": 1}', '""', "[null]"])
def test_a_document_has_little_besides_numbers(value: str) -> None:
    many = ",".join((MOST_OTHER_BYTES // len(value)) * [value])
    for text in (f"[{many}]", f'{{"a": [{LONG}], "b": [{many}]}}'):
        with pytest.raises(BodyTooLarge):
            decode(text.encode())


@pytest.mark.parametrize(
    "text", ['"' + "x" * 2 * MOST_OTHER_BYTES + '"', 2 * MOST_OTHER_BYTES * " ", '{"' + 600_000 * '\\"']
)
def test_nor_long_texts(text: str) -> None:
    with pytest.raises(BodyTooLarge):
        decode(text.encode())


@pytest.mark.parametrize("indent", ["\n  ", "  ", "\t\n"])
def test_white_space_after_the_first_bracket_is_no_fault(indent: str) -> None:
    values = ",".join(3000 * ["1"])
    for text in (f"[{indent}{values}]", f'{{{indent}"a":[{values}]}}'):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)  # else what is done about it can go
        assert decode(text.encode()) == json.loads(text)
