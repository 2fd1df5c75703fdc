"""Characters to tokens: where each stands, and which have no meaning."""

import pytest

from cellar.engine.frontend.lexer import MAX_TEXT_BYTES, Source, tokenize
from cellar.errors import CellLimitError, CellSyntaxError
from tests.engine.faults import points_at, refused

NO_PARTS = "a name has no parts and no transpose; declare a matrix as it is used: 'param W: hidden x in'"
NO_INDICES = (
    "there are no indices and no concatenation: 'h' before its line is the old state, 'W @ x + U @ h' adds two parts"
)


def test_tokens_know_their_place() -> None:
    found = [(t.kind, t.text, t.line, t.column) for t in tokenize(Source("# memory\nh = 1.5e-3*Wh @ h\r\n\tb_"))]
    assert found == [
        ("newline", "\n", 1, 9),
        ("name", "h", 2, 1),
        ("symbol", "=", 2, 3),
        ("number", "1.5e-3", 2, 5),
        ("symbol", "*", 2, 11),
        ("name", "Wh", 2, 12),
        ("symbol", "@", 2, 15),
        ("name", "h", 2, 17),
        ("newline", "\n", 2, 19),
        ("name", "b_", 3, 2),
        ("end", "", 3, 4),
    ]


@pytest.mark.parametrize(
    ("text", "detail", "mark"),
    [
        ("h = x\nh2 = h ** 2", "there is no power operator; write the product out", "h2 = h ** 2\n       ^"),
        ("h = h ^ x", "there is no power operator; write the product out", "h = h ^ x\n      ^"),
        ("h = x.__class__", f"'.' has no meaning in a cell: {NO_PARTS}", "h = x.__class__\n     ^"),
        ("h = x[0]", f"'[' has no meaning in a cell: {NO_INDICES}", "h = x[0]\n     ^"),
        ("h = 'x'", '"\'" has no meaning in a cell', "h = 'x'\n    ^"),
        ("h = x; y = h", "';' has no meaning in a cell: write one equation a line", "h = x; y = h\n     ^"),
        (
            "h = W · x",
            "'·' has no meaning in a cell: write '@' for a matrix times a vector, '*' for a product element by element",
            "h = W · x\n      ^",
        ),
        ("h = σ(x)", "'σ' has no meaning in a cell: write 'sigmoid'", "h = σ(x)\n    ^"),
        ("h = é", "'é' has no meaning in a cell", "h = é\n    ^"),
        ("h = \x00", "'\\x00' has no meaning in a cell", "h = \x00\n    ^"),
        ("h = 12abc", "this is not a number", "h = 12abc\n    ^"),
        ("h = 1_000", "this is not a number", "h = 1_000\n    ^"),
        ("h = 1.2.3", "this is not a number", "h = 1.2.3\n    ^"),
        ("h = 0x10", "this is not a number", "h = 0x10\n    ^"),
        ("h = ٣", "this is not a number", "h = ٣\n    ^"),
        ("h = 1\r\n\th = x ? 2\r\n", "'?' has no meaning in a cell", "\th = x ? 2\n\t      ^"),
    ],
)
def test_characters_without_meaning(text: str, detail: str, mark: str) -> None:
    error = refused(text, CellSyntaxError)
    assert error.detail == detail
    points_at(error, text, mark)


def test_text_of_four_kibibytes_is_the_longest() -> None:
    text = "h = tanh(x) # é"
    longest = text + "." * (MAX_TEXT_BYTES - len(text.encode()))
    assert list(tokenize(Source(longest)))[-1].kind == "end"
    error = refused(longest + ".", CellLimitError)
    assert (error.expected, error.actual) == ("at most 4096 bytes", "4097 bytes")


def test_unpaired_surrogates_are_counted_and_refused() -> None:
    assert refused("h = \ud800", CellSyntaxError).column == 5
