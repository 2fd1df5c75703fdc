"""State dicts that PyTorch wrote, with the outputs that it computed: read, compared, and given back."""

from pathlib import Path

import pytest

from cellar.engine import KernelCache
from cellar.interchange.check import Check, largest_difference
from cellar.interchange.export import Exported, write_safetensors, write_torch
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.safetensors import Reading, names_in, open_file, origin_in, read_safetensors
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.tensor_file import BytesSource, TensorFile

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.safetensors"))


def opened(data: bytes) -> TensorFile:
    return open_file(BytesSource(data))


def imported(file: TensorFile) -> ImportedNetwork:
    """Return the network of a file, with the modules that its metadata name."""
    modules = file.metadata.get("modules")
    return read_safetensors(file, Reading(modules=None if modules is None else modules.split(",")))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_outputs_are_those_of_pytorch(path: Path, kernel_directory: Path) -> None:
    file = opened(path.read_bytes())
    found = imported(file)
    compiled = CompiledNetwork(Network(found.spec), KernelCache(kernel_directory))
    check = Check(file.read("check.inputs"), file.read("check.outputs"))
    assert largest_difference(compiled, found.weights, check) < 1e-6


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_files_that_go_out_give_the_same_network_again(path: Path) -> None:
    file = opened(path.read_bytes())
    found = imported(file)
    exported = Exported("m@1", Network(found.spec), found.stored(), found.origin)
    for write in (write_safetensors, write_torch):
        again = opened(b"".join(write(exported)))
        spec = NetworkSpec.model_validate_json(again.metadata["network"])
        back = read_safetensors(again, Reading(network=spec, names=names_in(again), origin=origin_in(again)))
        assert (back.spec, bytes(back.stored())) == (found.spec, bytes(found.stored()))
        assert back.origin == found.origin
    weights = {name for name in file.tensors if not name.startswith("check.")}
    assert opened(b"".join(write_torch(exported))).tensors.keys() == weights
