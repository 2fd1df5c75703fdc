"""The document's schemas in words that generators of clients understand."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from cellar.api.specs.client_schemas import for_clients
from tests.api.conftest import DOCUMENT


class Example(BaseModel):
    """Members of every kind."""

    kind: Literal["example"] = "example"
    name: str
    count: int = Field(1, description="How many.")
    word: str = "two"
    flag: bool = False
    note: str | None = None
    pair: tuple[int, int]
    mixed: tuple[int, str]


MADE: dict[str, Any] = for_clients(Example.model_json_schema())


def test_members_without_a_default_and_those_that_say_the_kind_are_required() -> None:
    assert MADE["required"] == ["name", "pair", "mixed", "kind"]


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("count", "How many. Default: 1."),
        ("word", "Default: two."),
        ("flag", "Default: false."),
        ("note", None),
        ("kind", None),
    ],
)
def test_defaults_stand_in_descriptions(name: str, description: str | None) -> None:
    assert "default" not in MADE["properties"][name]
    assert MADE["properties"][name].get("description") == description


def test_arrays_of_one_kind_have_items() -> None:
    pair, mixed = MADE["properties"]["pair"], MADE["properties"]["mixed"]
    assert pair["items"] == {"type": "integer"}
    assert (pair["minItems"], pair["maxItems"]) == (2, 2)
    assert "prefixItems" not in pair
    assert len(mixed["prefixItems"]) == 2


def test_parameters_are_not_null_and_keep_their_defaults() -> None:
    made = for_clients(
        {"name": "x", "in": "query", "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": "a"}}
    )
    assert made["schema"] == {"type": "string", "default": "a"}


def test_a_body_has_no_member_that_generators_take_for_one_that_must_be_sent() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["StepRequest"]["required"] == ["input"]
    assert schemas["SessionRequest"]["required"] == ["model"]
    assert not any("default" in member for each in schemas.values() for member in each.get("properties", {}).values())
