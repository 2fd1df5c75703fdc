"""Networks: names, shapes and counts, and specifications that describe none."""

from typing import Any

import numpy as np
import pytest

from cellar.errors import CellNameError, CellShapeError, InvalidInput, NotFinite, ShapeMismatch
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.oracle import make_network

TRAINABLE = {"trainable_state": True}
FLUX_EXAMPLE = "h = tanh(Wxh @ x + Whh @ h + b)"


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (network(2, recurrent("rnn", 5, **TRAINABLE)), 45),
        (network(2, recurrent("rnn", 5, **TRAINABLE), dense(1)), 51),
        (network(3, recurrent("rnn", 5, **TRAINABLE)), 50),
        (network(3, recurrent("lstm", 5, **TRAINABLE)), 190),
        (network(3, recurrent("gru", 5, **TRAINABLE)), 140),
        (network(3, recurrent("gru_v3", 5, **TRAINABLE)), 140),
        (network(3, recurrent("lstm", 5), recurrent("lstm", 5)), 400),
        (network(2, recurrent("lstm", 3)), 72),
        (network(3, dense(5, bias=False)), 15),
    ],
)
def test_parameter_counts_of_the_flux_documentation(spec: dict[str, Any], count: int) -> None:
    built = make_network(spec)
    assert built.parameter_count == count
    assert sum(array.size for array in built.init(0).values()) == count


def test_parameters_are_named_by_layer_and_gate() -> None:
    built = make_network(network(3, recurrent("lstm", 5, **TRAINABLE), dense(2)))
    assert dict(built.parameters) == {
        **{f"0.Wi_{gate}": (5, 3) for gate in "ifgo"},
        **{f"0.Wh_{gate}": (5, 5) for gate in "ifgo"},
        **{f"0.b_{gate}": (5,) for gate in "ifgo"},
        "0.c0": (5,),
        "0.h0": (5,),
        "1.W": (2, 5),
        "1.b": (2,),
    }


def test_the_state_is_one_row_of_all_layers() -> None:
    built = make_network(network(3, recurrent("gru", 4), dense(2), recurrent("lstm", 5)))
    places = [(s.layer, s.cell, s.name, s.offset, s.size) for s in built.states]
    assert places == [(0, "gru", "h", 0, 4), (2, "lstm", "c", 4, 5), (2, "lstm", "h", 9, 5)]
    assert (built.in_size, built.out_size, built.state_size) == (3, 5, 14)


def test_equations_are_a_layer_like_any_other() -> None:
    cell = {"equations": FLUX_EXAMPLE, "init": {"b": "ones"}}
    built = make_network(network(2, recurrent(cell, 5), dense(1)))
    assert dict(built.parameters)["0.Wxh"] == (5, 2)
    assert built.init(0)["0.b"].tolist() == [1.0] * 5
    assert built.states[0].cell == "custom"


def test_a_declared_size_is_given_with_the_equations() -> None:
    cell = {"equations": "param P: proj x hidden\nh = tanh(W @ x + h)\noutput = P @ h", "sizes": {"proj": 7}}
    assert make_network(network(2, recurrent(cell, 5))).out_size == 7


def test_the_digest_is_of_what_reads_the_weights() -> None:
    written_otherwise = {"equations": "# as Flux\n\nh = tanh(  Wi @ x + Wh @ h + b)"}
    same = [recurrent("rnn", 5), recurrent(written_otherwise, 5), recurrent("rnn", 5, init={"b": "ones"})]
    other = [
        recurrent("rnn", 6),
        recurrent("rnn", 5, activation="relu"),
        recurrent("rnn", 5, **TRAINABLE),
        recurrent({"equations": FLUX_EXAMPLE}, 5),
    ]
    assert len({make_network(network(2, layer)).digest for layer in same}) == 1
    assert len({make_network(network(2, layer)).digest for layer in [same[0], *other]}) == 5


@pytest.mark.parametrize(
    ("layer", "pointer", "error"),
    [
        (recurrent("lstn", 5), "/cell", InvalidInput),
        (recurrent("lstm", 5, activation="relu"), "/activation", InvalidInput),
        (recurrent("lstm", 5, init={"b_q": "ones"}), "/init/b_q", InvalidInput),
        (recurrent("lstm", 5, init={"h0": "ones"}), "/init/h0", InvalidInput),
        (recurrent("lstm", 5, init={"b_f": "identity"}), "/init/b_f", InvalidInput),
        (dense(5, init={"V": "ones"}), "/init/V", InvalidInput),
        (dense(5, init={"b": {"fan_in": 1}}), "/init/b", InvalidInput),
        (recurrent({"equations": "h = tanh(W @ x + hh)"}, 5), "/cell/equations", CellNameError),
        (recurrent({"equations": "h = x + h"}, 5), "/cell/equations", CellShapeError),
        (recurrent({"equations": "h = W @ x + h", "sizes": {"in": 4}}, 5), "/cell/sizes/in", InvalidInput),
        (recurrent({"equations": "h = W @ x + h", "init": {"V": "ones"}}, 5), "/cell/init/V", InvalidInput),
        (recurrent({"equations": "h = W @ x + h"}, 5, activation="relu"), "/activation", InvalidInput),
        (
            recurrent({"equations": "param h0: hidden\nh = W @ x + h * h0"}, 5, **TRAINABLE),
            "/cell/equations",
            InvalidInput,
        ),
    ],
)
def test_faults_are_located(layer: dict[str, Any], pointer: str, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as caught:
        make_network(network(3, dense(3), layer))
    assert caught.value.pointer == f"/layers/1{pointer}"


@pytest.mark.parametrize(
    "spec",
    [
        network(16_384, dense(2_000)),
        network(1, recurrent({"equations": "param W: 1000000 x in\nstate h: 1000000\nh = h + W @ x"}, 1)),
    ],
)
def test_a_network_has_a_largest_size(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="too large"):
        make_network(spec)


def test_weights_of_another_network_are_refused() -> None:
    built = make_network(network(3, recurrent("rnn", 5)))
    weights = built.init(0)
    built.check_weights(weights)
    with pytest.raises(InvalidInput, match=r"0\.Wi"):
        built.check_weights({name: weights[name] for name in ("0.Wh", "0.b")})
    with pytest.raises(InvalidInput, match="extra"):
        built.check_weights({**weights, "extra": weights["0.b"]})
    with pytest.raises(ShapeMismatch):
        built.check_weights({**weights, "0.b": np.zeros((5, 1), np.float32)})
    with pytest.raises(NotFinite):
        built.check_weights({**weights, "0.b": np.full(5, np.nan, np.float32)})
