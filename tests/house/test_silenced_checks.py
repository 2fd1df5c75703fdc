"""Every silenced check of ruff, mypy or coverage has its reason: behind it, or in a comment on the line above."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = ("service", "tests", "clients", "benchmarks")

SILENCED = re.compile(r"# (?:noqa|type: ignore|pragma)\b[\w:,\[\]\s-]*?(?P<reason>(?:#| - ).*)?$")


def without_reason(path: Path) -> list[int]:
    """Return the lines of a file with a silenced check that has no reason."""
    with tokenize.open(path) as file:
        lines = file.read().splitlines()
    found = []
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            silenced = SILENCED.match(token.string) if token.type == tokenize.COMMENT else None
            if silenced is None or len(silenced["reason"] or "") > 3:
                continue
            line = token.start[0]
            if line < 2 or not lines[line - 2].lstrip().startswith("# "):
                found.append(line)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_has_a_reason(folder: str) -> None:
    paths = [path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    found = {str(path.relative_to(ROOT)): lines for path in paths if (lines := without_reason(path))}
    assert found == {}


def test_one_without_a_reason_is_found(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import a  # noqa: F401\n"
        "import b  # noqa: F401  # registers its kinds\n"
        "x = a.b(1)  # type: ignore[no-untyped-call]\n"
        "# it is not typed\n"
        "y = a.b(1)  # type: ignore[no-untyped-call]\n"
        "z = a.b(1)  # type: ignore[no-untyped-call]  # it is not typed\n"
        "import c as C  # noqa: N812 - its own name\n"
        "text = '# noqa: F401'\n"
    )
    assert without_reason(file) == [1, 3]
