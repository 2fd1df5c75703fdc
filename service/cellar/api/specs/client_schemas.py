"""Rewrites JSON schemas of pydantic into equal ones that linters and client generators support.

Some tools interpret keywords of pydantic's schemas differently, and generate clients that do not compile or whose
requests are refused.
"""

import json
from typing import Any

Schema = dict[str, Any]


def for_clients(value: Any) -> Any:
    """Return a part of the document, rewritten."""
    if isinstance(value, list):
        return [for_clients(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: for_clients(member) for name, member in value.items()}
    if "in" in found and "schema" in found:
        return {**found, "schema": _without_null(found["schema"])}
    if isinstance(found.get("properties"), dict):
        return _with_plain_defaults(found)
    return _with_items(found)


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a parameter, which may be absent but never null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return {**{name: member for name, member in schema.items() if name != "anyOf"}, **choices[0]} if choices else schema


def _with_items(schema: Schema) -> Schema:
    """Return the schema of an array with `items` instead of `prefixItems` if all entries are of one type."""
    first, *others = schema.get("prefixItems", [None])
    if first is None or any(other != first for other in others):
        return schema
    return {**{name: member for name, member in schema.items() if name != "prefixItems"}, "items": first}


def _with_plain_defaults(schema: Schema) -> Schema:
    """Return the schema of an object with the defaults of its members in their descriptions.

    Generators of types make a member with a `default` a required one, also in requests. A member that can have only one
    value distinguishes the object and must be sent.
    """
    kinds = [name for name, member in schema["properties"].items() if "const" in member and "default" in member]
    required = [*schema.get("required", ()), *kinds]
    properties = {name: _with_default_in_words(member) for name, member in schema["properties"].items()}
    return {**schema, "properties": properties, **({"required": required} if required else {})}


def _with_default_in_words(member: Schema) -> Schema:
    if "default" not in member:
        return member
    default = member["default"]
    found = {name: value for name, value in member.items() if name != "default"}
    if default is None or "const" in member:
        return found
    text = default if isinstance(default, str) else json.dumps(default)
    return {**found, "description": f"{member.get('description', '')} Default: {text}.".lstrip()}
