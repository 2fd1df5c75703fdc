"""Weights that are packed at once: the same bits as weights that are packed one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import Floats, KernelCache
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.execution.packing import MOST_PARAMETERS, Packing
from cellar.nn.spec.base import MAX_SIZE
from tests.nn import oracle
from tests.nn.golden.cases import NETWORKS, dense, network, recurrent

FITTING = [name for name in NETWORKS if Packing.fits(oracle.make_network(NETWORKS[name]))]


def drawn(compiled: CompiledNetwork) -> dict[str, Floats]:
    """Return weights of which some are flushed, in every array."""
    random, weights = np.random.default_rng(5), {}
    for name, shape in compiled.network.parameters:
        powers = random.integers(-80, 1, shape).astype(np.int32)
        weights[name] = np.ldexp(random.standard_normal(shape), powers).astype(np.float32)
    return weights


def flat(weights: dict[str, Floats]) -> NDArray[np.float32]:
    """Return the weights as a file has them."""
    return np.concatenate([weights[name].reshape(-1) for name in sorted(weights)])


def results(bound: BoundNetwork) -> bytes:
    """Return outputs and states of a sequence, from states of its own and from the initial state."""
    random = np.random.default_rng(7)
    inputs = random.standard_normal((5, 3, bound.network.in_size)).astype(np.float32)
    state = random.standard_normal((3, bound.network.state_size)).astype(np.float32)
    found = [bound.initial_state(2).tobytes()]
    for reset in (None, np.array([True, False, True])):
        run = bound.run(inputs, state, np.array([5, 2, 0], np.int32), reset=reset)
        found += [run.outputs.tobytes(), run.state.tobytes()]
    return b"".join(found)


@pytest.mark.parametrize("name", FITTING)
def test_the_bits_of_a_network(name: str, cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(NETWORKS[name]), cache)
    weights = drawn(compiled)
    packed = Packing(compiled).bind(compiled, flat(weights))
    assert results(packed) == results(compiled.bind(weights, inference=True))


def test_a_trained_initial_state_is_as_it_was_trained(cache: KernelCache) -> None:
    """Also a number that is flushed wherever it is read."""
    compiled = CompiledNetwork(oracle.make_network(network(3, recurrent("lstm", 5, trainable_state=True))), cache)
    weights = drawn(compiled)
    weights["0.h0"][0] = np.float32(2.0**-100)
    packed = Packing(compiled).bind(compiled, flat(weights))
    one = compiled.bind(weights, inference=True)
    assert packed.initial.tobytes() == one.initial.tobytes()
    assert results(packed) == results(one)


def test_models_of_a_network_share_a_call(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(3, recurrent("gru", 6), dense(2))), cache)
    packing = Packing(compiled)
    models = []
    for seed in range(4):
        weights = compiled.network.init(seed)
        models.append((packing.bind(compiled, flat(weights)), compiled.bind(weights, inference=True)))
    inputs = np.random.default_rng(1).standard_normal((1, 4, 3)).astype(np.float32)
    state = tuple(np.full((1, 6), row, np.float32).tobytes() for row in range(4))
    code = models[0][0].code
    assert code is not None
    assert code is models[0][1].code
    together = code.run(b"".join(packed.rows(1) for packed, _ in models), inputs, state)
    for row, (_, one) in enumerate(models):
        alone = one.run(inputs[:, row : row + 1], state[row : row + 1])
        assert together.outputs[:, row : row + 1].tobytes() == alone.outputs.tobytes()
        assert together.state[row : row + 1].tobytes() == alone.state.tobytes()


def test_others_are_packed_one_by_one() -> None:
    assert not Packing.fits(oracle.make_network({**network(3, recurrent("gru", 6)), "weight_storage": "bfloat16"}))
    assert not Packing.fits(oracle.make_network(network(1, {"type": "embedding", "count": 5, "out_size": 2}, dense(2))))
    assert not Packing.fits(oracle.make_network(network(MOST_PARAMETERS // 4, dense(4))))
    assert MOST_PARAMETERS // 4 <= MAX_SIZE
