"""How parameters begin."""

import hashlib
import math

import numpy as np
import pytest

from cellar.nn.numerics.random_streams import permutation, uniforms
from cellar.wire.arrays.weights import dump
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.oracle import make_network

GOLDEN_DIGEST = "3053a9e1e91d9524a04190bb95de91d59cc3fffae0baedd9c988e1c34066ec80"
GOLDEN_UNIFORMS: list[float] = [0.6217940345272494, 0.35897860452899744, 0.668597367492364]
GOLDEN_PERMUTATION: list[int] = [5, 4, 3, 1, 0, 2]


def test_the_forget_gate_begins_open() -> None:
    weights = make_network(network(3, recurrent("lstm", 5))).init(0)
    assert weights["0.b_f"].tolist() == [1.0] * 5
    assert not any(weights[f"0.b_{gate}"].any() for gate in "igo")


@pytest.mark.parametrize(
    ("spec", "name", "fan"),
    [
        (recurrent("lstm", 40), "0.Wi_f", 30 + 4 * 40),
        (recurrent("lstm", 40), "0.Wh_o", 40 + 4 * 40),
        (recurrent("gru", 40), "0.Wh_n", 40 + 3 * 40),
        (recurrent("gru_v3", 40), "0.Wh_r", 40 + 2 * 40),
        (recurrent("gru_v3", 40), "0.Wh_n", 40 + 40),
        (recurrent("rnn", 40), "0.Wi", 30 + 40),
        (dense(40), "0.W", 30 + 40),
        (recurrent({"equations": "h = tanh(Wi_f @ x + Wh_f @ h)"}, 40), "0.Wi_f", 30 + 40),
    ],
)
def test_glorot_uniform_has_the_fan_of_flux(spec: dict[str, object], name: str, fan: int) -> None:
    weights = make_network(network(30, spec)).init(1)[name]
    limit = math.sqrt(24 / fan) / 2
    assert 0.98 * limit < np.abs(weights).max() <= limit
    assert abs(float(weights.mean())) < 0.1 * limit
    assert float(weights.std()) == pytest.approx(limit / math.sqrt(3), rel=0.05)


def test_overrides_by_name() -> None:
    init = {"Wi": "identity", "Wh": {"constant": 0.25}, "b": {"uniform": [2, 3]}, "h0": "ones"}
    weights = make_network(network(3, recurrent("rnn", 5, trainable_state=True, init=init))).init(0)
    assert np.array_equal(weights["0.Wi"], np.eye(5, 3))
    assert (weights["0.Wh"] == 0.25).all()
    assert ((weights["0.b"] >= 2) & (weights["0.b"] <= 3)).all()
    assert len(set(weights["0.b"].tolist())) == 5
    assert (weights["0.h0"] == 1).all()


def test_a_fan_in_decides_the_variance() -> None:
    spec = recurrent("rnn", 40, init={"Wi": {"fan_in": 2}, "Wh": {"fan_in": 0.5}})
    weights = make_network(network(10, spec)).init(0)
    assert float(weights["0.Wi"].var()) == pytest.approx(2 / 10, rel=0.15)
    assert float(weights["0.Wh"].var()) == pytest.approx(0.5 / 40, rel=0.1)
    assert np.abs(weights["0.Wi"]).max() <= math.sqrt(3 * 2 / 10)


def test_moduli_and_phases_of_a_linear_recurrent_unit() -> None:
    weights = make_network(network(1, recurrent("lru", 2000))).init(0)
    moduli = np.exp(-np.exp(weights["0.Nu"].astype(np.float64)))
    phases = 2 * np.arctan(np.exp(weights["0.Theta"].astype(np.float64)))
    for found, low, high in ((moduli**2, 0.9**2, 0.999**2), (phases, 1e-3, 3.14)):
        assert found.min() == pytest.approx(low, abs=(high - low) / 100)
        assert found.max() == pytest.approx(high, abs=(high - low) / 100)
        share, _ = np.histogram(found, bins=4, range=(low - 1e-6, high + 1e-6))
        assert (np.abs(share - 500) < 75).all()


def test_a_trained_initial_state_begins_at_zero() -> None:
    weights = make_network(network(3, recurrent("lstm", 5, trainable_state=True))).init(0)
    assert not weights["0.h0"].any()
    assert not weights["0.c0"].any()


def test_the_same_seed_gives_the_same_bits_for_ever() -> None:
    built = make_network(network(3, recurrent("lstm", 5), recurrent("gru", 4), dense(2)))
    assert hashlib.sha256(dump(built.init(7))).hexdigest() == GOLDEN_DIGEST
    assert dump(built.init(8)) != dump(built.init(7))


def test_a_parameter_draws_by_its_name_whatever_stands_around_it() -> None:
    short, long = (make_network(network(3, recurrent("rnn", 5), *more)).init(3) for more in ([], [dense(2)]))
    assert np.array_equal(short["0.Wi"], long["0.Wi"])


def test_draws_are_the_raw_stream_of_philox() -> None:
    assert uniforms(1, "a", 3).tolist() == GOLDEN_UNIFORMS
    assert permutation(1, "a", 6).tolist() == GOLDEN_PERMUTATION
    assert sorted(permutation(2, "b", 1000).tolist()) == list(range(1000))
