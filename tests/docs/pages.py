"""The pages for people, as things to execute: shell and Python blocks, and what the page says that they print.

`sh` and `python` blocks are run. A `json` block right after one shows its output: `...` stands for members or items
left out, and what the service makes up (positions, times) may differ. A `text` block right after one shows its output
as it is.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.api.examples import MADE_UP

ROOT = Path(__file__).parents[2]

DOCS = ROOT / "docs"

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$\n?(\s*)", re.MULTILINE | re.DOTALL)

_PYTHON = "python - <<'END_OF_PYTHON'\n{}END_OF_PYTHON\n"

REST = "..."


@dataclass(frozen=True, slots=True)
class Example:
    """An executed block as shell text, and the kind and text of the block that shows its output, if there is one."""

    line: int
    shell: str
    kind: str = ""
    shown: str = ""


def page_id(page: Path) -> str:
    """Return how a page is called in the names of tests."""
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return the text of a page without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[tuple[str, str]]:
    """Return the relative links of a page, each as path and anchor; one of both may be empty."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", prose(page))
    return [(path, anchor) for path, anchor in found if ":" not in path]


def examples(page: Path) -> list[Example]:
    """Return the executed blocks of a page in order."""
    text = page.read_text()
    found: list[Example] = []
    end = 0
    for block in _BLOCK.finditer(text):
        kind, content = block[1], block[2]
        follows = bool(found) and block.start() == end
        if kind in ("json", "text") and follows and not found[-1].kind:
            found[-1] = Example(found[-1].line, found[-1].shell, kind, content)
        elif kind in ("sh", "python"):
            shell = content if kind == "sh" else _PYTHON.format(content)
            found.append(Example(text.count("\n", 0, block.start()) + 2, shell))
        end = block.end() if kind in ("sh", "python") else 0
    return found


def documents(text: str) -> list[Any]:
    """Return the JSON documents that follow each other in a text, `...` in the place of what is left out."""
    text = text.replace(", ...}", f', "{REST}": 0}}').replace(", ...]", f', "{REST}"]')
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        at += len(text[at:]) - len(text[at:].lstrip())
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


def as_shown(shown: Any, real: Any) -> Any:
    """Return the real value in the form of the shown one: without what it leaves out and what may differ."""
    if isinstance(shown, dict) and isinstance(real, dict):
        names = shown.keys() if REST in shown else real.keys()
        return {
            name: shown[name] if _may_differ(name, shown, real) else as_shown(shown.get(name), real.get(name))
            for name in names
        } | ({REST: 0} if REST in shown else {})
    if isinstance(shown, list) and isinstance(real, list):
        rest = [REST] if shown[-1:] == [REST] else []
        count = len(shown) - 1 if rest else len(real)
        padded = shown + [None] * len(real)
        return [as_shown(*pair) for pair in zip(padded, real[:count], strict=False)] + rest
    return real


def _may_differ(name: str, shown: dict[str, Any], real: dict[str, Any]) -> bool:
    return (
        name in MADE_UP | {"job", "sweep", "resumed"}
        and isinstance(shown.get(name), str)
        and isinstance(real.get(name), str)
    )
