"""Each recipe of CONTRIBUTING.md works when it is followed to the letter, and keeps the import contracts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.how_to.recipes import ROOT, Block, RecipeError, copy_repository, edited, recipes, write

RECIPES = recipes((ROOT / "CONTRIBUTING.md").read_text("utf-8"))


def run(command: str, copy: Path, kernels: Path) -> None:
    """Run shell commands in a copy of the repository, with its package and the kernels that all tests share."""
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(copy / "service"), str(copy)]),
        "PYTEST_ADDOPTS": f"-p no:xdist -o cache_dir={kernels.parents[1]}",
        "CELLAR_CACHE_DIR": str(kernels),
    }
    done = subprocess.run(
        ["sh", "-eu", "-c", command], env=environment, cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def test_the_recipes() -> None:
    assert [title.removeprefix("How to add ") for title in RECIPES] == [
        "a cell",
        "an operation",
        "a loss",
        "an optimiser",
        "a schedule",
        "a layer",
        "a field to a step",
        "a store operation",
        "a route",
        "a transport",
        "a method to the Python client",
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works_as_written(title: str, tmp_path: Path, kernel_directory: Path) -> None:
    copy = tmp_path / "copy"
    copy_repository(copy)
    blocks = RECIPES[title]
    assert blocks[-1].kind == "sh", "a recipe ends with the commands that show that it worked"
    for block in blocks:
        if block.kind == "sh":
            run(block.text, copy, kernel_directory)
        else:
            write(block, copy)
    run("lint-imports", copy, kernel_directory)


def test_an_edit_finds_its_lines_exactly_once() -> None:
    assert edited("a\nb\nc\n", " a\n-b\n+B\n+D\n") == "a\nB\nD\nc\n"
    assert edited("a\n\nb\n", " a\n\n+x\n") == "a\n\nx\nb\n"
    with pytest.raises(RecipeError, match="0 times"):
        edited("ab\nc\n", " b\n+x\n")
    with pytest.raises(RecipeError, match="2 times"):
        edited("b\nb\n", " b\n+x\n")
    with pytest.raises(RecipeError, match="begin with"):
        edited("b\n", "b\n")
    with pytest.raises(RecipeError, match="must be found"):
        edited("b\n", "+b\n")


def test_a_new_file_must_be_new(tmp_path: Path) -> None:
    block = Block("text", "folder/new.txt", "one\n")
    write(block, tmp_path)
    assert (tmp_path / "folder/new.txt").read_text() == "one\n"
    with pytest.raises(RecipeError, match="there already"):
        write(block, tmp_path)


def test_sections_end_where_the_next_begins() -> None:
    page = "### How to add a\n\n```sh\ntrue\n```\n## Habits\n```sh\nfalse\n```\n"
    assert recipes(page + "### How to add b\n```toml x/y.toml\nz\n```\n") == {
        "How to add a": [Block("sh", "", "true\n")],
        "How to add b": [Block("toml", "x/y.toml", "z\n")],
    }
