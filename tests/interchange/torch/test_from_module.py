"""Modules are known by their class in torch.nn and by their attributes; here with stand-ins that have no more of it.

`python -m tests.interchange.run --only torch` does it with PyTorch.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cellar.errors import ImportRefused
from cellar.interchange.torch import import_torch


class Tensor:
    """What a state dict has: it can be taken off its device and made float32."""

    def __init__(self, value: Any) -> None:
        self._value = np.asarray(value)

    def detach(self) -> "Tensor":
        """Return the same."""
        return self

    cpu = float = detach

    def numpy(self) -> Any:
        """Return the array."""
        return self._value


def module(kind: str, tensors: dict[str, Any] | None = None, **attributes: Any) -> Any:
    """Return an object of a class of that name in torch.nn."""
    children = attributes.pop("children", {})
    made = type(kind, (SimpleNamespace,), {"__module__": "torch.nn.modules.stand_in"})(**attributes)
    own = {name: Tensor(value) for name, value in (tensors or {}).items()}

    def state_dict() -> dict[str, Tensor]:
        below = {f"{name}.{key}": value for name, each in children.items() for key, value in each.state_dict().items()}
        return own | below

    def named_modules(*, remove_duplicate: bool = True) -> list[tuple[str, Any]]:
        below = [
            (f"{name}.{inner}".rstrip("."), each)
            for name, child in children.items()
            for inner, each in child.named_modules()
        ]
        return [("", made), *below]

    made.state_dict, made.named_modules, made.named_children = state_dict, named_modules, children.items
    made._modules = children
    return made


def linear(out: int, into: int) -> Any:
    """Return a Linear module."""
    bias = np.arange(out)
    return module(
        "Linear", {"weight": np.ones((out, into)), "bias": bias}, in_features=into, out_features=out, bias=bias
    )


def test_a_sequential_is_called_in_its_order() -> None:
    norm = {"weight": np.ones(2), "bias": np.zeros(2)}
    found = import_torch(
        module(
            "Sequential",
            children={
                "0": linear(2, 3),
                "1": module("Tanh"),
                "2": module(
                    "LayerNorm", norm, normalized_shape=(2,), eps=1e-6, elementwise_affine=True, bias=norm["bias"]
                ),
                "3": module("Dropout", p=0.5),
                "4": module("Identity"),
                "5": module("ELU", alpha=0.5),
            },
        )
    )
    assert [layer.type for layer in found.spec.layers] == ["dense", "recurrent", "dropout", "recurrent"]
    assert found.weights["0.b"].tolist() == [0, 1]


def test_a_function_that_stands_in_a_sequential_twice_is_called_twice() -> None:
    tanh = module("Tanh")
    found = import_torch(module("Sequential", children={"0": linear(2, 3), "1": tanh, "2": linear(1, 2), "3": tanh}))
    assert [getattr(layer, "activation", None) for layer in found.spec.layers] == ["tanh", "tanh"]


def test_a_class_that_computes_something_else_than_its_base_is_refused() -> None:
    own = linear(2, 3)
    own.__class__ = type("Mine", (type(own),), {"forward": abs, "__module__": "mine"})
    with pytest.raises(ImportRefused, match="what 'Mine' computes is not known"):
        import_torch(own)


@pytest.mark.parametrize("hooks", ["_forward_hooks", "_forward_pre_hooks"])
def test_a_module_with_hooks_is_refused(hooks: str) -> None:
    hooked = linear(2, 3)
    setattr(hooked, hooks, {0: "WeightNorm"})
    with pytest.raises(ImportRefused, match=r"has hooks.*WeightNorm"):
        import_torch(hooked)


def test_what_wraps_a_module_computes_the_same() -> None:
    inner = module("Sequential", children={"0": linear(2, 3), "1": module("ReLU")})
    compiled = module("OptimizedModule", children={"_orig_mod": inner}, _orig_mod=inner)
    parallel = module("DataParallel", children={"module": compiled}, module=compiled)
    for each in (compiled, parallel):
        assert import_torch(each).spec == import_torch(inner).spec
        assert import_torch(each, ["0", "relu"]).spec == import_torch(inner).spec
    assert import_torch(parallel).origin["modules"][0]["name"] == "module._orig_mod.0"


def test_a_weight_that_a_parametrization_computes_is_read() -> None:
    bias = np.arange(2)
    tensors = {"parametrizations.weight.original0": np.ones(2), "parametrizations.weight.original1": np.ones((2, 3))}
    own = module(
        "Linear", tensors | {"bias": bias}, in_features=3, out_features=2, bias=bias, weight=Tensor(np.full((2, 3), 5))
    )
    assert import_torch(own).weights["0.W"].tolist() == [[5, 5, 5], [5, 5, 5]]


def test_modules_of_a_class_of_ones_own_are_named() -> None:
    policy = module("Policy", children={"actor": linear(2, 3), "critic": linear(1, 3)})
    policy.__class__.__module__ = "mine"
    with pytest.raises(ImportRefused) as refused:
        import_torch(policy)
    assert refused.value.remedy == "name the modules that its `forward` calls, in order: modules=['actor', 'critic']"
    found = import_torch(policy, ["actor", "softmax"])
    assert found.origin["modules"][0]["name"] == "actor"
    with pytest.raises(ImportRefused, match="has none called 'value'"):
        import_torch(policy, ["value"])


@pytest.mark.parametrize(
    ("kind", "attributes", "said"),
    [
        ("Conv1d", {}, "several steps at once"),
        ("GELU", {"approximate": "none"}, "no error function"),
        ("Softmax", {"dim": 0}, "not over the numbers of a step"),
        ("Embedding", {"max_norm": 1.0}, "changes its rows"),
        ("LayerNorm", {"normalized_shape": (2, 3)}, "several axes"),
        ("Fold", {}, "is not known"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_the_reason(kind: str, attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(ImportRefused, match=said):
        import_torch(module(kind, **attributes))
