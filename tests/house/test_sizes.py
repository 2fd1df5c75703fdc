"""Files, functions and folders of the package stay small enough to be read in one piece."""

import ast
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[2] / "service" / "cellar"
FILES = sorted(PACKAGE.rglob("*.py"))

FILE_LINES, MEDIAN_LINES, FUNCTION_LINES = 350, 110, 45


def test_a_file_is_at_most_350_lines_long() -> None:
    lines = {path: path.read_text().count("\n") for path in FILES}
    assert [str(path) for path, count in lines.items() if count > FILE_LINES] == []
    assert median(lines.values()) <= MEDIAN_LINES


def test_a_function_is_at_most_45_lines_long() -> None:
    long = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES
    ]
    assert long == []
