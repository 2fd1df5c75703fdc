"""Every format out and in again is the identity, bit for bit, for random networks with awkward weights."""

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellar.api.decoding.model_body import _of_json
from cellar.api.http.body import validated
from cellar.api.schemas.catalogue.models import ModelRequest
from cellar.errors import ImportRefused
from cellar.interchange.export import FORMATS, Exported
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.onnx import import_onnx
from cellar.interchange.safetensors import Reading, names_in, open_file, origin_in, read_safetensors
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.tensor_file import BytesSource
from tests.interchange.proofs.export import random_spec

LARGEST = float(np.finfo(np.float32).max)
AWKWARD = np.array([0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 2.0**-63, 0.1, 1 / 3, LARGEST, -LARGEST], np.float32)


def read_file(data: bytes) -> ImportedNetwork:
    """Return the network of a safetensors file, as a request with it is read."""
    file = open_file(BytesSource(data))
    spec = NetworkSpec.model_validate_json(file.metadata["network"])
    return read_safetensors(file, Reading(spec, names_in(file), origin=origin_in(file)))


def read_json(data: bytes) -> ImportedNetwork:
    """Return the network of a body that is JSON."""
    return _of_json(validated(ModelRequest, orjson.loads(data)))


READ = {"safetensors": read_file, "torch": read_file, "json": read_json, "onnx": import_onnx}


def draw(seed: int, *, awkward: bool) -> ImportedNetwork:
    """Return a random network with random weights."""
    rng = np.random.default_rng(seed)
    network = Network(NetworkSpec.model_validate(random_spec(rng)))
    weights = {}
    for name, shape in network.parameters:
        numbers = rng.choice(AWKWARD, shape) if awkward else rng.normal(size=shape)
        weights[name] = np.asarray(numbers, np.float32)
    return ImportedNetwork(network.spec, weights)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), awkward=st.booleans())
def test_out_and_in_again_is_the_identity(name: str, seed: int, awkward: bool) -> None:
    imported = draw(seed, awkward=awkward)
    network = Network(imported.spec)
    exported = Exported("m@1", network, imported.stored(), {})
    try:
        data = b"".join(FORMATS[name].write(exported))
    except ImportRefused:
        assert name == "torch", "the other formats express every network"
        return
    again = READ[name](data)
    assert Network(again.spec).digest == network.digest
    assert bytes(again.stored()) == bytes(imported.stored())
    once_more = Exported("m@1", Network(again.spec), again.stored(), {})
    assert b"".join(FORMATS[name].write(once_more)) == data
