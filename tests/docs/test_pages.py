"""Every executed block of the README and of docs/ does what the page says, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

from cellar.settings import Settings
from tests.docs.pages import PAGES, ROOT, anchors, as_shown, documents, examples, links, page_id
from tests.docs.shell import check_blocks

SHELL = {"sh", "bash", "shell", "console", "zsh"}

PYTHON = {"python", "py", "python3", "pycon"}

LINKING = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


@pytest.mark.timeout(300)  # with no kernel compiled yet, beside other tests
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_blocks_print_what_the_page_shows(page: Path, service_url: str, tmp_path: Path) -> None:
    check_blocks(page, examples(page), service_url, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_block_escapes(page: Path) -> None:
    kinds = re.findall(r"^\s*```(\w*)$", page.read_text(), re.MULTILINE)[::2]
    assert kinds.count("sh") + kinds.count("python") == len(examples(page))
    assert kinds.count("json") == sum(block.kind == "json" for block in examples(page)), "json without a command"
    assert not (SHELL - {"sh"} | PYTHON - {"python"}) & set(kinds), "call it sh or python, so that it is executed"


@pytest.mark.parametrize("page", LINKING, ids=page_id)
def test_links_lead_to_a_file_and_a_heading_of_it(page: Path) -> None:
    for path, anchor in links(page):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


OTHER_VARIABLES = {"CELLAR_URL", "CELLAR_API_KEY", "CELLAR_PURE"}
"""Variables of the environment that are no settings of the service: of examples, the Python client and the build."""


@pytest.mark.parametrize("page", LINKING[:-1], ids=page_id)  # the changelog names what there was
def test_what_a_page_names_exists(page: Path) -> None:
    recipe = r"^(```+)\w+ (\S+)\n.*?^\1$"  # a block that creates or edits a file: tests/how_to follows it
    whole = page.read_text()
    text = re.sub(recipe, "", whole, flags=re.MULTILINE | re.DOTALL)
    created = {path for _, path in re.findall(recipe, whole, re.MULTILINE | re.DOTALL)}
    settings = {f"CELLAR_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    assert set(re.findall(r"\bCELLAR_[A-Z_]*[A-Z]", text)) <= settings
    for module in re.findall(r"python -m (?!pip)((?:benchmarks|tests|cellar)[\w.]*\w)", text):
        path = ROOT / ("service" if module.startswith("cellar") else "") / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), module
    others = {"cellar.network", "cellar.tenant", "cellar.session", "cellar.steps"}  # metadata of ONNX and of spans
    for name in set(re.findall(r"`(cellar\.[a-z_.]+)`", text)) - others:
        path = ROOT / "service" / name.replace(".", "/")
        function = path.parent.with_suffix(".py")
        defined = function.exists() and f"def {path.name}(" in function.read_text()
        assert path.with_suffix(".py").exists() or path.is_dir() or defined, name
    for path in re.findall(r"\b(?:service|tests|openapi)/[\w/.-]*[\w/]", text):
        assert path in created or (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(ROOT / path).resolve() for path, _ in links(ROOT / "README.md") if path}
    assert set(PAGES[1:]) <= linked


def test_pages_that_the_code_names_exist() -> None:
    files = [*(ROOT / "service").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "openapi").glob("*.*")]
    for file in files:
        for path in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text()):
            assert (ROOT / path).exists(), f"{page_id(file)} names {path}"


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


def test_links_and_anchors_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n## `x` and y: z\n```sh\n# no heading [a](b.md)\n```\n[one](#x-and-y-z) [two](c.md#d) [w](http://e)"
    )
    assert anchors(page) == {"a-page", "x-and-y-z"}
    assert links(page) == [("", "x-and-y-z"), ("c.md", "d")]
