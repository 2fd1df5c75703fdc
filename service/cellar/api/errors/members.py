"""Looks up in the pydantic models which members an object in a request may have, to suggest the right one."""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag

Part = str | int

DEEPEST = 3
"""Levels below an object that are searched for a member which the object does not have."""


def members_at(kind: Any, loc: Sequence[Part]) -> list[str]:
    """Return the names of the members of the object at a location, in the order of the models."""
    names = [name for model in models_at(kind, loc) for name in _members(model)]
    return list(dict.fromkeys(names))


def models_at(kind: Any, loc: Sequence[Part]) -> list[type[BaseModel]]:
    """Return the models that the value at a location may have. Locations contain the tags of unions too."""
    kinds = [kind]
    for part in loc:
        kinds = [inner for each in kinds for inner in _inner(each, part)]
    return [each for each in _leaves(kinds) if isinstance(each, type) and issubclass(each, BaseModel)]


def places_below(kind: Any, loc: Sequence[Part]) -> dict[str, str]:
    """Return by name the paths of members of objects inside that object, as `optimiser.momentum`, the least deep."""
    found: dict[str, str] = {}
    level: list[tuple[str, type[BaseModel]]] = [("", model) for model in models_at(kind, loc)]
    for _ in range(DEEPEST):
        below: dict[tuple[str, type[BaseModel]], None] = {}
        for prefix, model in level:
            for name, field in model.model_fields.items():
                for within, inner in _objects(field.annotation):
                    below[f"{prefix}{field.alias or name}{within}.", inner] = None
        for prefix, model in below:
            for name in _members(model):
                found.setdefault(name, prefix + name)
        level = list(below)
    return found


def words_at(kind: Any, loc: Sequence[Part], member: str) -> list[str]:
    """Return the words that are values of a member of the object at a location."""
    found: list[str] = []
    for model in models_at(kind, loc):
        if member in model.model_fields:
            found += [each for each in get_args(model.model_fields[member].annotation) if isinstance(each, str)]
    return list(dict.fromkeys(found))


def _members(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _objects(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the models in an annotation, each with "[]" if it is an entry of an array, else with ""."""
    for each in _leaves([annotation]):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield "", each
        elif get_origin(each) in (list, tuple):
            for entry in _leaves([get_args(each)[0]]):
                if isinstance(entry, type) and issubclass(entry, BaseModel):
                    yield "[]", entry


def _inner(annotation: Any, part: Part) -> Iterator[Any]:
    """Yield the types that a part of a location leads to: a member, an entry, or a branch of a union."""
    branches = list(_branches(annotation))
    if len(branches) > 1:
        chosen = [branch for branch, tags in branches if part in tags]
        if chosen:
            yield from chosen
            return
    for each, _ in branches:
        origin = get_origin(each)
        if isinstance(each, type) and issubclass(each, BaseModel):
            fields = {field.alias or name: field for name, field in each.model_fields.items()}
            if part in fields:
                yield fields[str(part)].annotation
        elif origin in (list, tuple) and isinstance(part, int):
            yield get_args(each)[0]
        elif origin is dict:
            yield get_args(each)[1]


def _leaves(annotations: Sequence[Any]) -> Iterator[Any]:
    for annotation in annotations:
        for branch, _ in _branches(annotation):
            yield branch


def _branches(annotation: Any, tags: frozenset[Part] = frozenset()) -> Iterator[tuple[Any, frozenset[Part]]]:
    """Yield the branches of a union, each with its names in locations; for any other type, the type itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        yield from _branches(inner, tags | {each.tag for each in metadata if isinstance(each, Tag)})
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            if each is not type(None):
                yield from _branches(each, tags)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kind = annotation.model_fields.get("type")
        own = get_args(kind.annotation) if kind is not None and get_origin(kind.annotation) is Literal else ()
        yield annotation, tags | {annotation.__name__, *own}
    else:
        yield annotation, tags
