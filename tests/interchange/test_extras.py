"""Without the packages of an extra, readers and writers say which one to install."""

import sys

import pytest

from cellar.errors import ImportRefused
from cellar.interchange.keras import read_keras
from cellar.interchange.keras.hdf5_contents import hdf5_contents
from cellar.interchange.onnx import import_onnx
from cellar.interchange.onnx_export import network_model
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.interchange.fuzz.readers import CORPUS, GOLDEN
from tests.nn.golden.cases import dense, network


def test_onnx_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    made = Network(NetworkSpec.model_validate(network(2, dense(1))))
    for act in (lambda: import_onnx((CORPUS / "own.onnx").read_bytes()), lambda: network_model(made, made.init(0))):
        with pytest.raises(ImportRefused) as caught:
            act()
        assert caught.value.remedy == "pip install 'cellar-serve[onnx]'"


@pytest.mark.parametrize("name", ["stack.keras", "stack.h5"])
def test_h5py_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[hdf5_contents.__module__], "find_spec", lambda _: None)
    with pytest.raises(ImportRefused) as caught:
        read_keras(GOLDEN / name)
    assert caught.value.remedy == "pip install 'cellar-serve[keras]'"
