"""Every shell block of the README and of docs/ does what the page says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Example, as_shown, documents, examples

SHELL = {"sh", "bash", "shell", "console", "zsh"}


@pytest.mark.timeout(300)  # with no kernel compiled yet, beside other tests
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_blocks_print_what_the_page_shows(page: Path, run_shell: Callable[[list[Example]], list[str]]) -> None:
    blocks = examples(page)
    for block, printed in zip(blocks, run_shell(blocks), strict=True):
        where = f"{page.name}, line {block.line}"
        if block.kind == "text":
            assert printed == block.shown, where
        elif block.kind == "json":
            real, shown = documents(printed), documents(block.shown)
            assert as_shown(shown, real) == shown, where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_escapes(page: Path) -> None:
    kinds = re.findall(r"^\s*```(\w*)$", page.read_text(), re.MULTILINE)[::2]
    assert kinds.count("sh") == len(examples(page))
    assert kinds.count("json") == sum(block.kind == "json" for block in examples(page)), "json without a command"
    assert not (SHELL - {"sh"}) & set(kinds), "call it sh, so that it is executed"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"(docs/{page.name})" in readme for page in PAGES[1:])


def test_comparison_sees_differences() -> None:
    (shown,) = documents('{"a": 1, "b": [1, 2, ...], "position": "x", ...}')
    for real, same in (
        ({"a": 1, "b": [1, 2, 3], "position": "y", "c": 0}, True),
        ({"a": 2, "b": [1, 2, 3], "position": "y"}, False),
        ({"a": 1, "b": [1, 3, 3], "position": "y"}, False),
        ({"a": 1, "b": [1], "position": "y"}, False),
        ({"a": 1, "position": "y"}, False),
        ({"a": 1, "b": [1, 2], "position": 7}, False),
    ):
        assert (as_shown(shown, real) == shown) == same, real
    (exact,) = documents('{"a": [1]}')
    assert as_shown(exact, {"a": [1], "b": 2}) != exact
    assert as_shown(exact, {"a": [1, 2]}) != exact
    assert as_shown([exact], [exact, exact]) != [exact]
