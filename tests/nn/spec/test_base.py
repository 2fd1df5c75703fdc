"""Integers of specifications may be written as 7.0, at every depth."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from cellar.nn.spec.base import Frozen, Positive


class Tree(Frozen):
    """A model inside itself."""

    size: Positive
    parts: list[Tree] = Field(default_factory=list)


class Checked(Frozen):
    """A model with a check of its own."""

    size: int

    @model_validator(mode="before")
    @classmethod
    def _check(cls, value: Any) -> Any:
        return value


class Other(BaseModel):
    """A model of another base class."""

    size: int


class Whole(Frozen):
    """A model with all of them."""

    tree: Tree
    checked: Checked | None
    others: dict[str, Other | int]


def test_integers_may_have_a_fraction_of_zero_at_every_depth() -> None:
    parts = {"size": 2.0, "parts": [{"size": 3.0, "parts": [{"size": 4.0}]}]}
    whole = Whole.model_validate({"tree": parts, "checked": {"size": 5.0}, "others": {"a": {"size": 6.0}, "b": 7.0}})
    sizes = [whole.tree.size, whole.tree.parts[0].size, whole.tree.parts[0].parts[0].size]
    assert [*sizes, whole.checked and whole.checked.size] == [2, 3, 4, 5]
    assert whole.others == {"a": Other(size=6), "b": 7}
    assert all(type(size) is int for size in sizes)


@pytest.mark.parametrize("size", [2.5, "2", True])
def test_other_numbers_are_refused(size: object) -> None:
    for parts in ({"size": size}, {"size": 1, "parts": [{"size": size}]}):
        with pytest.raises(ValidationError, match="valid integer"):
            Tree.model_validate(parts)
