"""The recipes of CONTRIBUTING.md: what each writes, edits and runs.

A recipe is a section `### How to add ...`. Its fenced blocks are done in order, by the words after the fence:
`KIND PATH` is a new file with that content, `diff PATH` an edit of a file, `sh` commands to run. The lines of an edit
begin with a space (stays), `-` (goes) or `+` (comes); those that stay or go must be found in the file exactly once.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SECTION = re.compile(r"^### (How to add [^\n]*)\n(.*?)(?=^#{1,3} |\Z)", re.MULTILINE | re.DOTALL)

_BLOCK = re.compile(r"^(```+)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)

_NOT_COPIED = (".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "node_modules", "build", "results")


class RecipeError(Exception):
    """A block of a recipe does not fit the repository."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `kind` is the language of its text, `path` the file it is about ("" for commands)."""

    kind: str
    path: str
    text: str


def recipes(page: str) -> dict[str, list[Block]]:
    """Return the blocks of each recipe on a page, by the title of the recipe."""
    found: dict[str, list[Block]] = {}
    for title, section in _SECTION.findall(page):
        blocks = [(words.partition(" "), text) for _, words, text in _BLOCK.findall(section)]
        found[title] = [Block(kind, path, text) for (kind, _, path), text in blocks]
    return found


def copy_repository(target: Path) -> None:
    """Copy what the repository holds, without what tools have made in it."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*_NOT_COPIED))


def edited(text: str, edit: str) -> str:
    """Return a text after an edit. Raise RecipeError unless the lines to find stand in it exactly once."""
    lines = [(" ", line) if line == "\n" else (line[0], line[1:]) for line in edit.splitlines(keepends=True)]
    before = "".join(line for sign, line in lines if sign in " -")
    after = "".join(line for sign, line in lines if sign in " +")
    if any(sign not in " -+" for sign, _ in lines) or not before:
        raise RecipeError(f"lines of an edit begin with a space, - or +, and some must be found:\n{edit}")
    places = [found.start() for found in re.finditer(f"^(?={re.escape(before)})", text, re.MULTILINE)]
    if len(places) != 1:
        raise RecipeError(f"these lines stand in the file {len(places)} times, not once:\n{before}")
    return text[: places[0]] + after + text[places[0] + len(before) :]


def write(block: Block, root: Path) -> None:
    """Write or edit the file that a block is about. Raise RecipeError if it does not fit."""
    path = root / block.path
    if block.kind == "diff":
        path.write_text(edited(path.read_text("utf-8"), block.text), "utf-8")
    elif path.exists():
        raise RecipeError(f"{block.path} is there already")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
