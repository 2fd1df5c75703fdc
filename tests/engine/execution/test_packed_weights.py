"""Weights as kernels read them: panels of sixteen rows, zeros for padding, nothing too small."""

import numpy as np
import pytest

from cellar.engine import build_cell
from cellar.engine.execution.arrays import Floats, address, aligned, padded, rounded
from cellar.engine.execution.packed_weights import in_pairs, pack
from cellar.engine.passes.schedule import ProductGroup, forward_schedule
from cellar.errors import ShapeMismatch

CELL = build_cell("param a: scalar\nh = tanh(Wi @ x + a * (Wh @ h) + b)", {"in": 3, "hidden": 17})
WEIGHTS = {p.name: np.arange(1, np.prod(p.shape) + 1, dtype=np.float32).reshape(p.shape) for p in CELL.params}


def test_matrices_become_panels() -> None:
    packed = pack(CELL, WEIGHTS)
    stages = [stage for _, stage in forward_schedule(CELL.step).stages if isinstance(stage, ProductGroup)]
    panels = packed.group(next(stage for stage in stages if stage.nodes[0].sources[0].name == "Wi"))
    blocks = panels.reshape(2, 3, 16)
    np.testing.assert_array_equal(blocks[0], WEIGHTS["Wi"][:16].T)
    np.testing.assert_array_equal(blocks[1, :, 0], WEIGHTS["Wi"][16])
    assert not blocks[1, :, 1:].any()


@pytest.mark.parametrize("hidden", [3, 16, 17, 40])
def test_matrices_with_one_operand_share_panels(hidden: int) -> None:
    cell = build_cell(
        "z = sigmoid(Wz @ x)\nr = sigmoid(Wr @ x)\nh = z * h + r * tanh(Wn @ x)", {"in": 2, "hidden": hidden}
    )
    rng = np.random.default_rng(hidden)
    weights = {param.name: rng.normal(size=param.shape).astype(np.float32) for param in cell.params}
    packed = pack(cell, weights)
    (stage,) = (stage for _, stage in forward_schedule(cell.step).stages if isinstance(stage, ProductGroup))
    matrices = np.concatenate([weights[node.sources[0].name] for node in stage.nodes])
    panels = packed.group(stage)
    places = list(packed.placed())
    for _ in range(2):
        columns = panels.reshape(-1, 2, 16).transpose(0, 2, 1).reshape(-1, 2)
        assert len(columns) == (3 * hidden + 15) // 16 * 16
        np.testing.assert_array_equal(columns[: 3 * hidden], matrices)
        assert not columns[3 * hidden :].any()
        panels[...] = 0
        for source, target in places:
            target[...] = source


@pytest.mark.parametrize("shape", [(), (1,), (16,), (17,), (3, 16), (5, 33)])
def test_padding(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wide = padded(array)
    assert wide.shape[-1] % 16 == 0
    assert address(wide) % 64 == 0
    assert wide.sum() == pytest.approx(array.sum() * (16 if shape == () else 1), rel=1e-5)
    np.testing.assert_array_equal(wide[..., : shape[-1]] if shape else wide[0], array)


def test_rounding_to_bfloat16() -> None:
    """The nearest number of eight bits, the even one of two, never infinity: against the definition in float64."""
    half = 2.0**-8
    given = np.array([1, 1 + half, 1 + 3 * half, 1 + half * 1.001, -1 - half, 3.4e38, -3.4e38, 0], np.float32)
    wanted = [1, 1, 1 + 4 * half, 1 + 2 * half, -1, *[sign * (2 - 2.0**-7) * 2.0**127 for sign in (1, -1)], 0]
    np.testing.assert_array_equal(rounded(given), np.array(wanted, np.float32))


def test_words_of_bfloat16_hold_two_terms_of_a_column() -> None:
    panels = rounded(np.random.default_rng(0).normal(size=(2, 3, 16)).astype(np.float32))
    words = in_pairs(panels).view(np.uint32)[..., 0]
    assert words.shape == (2, 2, 16)
    np.testing.assert_array_equal((words << np.uint32(16)).view(np.float32), panels[:, ::2])
    upper = (words & np.uint32(0xFFFF0000)).view(np.float32)
    np.testing.assert_array_equal(upper[:, 0], panels[:, 1])
    assert not upper[:, 1].any()


def test_other_weights_in_the_place_of_the_old_ones() -> None:
    packed = pack(CELL, WEIGHTS)
    stages = [stage for _, stage in forward_schedule(CELL.step).stages if isinstance(stage, ProductGroup)]
    places = [address(packed.group(stage)) for stage in stages]
    weights = {name: array.copy() for name, array in WEIGHTS.items()}
    packed.adopt(weights)
    for name, array in WEIGHTS.items():
        weights[name][...] = 2 * array
    for source, target in packed.placed():
        target[...] = source
    fresh = pack(CELL, weights)
    assert [address(packed.group(stage)) for stage in stages] == places
    for stage in stages:
        np.testing.assert_array_equal(packed.group(stage), fresh.group(stage))
    for name in ("a", "b"):
        np.testing.assert_array_equal(packed.vectors[name], fresh.vectors[name])


def test_aligned_bytes() -> None:
    assert [address(aligned(length)) % 64 for length in (1, 63, 64, 1000)] == [0] * 4
    assert not aligned(1000, clear=True).any()


def test_small_weights_are_flushed_and_the_callers_array_is_not() -> None:
    below = np.nextafter(np.float32(2.0**-63), np.float32(0))
    weights = WEIGHTS | {"b": np.array([below, -below, 2.0**-63, *[1] * 14], np.float32)}
    kept = pack(CELL, weights).vectors["b"]
    assert not kept[:2].view(np.uint32).any()
    assert kept[2] == 2.0**-63
    assert weights["b"][0] == below


@pytest.mark.parametrize(
    ("name", "given", "expected", "actual"),
    [
        ("Wh", np.zeros((17, 3), np.float32), "(17, 17)", "(17, 3)"),
        ("a", np.zeros(1, np.float32), "()", "(1,)"),
        ("b", None, "(17,)", "nothing"),
    ],
)
def test_weights_of_another_shape(name: str, given: Floats | None, expected: str, actual: str) -> None:
    weights = {key: array for key, array in WEIGHTS.items() if key != name}
    if given is not None:
        weights[name] = given
    with pytest.raises(ShapeMismatch) as caught:
        pack(CELL, weights)
    assert (caught.value.expected, caught.value.actual) == (expected, actual)
