"""Both clients have the same methods, all documented, and errors are those of the service."""

import inspect
import pydoc
import re
from collections.abc import Callable
from typing import Any

import pytest

import cellar_client
from cellar_client import errors
from cellar_client.errors import Problem
from tests.docs.pages import DOCS

PAIRS = ("Client", "Session", "Stream", "Models", "Keys", "Job", "Sweep", "Trial")


def public(cls: type) -> dict[str, Any]:
    """Return the public members of a class."""
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    """Return names and defaults."""
    return [(name, each.default) for name, each in inspect.signature(function).parameters.items()]


@pytest.mark.parametrize("name", PAIRS)
def test_both_clients_have_the_same_methods(name: str) -> None:
    blocking, awaiting = getattr(cellar_client, name), getattr(cellar_client, f"Async{name}")
    assert public(blocking).keys() == public(awaiting).keys()
    for member, function in public(blocking).items():
        if inspect.isfunction(function):
            assert parameters(function) == parameters(public(awaiting)[member]), member
    assert parameters(blocking.__init__) == parameters(awaiting.__init__)


def test_everything_is_documented() -> None:
    for name in cellar_client.__all__:
        if isinstance(found := getattr(cellar_client, name), type):
            assert found.__doc__
            assert all(inspect.getdoc(member) for member in public(found).values() if callable(member)), name
    text = pydoc.plain(pydoc.render_doc(cellar_client.Client))
    assert "class Client" in text
    assert "is applied once" in text


def test_every_type_of_the_documentation_has_a_class() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    documented = set(re.findall(r"^\| \d+ \| `(\w+)` ", page, re.MULTILINE))
    assert len(documented) > 50
    assert documented <= Problem._by_type.keys()


def test_a_problem_of_an_unknown_type_is_of_the_group_of_its_status() -> None:
    groups = {404: errors.NotFound, 409: errors.Conflict, 410: errors.Gone, 418: errors.Refused}
    groups |= {500: errors.Fault, 502: errors.Unavailable, 503: errors.Unavailable}
    for status, group in groups.items():
        assert type(Problem.of({"type": "urn:cellar:problem:new", "status": status})) is group
    problem = Problem.of({"type": "urn:cellar:problem:overloaded", "status": 503, "detail": "full"}, 2.0)
    assert (type(problem), problem.retry_after_s, str(problem)) == (errors.Overloaded, 2.0, "503 overloaded: full")


def test_a_stream_that_is_applied_exactly_once_takes_six_lines() -> None:
    page = (DOCS / "python-client.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [example] = [block for block in blocks if "mill-7" in block]
    assert "state=" in example
    assert len([line for line in example.splitlines() if line.strip()]) <= 6
