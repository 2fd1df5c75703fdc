"""Texts that people read are plain English: a list of phrases that make a sentence a riddle, and where none occurs."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PHRASES = {
    r"\b(no|some|any)body\b": "say which part or which client is meant",
    r"(^|[.:;] )Who(ever)? ": "begin with a noun, as in a client that",
    r"\bwhoever\b": "the caller, the client",
    r"\b(those|one|ones|others) who\b": "clients that, callers that",
    r"\bhears?\b|\bheard\b": "is notified, receives",
    r"\bbeliev(e|es|ed)\b": "expects, assumes",
    r"\bdeserves?\b": "name the result",
    r"\bgo(es|ing)? on\b|\bwent on\b": "continues",
    r"\banew\b": "again, from the initial state",
    r"\b(comes?|came) again\b": "is sent again, returns",
    r"\bon (its|their) way\b": "in flight, in progress",
    r"\b(comes?|came|becomes?|became) of\b": "name the result",
    r"\bno more([.,;:]|$)": "no longer exists, has ended",
    r"\b(holds?|held) up\b": "delays, blocks",
    r"\bturned away\b": "refused",
    r"\bso many\b(?! that)": "a number of, this many",
    r"\bbut for\b": "except",
    r"\ball the same\b": "nevertheless, also",
    r"\bof late\b": "recently",
    r"\bas (it|they) likes?\b": "in any way",
    r"\bsa(ys?|id) no\b": "refuses",
    r"\bmakes? out\b": "amounts to",
    r"^What ": "name the thing: the options of, the name of, the result of",
    r"^Those\b": "repeat the noun: the arrays of, the operators that",
    r"\b[Rr]eturn what\b": "name the value that is returned",
    r"\b[Rr]aise what\b": "the errors of, or the class of the error",
    r"\b[Dd]o as\b": "run as it does, call it",
    r"\bfor what (is|are|can|cannot)\b": "if it is, if it cannot be",
    r"\bthat is none\b|\bwhat is no\b": "an invalid one, one that does not exist",
    r"\b(is|are) theirs\b|\b(have|has|take|takes) theirs\b": "repeat the noun",
    r"\bbesides\.": "also, in addition",
    r"\bin the making\b": "not finished, being built",
    r"\bif (un)?sure\b": "if several are possible, if only one is",
    r"\bno other('s)? ever\b": "unique",
    r"\b(tells?|told) apart\b": "distinguishes",
}
"""Regular expressions in texts whose white space is single blanks, and what to write instead."""

SUFFIXES = {".py", ".md", ".lua", ".toml"}

TEXT = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))  # from Python 3.12 on

CHECKED = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "benchmarks", "clients", "service/cellar")
"""Pages and code whose texts people read."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings and comments of a Python file, or the paragraphs of another one, each with its first line."""
    source = path.read_text()
    if path.suffix != ".py":
        for match in re.finditer(r"(?:.+\n?)+", source):
            yield source.count("\n", 0, match.start()) + 1, match[0]
        return
    comment, begin, end = "", 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if line != end + 1:
                yield begin, comment
                comment, begin = "", line
            comment, end = f"{comment} {token.string.lstrip('# ')}", line
        elif token.type in TEXT:
            yield line, token.string
    yield begin, comment


def riddles(path: Path) -> list[str]:
    """Return the phrases of a file, each with its line and what to write instead."""
    found = []
    for line, text in texts(path):
        plain = " ".join(text.split()).strip("\"'")
        found += [
            f"line {line}: {match[0].strip()!r}: {instead}"
            for phrase, instead in PHRASES.items()
            for match in re.finditer(phrase, plain)
        ]
    return found


def files(name: str) -> Iterator[Path]:
    """Yield a file, or the files of a folder."""
    path = ROOT / name
    for each in [path] if path.is_file() else sorted(path.rglob("*")):
        if each.suffix in SUFFIXES:
            yield each


@pytest.mark.parametrize("name", CHECKED)
def test_no_text_has_a_riddle(name: str) -> None:
    found = {str(path.relative_to(ROOT)): riddles(path) for path in files(name)}
    assert {path: phrases for path, phrases in found.items() if phrases} == {}


def undocumented(source: str) -> list[str]:
    """Return the public functions and classes without a docstring, each with its line."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    return [f"{node.lineno}: {node.name}" for node in nodes if node.name[0] != "_" and ast.get_docstring(node) is None]


def test_every_public_function_and_class_has_a_docstring() -> None:
    package = ROOT / "service" / "cellar"
    found = {str(path.relative_to(package)): undocumented(path.read_text()) for path in package.rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_missing_docstring_is_found() -> None:
    assert undocumented('class A:\n    """A."""\n    def f(self): ...\n    def _g(self): ...\n') == ["3: f"]


def test_riddles_are_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Who is alone waits for nobody."""\n\n'
        "# the session goes\n# on\n"
        "PLAIN = 'the session continues'\n"
        "text = f'{PLAIN}: whoever hears it'  # it is no more\n"
    )
    found = sorted(re.sub(r"(: [^:]*): .*", r"\1", line) for line in riddles(module))
    assert found == [
        "line 1: 'Who'",
        "line 1: 'nobody'",
        "line 3: 'goes on'",
        "line 6: 'hears'",
        "line 6: 'no more'",
        "line 6: 'whoever'",
    ]
    page = tmp_path / "page.md"
    page.write_text("# A page\n\nThe job goes\non elsewhere.\n")
    assert riddles(page) == ["line 3: 'goes on': continues"]
