"""Cells as their users see them: parameters, digest, canonical form, cost."""

from cellar.engine import build_cell

SIZES = {"in": 3, "hidden": 5, "proj": 2}


def test_counts_and_cost() -> None:
    cell = build_cell("h = tanh(Wi @ x + Wh @ h + b)", SIZES)
    assert cell.operations == 5
    assert cell.flops == 2 * 5 * 3 + 2 * 5 * 5 + 3 * 5
    assert (cell.in_sizes, cell.state_size, cell.out_size) == ((3,), 5, 5)


def test_the_digest_is_of_structure_and_names() -> None:
    text = "h = tanh(Wi @ x + Wh @ h + b)"
    digest = build_cell(text, SIZES).digest
    assert build_cell("# the same\nh = tanh((Wi@x) +  Wh @ h\n  + b)", SIZES).digest == digest
    assert build_cell(text, {"in": 7, "hidden": 2}).digest == digest
    assert build_cell(text.replace("Wi", "Wx"), SIZES).digest != digest
    assert build_cell(text.replace("tanh", "relu"), SIZES).digest != digest
    assert build_cell("h = tanh(Wh @ h + Wi @ x + b)", SIZES).digest != digest


def test_the_canonical_form() -> None:
    assert build_cell("h = tanh(Wi @ x) * 0.1 + h", SIZES).canonical.split("\n") == [
        "%0 = param Wi : hidden x in",
        "%1 = input x : in",
        "%2 = product %0 %1 : hidden",
        "%3 = tanh %2 : hidden",
        "%4 = const 0.1",
        "%5 = mul %3 %4 : hidden",
        "%6 = state h : hidden",
        "%7 = add %5 %6 : hidden",
        "state h = %7",
        "output = %7",
    ]
