"""Names of the package are standard terms: the private words of earlier versions do not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "service" / "cellar"

FORMER = (
    "^_?flights?$",
    "burst",
    "birth_(?!entries)",
    "settling",
    "wish",
    "lane_?(cache|of)",
    "^_?pasts$",
    "halfstep|half_step",
    "untakenanswers",
    "^shorten$",
    "^_?birth$",
    "^_exchange$",
    "^insist$",
    "^in_a_row$",
    "^retold$",
    "^ask(ed)?_s$",
    "^open_route$",
    "^find_hints$",
    "^_?folds?$",
    "^peak_lanes$",
    "doubt",
    "^(gather|settle)_all$",
    "^scatter",
    "^note_bad$",
    "^_?landings?$",
    "^_?halves$",
    "^call_1$",
    "^player",
    "^living_rows$",
    "^_?find_homes$",
)
"""Regular expressions that no identifier may match, in lower case."""


def identifiers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the names that a module uses or defines, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg, node.value.lineno


def former(source: str) -> list[tuple[str, int]]:
    """Return the identifiers of a module that are former names."""
    pattern = re.compile("|".join(FORMER))
    found = identifiers(ast.parse(source))
    return sorted({(name, line) for name, line in found if pattern.search(name.lower())})


def test_no_identifier_is_a_former_name() -> None:
    found = {str(path.relative_to(PACKAGE)): former(path.read_text()) for path in PACKAGE.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_former_name_is_found() -> None:
    assert former("class Settling:\n    def f(self, lane_cache): self._flights.more(wishes=1)") == [
        ("Settling", 1),
        ("_flights", 2),
        ("lane_cache", 2),
        ("wishes", 2),
    ]
