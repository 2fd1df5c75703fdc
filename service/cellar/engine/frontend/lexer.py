"""Splits the text of a cell into tokens with line and column, and shows errors in the text with a caret."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from cellar.errors import CellError, CellLimitError, CellSyntaxError

Error = TypeVar("Error", bound=CellError)

MAX_TEXT_BYTES = 4096

TokenKind = Literal["name", "number", "symbol", "newline", "end"]

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r]+|\#[^\n]*)"
    r"|(?P<newline>\n)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))"
    r"|(?P<symbol>[-+/@=(),:]|\*(?!\*))"
)

_KINDS: dict[str | None, TokenKind] = {"name": "name", "number": "number", "symbol": "symbol"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of cell text and where it stands; `line` and `column` count from 1."""

    kind: TokenKind
    text: str
    line: int
    column: int


class Source:
    """The text of a cell, for quoting the faulty line in an error."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")

    def excerpt(self, line: int, column: int) -> str:
        """Return the line with a caret under the column. Tabs stay tabs, so that the caret stands right."""
        text = self.lines[line - 1].rstrip("\r")
        blank = "".join("\t" if character == "\t" else " " for character in text[: column - 1])
        return f"{text}\n{blank}^"

    def error(
        self, kind: type[Error], detail: str, token: Token, expected: str | None = None, actual: str | None = None
    ) -> Error:
        """Return an error of that class at a token."""
        line, column = token.line, token.column
        excerpt = self.excerpt(line, column)
        return kind(detail, line=line, column=column, excerpt=excerpt, expected=expected, actual=actual)


def tokenize(source: Source) -> Iterator[Token]:
    """Yield the tokens of a cell, ended by one "end". Raise CellSyntaxError or CellLimitError."""
    _check_size(source.text)
    at, line, start = 0, 1, 0
    while at < len(source.text):
        column = at - start + 1
        match = _TOKEN.match(source.text, at)
        if match is None:
            raise _unreadable(source, at, line, column)
        at = match.end()
        if match.lastgroup == "newline":
            yield Token("newline", "\n", line, column)
            line, start = line + 1, at
        elif match.lastgroup in _KINDS:
            yield Token(_KINDS[match.lastgroup], match.group(), line, column)
    yield Token("end", "", line, at - start + 1)


def _check_size(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_TEXT_BYTES:
        raise CellLimitError(
            "the cell's text is too long", expected=f"at most {MAX_TEXT_BYTES} bytes", actual=f"{size} bytes"
        )


_INDEX = (
    "there are no indices and no concatenation: 'h' before its line is the old state, 'W @ x + U @ h' adds two parts"
)
_PRODUCT = "write '@' for a matrix times a vector, '*' for a product element by element"

_HINTS = {
    "[": _INDEX,
    "]": _INDEX,
    ".": "a name has no parts and no transpose; declare a matrix as it is used: 'param W: hidden x in'",
    ";": "write one equation a line",
    "\u2218": _PRODUCT,
    "\u2299": _PRODUCT,
    "\u00b7": _PRODUCT,
    "\u00d7": _PRODUCT,
    "\u2212": "write the minus sign '-'",
    "\u03c3": "write 'sigmoid'",
}
"""Suggestions for characters of other notations."""


def _unreadable(source: Source, at: int, line: int, column: int) -> CellSyntaxError:
    found = source.text[at]
    if found.isdigit() or (found == "." and source.text[at + 1 : at + 2].isdigit()):
        detail = "this is not a number"
    elif found == "^" or source.text[at : at + 2] == "**":
        detail = "there is no power operator; write the product out"
    else:
        hint = _HINTS.get(found)
        detail = f"{found!r} has no meaning in a cell" + ("" if hint is None else f": {hint}")
    return source.error(CellSyntaxError, detail, Token("symbol", found, line, column), actual=repr(found))
