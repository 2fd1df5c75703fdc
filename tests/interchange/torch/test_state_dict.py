"""State dicts become weights and come back; nothing may be missing or left over."""

import numpy as np
import pytest

from cellar.errors import ImportRefused
from cellar.interchange.torch.modules import TorchModule
from cellar.interchange.torch.reader import assemble
from cellar.interchange.torch.state_dict import state_dict
from cellar.nn.model.network import Network

LSTM = TorchModule(type="LSTM", name="lstm", in_size=3, size=2)
TENSORS = {
    "lstm.weight_ih_l0": (8, 3),
    "lstm.weight_hh_l0": (8, 2),
    "lstm.bias_ih_l0": (8,),
    "lstm.bias_hh_l0": (8,),
}
NORMALIZER = TorchModule(type="EmpiricalNormalization", name="norm", in_size=3, size=3)


def arrays(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_is_missing_is_named(name: str) -> None:
    """One bias of two, too: without it the other would be read as if it were all of it."""
    tensors = arrays({each: shape for each, shape in TENSORS.items() if each != name})
    with pytest.raises(ImportRefused, match="is missing") as refused:
        assemble([LSTM], tensors, tensors.__getitem__)
    assert (refused.value.place, refused.value.expected) == (name, str(list(TENSORS[name])))


def test_a_module_without_bias_has_none() -> None:
    tensors = arrays({each: shape for each, shape in TENSORS.items() if "bias" not in each})
    found = assemble([LSTM.model_copy(update={"bias": False})], tensors, tensors.__getitem__)
    assert not any(array.any() for name, array in found.weights.items() if ".b_" in name)


def test_a_normalizer_has_statistics_that_only_training_reads() -> None:
    shapes = {"norm._mean": (1, 3), "norm._std": (1, 3), "norm._var": (1, 3), "norm.count": ()}
    tensors = arrays(shapes)
    found = assemble([NORMALIZER], tensors, tensors.__getitem__)
    assert found.weights["0.m"].tolist() == [1, 2, 3]
    out = state_dict(Network(found.spec), [NORMALIZER], found.weights)
    assert {name: array.shape for name, array in out.items()} == {"norm._mean": (1, 3), "norm._std": (1, 3)}


def test_a_number_that_is_not_finite_is_named_by_its_tensor() -> None:
    tensors = arrays(TENSORS)
    tensors["lstm.weight_hh_l0"][3, 1] = np.nan
    with pytest.raises(ImportRefused, match="not finite") as refused:
        assemble([LSTM], tensors, tensors.__getitem__)
    assert (refused.value.pointer, refused.value.actual) == ("/weights/lstm.weight_hh_l0", "nan at [3, 1]")
