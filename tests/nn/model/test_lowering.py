"""Specifications that nest, as flat layers: signals, numbers, names, and faults."""

from typing import Any

import pytest

from cellar.errors import InvalidInput
from cellar.nn.model.lowering import MAX_LAYERS
from cellar.nn.model.spec import MAX_NESTING
from tests.nn.golden.cases import (
    LAYER_NORM,
    bidirectional,
    dense,
    dropout,
    embedding,
    nest,
    network,
    recurrent,
    residual,
    reverse,
)
from tests.nn.oracle import make_network

NESTED = network(
    1,
    embedding(7, 4),
    residual(LAYER_NORM, residual(dropout(0.5), recurrent("rnn", 4)), dense(4)),
    bidirectional("lstm", 3, trainable_state=True),
    dense(2),
)


def test_each_layer_knows_what_it_reads() -> None:
    built = make_network(NESTED)
    assert [(layer.label, layer.name, layer.reads, layer.reverse) for layer in built.layers] == [
        ("layer_norm", "1", ((-1,),), False),
        ("dropout", "2", ((0,),), False),
        ("rnn", "3", ((1,),), False),
        ("residual", "", ((0,), (2,)), False),
        ("dense", "4", ((3,),), False),
        ("residual", "", ((-1,), (4,)), False),
        ("lstm", "5.forward", ((5,),), False),
        ("lstm", "5.reverse", ((5,),), True),
        ("dense", "6", ((6, 7),), False),
    ]
    assert (built.output, built.out_size) == ((8,), 2)


def test_parameters_are_named_by_number_and_direction() -> None:
    shapes = dict(make_network(NESTED).parameters)
    assert [*shapes][:6] == ["0.W", "1.g", "1.b", "3.Wi", "3.Wh", "3.b"]
    assert shapes["0.W"] == (7, 4)
    assert shapes["5.forward.Wi_i"] == shapes["5.reverse.Wi_i"] == (3, 4)
    assert {"5.forward.h0", "5.reverse.c0", "6.W"} <= shapes.keys()
    assert shapes["6.W"] == (2, 6)


def test_directions_may_be_of_different_cells_and_sizes() -> None:
    both = bidirectional("lstm", 3) | {"reverse_layer": recurrent("rnn", 2, activation="relu")}
    built = make_network(network(4, both, reverse("gru", 3)))
    assert [(layer.label, layer.name, layer.reads, layer.reverse) for layer in built.layers] == [
        ("lstm", "0.forward", ((-1,),), False),
        ("rnn", "0.reverse", ((-1,),), True),
        ("gru", "1", ((0, 1),), True),
    ]
    assert built.whole_sequences
    assert dict(built.parameters)["1.Wi_r"] == (3, 5)


def test_faults_of_the_second_direction_are_located() -> None:
    both = bidirectional("rnn", 3) | {"reverse_layer": recurrent("nothing", 2)}
    with pytest.raises(InvalidInput) as caught:
        make_network(network(4, both))
    assert caught.value.pointer == "/layers/0/reverse_layer/cell"


def test_directions_draw_weights_of_their_own() -> None:
    weights = make_network(network(2, bidirectional("rnn", 3))).init(0)
    assert (weights["0.forward.Wi"] != weights["0.reverse.Wi"]).all()


def test_how_new_parameters_begin() -> None:
    weights = make_network(network(1, embedding(1000, 8), LAYER_NORM)).init(0)
    assert float(weights["0.W"].var()) == pytest.approx(1, rel=0.05)
    assert (weights["1.g"] == 1).all()
    assert not weights["1.b"].any()


def test_states_are_those_of_layers_by_number() -> None:
    built = make_network(network(3, residual(dropout(0.1), recurrent("rnn", 3)), recurrent("lstm", 2)))
    assert [(s.layer, s.cell, s.name, s.offset) for s in built.states] == [
        (1, "rnn", "h", 0),
        (2, "lstm", "c", 3),
        (2, "lstm", "h", 5),
    ]
    assert not built.whole_sequences


def test_a_network_that_reads_from_both_ends_carries_no_state() -> None:
    built = make_network(network(2, recurrent("rnn", 3), bidirectional("rnn", 3)))
    assert built.whole_sequences
    assert (built.states, built.state_size, built.output, built.out_size) == ((), 0, (1, 2), 6)


def test_digests_tell_structures_with_equal_weights_apart() -> None:
    inner, norm = recurrent("rnn", 2), LAYER_NORM
    same_weights = [
        network(2, inner, norm),
        network(2, residual(inner), norm),
        network(2, residual(inner, norm)),
        network(2, inner, residual(norm)),
        network(2, inner, norm, dropout(0.5)),
        network(2, inner, norm, dropout(0.25)),
        network(1, embedding(4, 2)),
    ]
    built = [make_network(spec) for spec in [*same_weights[:-1], network(1, embedding(4, 2), norm)]]
    assert len({one.digest for one in built}) == len(built)


def test_a_chain_keeps_the_digest_that_its_stored_versions_have() -> None:
    built = make_network(network(3, recurrent("lstm", 5, trainable_state=True), dense(2)))
    assert built.digest == "c5ef4dbb6629d4b45ade28c25bb2dbb6b03fdaa89be991ee2d49c7588651a103"


@pytest.mark.parametrize(
    ("spec", "pointer", "actual"),
    [
        (network(2, residual(dense(3))), "/layers/0/layers", "3"),
        (network(2, dense(2), residual(residual(dense(2), dense(4)))), "/layers/1/layers/0/layers", "4"),
        (network(2, embedding(4, 2), dense(1)), "/in_size", "2"),
        (network(1, dense(1), embedding(4, 2)), "/layers/1", None),
        (network(1, residual(embedding(4, 1))), "/layers/0/layers/0", None),
        (network(1, embedding(4, 2, init={"V": "ones"}), dense(1)), "/layers/0/init/V", "V"),
        (network(2, {**LAYER_NORM, "init": {"W": "ones"}}), "/layers/0/init/W", "W"),
        (network(2, bidirectional("lstn", 2)), "/layers/0/layer/cell", "lstn"),
        (network(2, residual(recurrent("rnn", 2, init={"x": "ones"}))), "/layers/0/layers/0/init/x", "x"),
        (network(2, dropout(0.5)), "/layers", None),
        (network(1, embedding(4, 2), dropout(0.5)), "/layers", None),
        (network(2, *[residual(*[dense(2)] * 33)] * 2), f"/layers/1/layers/{MAX_LAYERS - 33}", None),
    ],
)
def test_faults_are_located(spec: dict[str, Any], pointer: str, actual: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_network(spec)
    assert (caught.value.pointer, caught.value.actual) == (pointer, actual)


def test_what_is_as_deep_or_as_long_as_may_be() -> None:
    assert len(make_network(network(2, nest(dense(2), MAX_NESTING))).layers) == MAX_NESTING + 1
    assert len(make_network(network(2, *[dense(2)] * MAX_LAYERS)).layers) == MAX_LAYERS
