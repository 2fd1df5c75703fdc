"""Finds specifications by their `type`: losses, optimisers, schedules and layers, one module for each.

A family is a package with one module for each kind, and a list of their names. A new kind is a new module and a name.
"""

import importlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args

from pydantic import BaseModel, BeforeValidator, Field

Kind = TypeVar("Kind", bound=BaseModel)


def load(package: str, base: type[Kind], names: Sequence[str]) -> tuple[type[Kind], ...]:
    """Import modules of a package by their names, and return the subclass of `base` that each defines."""
    return tuple(_kind_in(f"{package}.{name}", base) for name in names)


def _kind_in(module: str, base: type[Kind]) -> type[Kind]:
    members = vars(importlib.import_module(module)).values()
    classes = [each for each in members if isinstance(each, type) and each.__module__ == module]
    (kind,) = (each for each in classes if issubclass(each, base))
    return kind


def types_of(kind: type[BaseModel]) -> tuple[str, ...]:
    """Return the values of `type` that choose a kind."""
    return get_args(kind.model_fields["type"].annotation)


def one_of(kinds: Sequence[type[BaseModel]]) -> Any:
    """Return the annotation of a field that holds an object of one of the kinds."""
    return Annotated[Union[tuple(kinds)], Field(discriminator="type")]  # noqa: UP007  # made of a tuple


def named_or_one_of(kinds: Sequence[type[BaseModel]]) -> Any:
    """Return the annotation of a field as `one_of`, where "adam" stands for {"type": "adam"}.

    The JSON schema lists the names of the kinds that need nothing else.
    """
    objects = one_of(kinds)
    names = tuple(name for kind in kinds if not _requires_more(kind) for name in types_of(kind))
    return Annotated[objects, BeforeValidator(_expanded, json_schema_input_type=Literal[names] | objects)]


def _requires_more(kind: type[BaseModel]) -> bool:
    return any(field.is_required() for name, field in kind.model_fields.items() if name != "type")


def _expanded(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value
