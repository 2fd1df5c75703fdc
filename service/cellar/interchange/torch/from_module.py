"""Converts a torch.nn.Module to a network, without importing torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.torch.activations import FUNCTIONS, INEXPRESSIBLE
from cellar.interchange.torch.modules import CELLS, RECURRENT, TorchModule, function_of, parse_items, refused
from cellar.interchange.torch.reader import assemble

Array = NDArray[np.float32]

SEQUENCES = ("Sequential",)
"""Modules that call those in them one after the other."""


def import_torch(module: Any, modules: Sequence[str] | None = None) -> ImportedNetwork:
    """Return a PyTorch module as a network of Cellar with its weights.

    `module` is an RNN, LSTM, GRU, one of their cells, Linear, LayerNorm, Embedding, or a Sequential of such and of
    functions. Of any other class, `modules` names those in it in the order in which its `forward` calls them, with
    functions where they stand: ["lstm", "relu", "head"]. Raise ImportRefused if a module cannot be expressed.

        from cellar.interchange.torch import import_torch
        import_torch(torch.nn.LSTM(8, 32)).save("lstm.safetensors")
    """
    found = tuple(_modules_in(module, "") if modules is None else _named(module, modules))
    tensors = {name: as_array(value) for name, value in module.state_dict().items()}
    used = tuple(each.name for each in found if each.in_size)
    left_over = [name for name in tensors if not any(_below(name, prefix) for prefix in used)]
    return assemble(found, tensors.keys(), tensors.__getitem__, ignored=left_over)


def as_array(tensor: Any) -> Array:
    """Return a tensor of any floating-point type and device as a float32 array."""
    array: Array = np.asarray(tensor.detach().cpu().float().numpy(), np.float32)
    return array


def _below(name: str, prefix: str) -> bool:
    return not prefix or name.startswith(f"{prefix}.")


def _named(module: Any, names: Sequence[str]) -> Iterator[TorchModule]:
    """Yield the modules of that names, which are paths in a module or functions. Raise ImportRefused."""
    inside = dict(module.named_modules())
    for item in parse_items(names):
        if item.name in inside:
            yield from _modules_in(inside[item.name], item.name)
        elif (function := function_of(item)) is not None:
            yield function
        else:
            raise refused(
                f"the module has none called {item.name!r}, and no function is called so",
                item.text,
                expected=f"one of {', '.join(name for name in inside if name)}, or a function",
                actual=item.text,
            )


def _modules_in(module: Any, name: str) -> Iterator[TorchModule]:
    """Yield a module, or those of a Sequential. Raise ImportRefused for another class."""
    kinds = [each.__name__ for each in type(module).__mro__ if each.__module__.startswith("torch.nn.modules")]
    kind = kinds[0] if kinds else ""
    if kind in SEQUENCES:
        for child, inner in module.named_children():
            yield from _modules_in(inner, f"{name}.{child}" if name else child)
        return
    read = _READERS.get(kind)
    if read is not None:
        yield read(module, kind, name)
    elif kind in FUNCTIONS:
        yield _function(module, kind, name)
    else:
        raise _unknown(module, kind, name)


def _unknown(module: Any, kind: str, name: str) -> Exception:
    children = [child for child, _ in module.named_children()]
    place = name or type(module).__name__
    if kind in INEXPRESSIBLE:
        return refused(f"{place!r} cannot be expressed: {INEXPRESSIBLE[kind]}", place, actual=kind)
    return refused(
        f"what {place!r} computes is not known: it is a {type(module).__name__}",
        place,
        expected="RNN, LSTM, GRU, their cells, Linear, LayerNorm, Embedding, a function, or a Sequential of such",
        actual=type(module).__name__,
        remedy=f"name the modules that its `forward` calls, in order: modules={children}" if children else None,
    )


def _recurrent(module: Any, kind: str, name: str) -> TorchModule:
    rnn = kind in ("RNN", "RNNCell")
    several = kind in RECURRENT
    rate = float(module.dropout) if several else 0.0
    return TorchModule(
        type=kind,
        name=name,
        in_size=module.input_size,
        size=module.hidden_size,
        proj_size=getattr(module, "proj_size", 0),
        layers=module.num_layers if several else 1,
        bidirectional=bool(several and module.bidirectional),
        bias=bool(module.bias),
        nonlinearity=module.nonlinearity if rnn else None,
        settings={"p": rate} if rate else {},
    )


def _linear(module: Any, kind: str, name: str) -> TorchModule:
    return TorchModule(
        type=kind, name=name, in_size=module.in_features, size=module.out_features, bias=module.bias is not None
    )


def _embedding(module: Any, kind: str, name: str) -> TorchModule:
    if module.max_norm is not None:
        raise refused(f"{name!r} changes its rows while it reads them (max_norm)", name, expected="max_norm=None")
    return TorchModule(type=kind, name=name, in_size=module.num_embeddings, size=module.embedding_dim)


def _layer_norm(module: Any, kind: str, name: str) -> TorchModule:
    if len(module.normalized_shape) != 1:
        raise refused(f"{name!r} normalises several axes", name, expected="one", actual=str(module.normalized_shape))
    settings = {"eps": float(module.eps)}
    if not module.elementwise_affine:
        return TorchModule(type="LayerNormPlain", settings=settings)
    size = module.normalized_shape[0]
    return TorchModule(type=kind, name=name, in_size=size, size=size, bias=module.bias is not None, settings=settings)


def _gelu(module: Any, kind: str, name: str) -> TorchModule:
    if module.approximate != "tanh":
        raise refused(f"{name!r} cannot be expressed: {INEXPRESSIBLE[kind]}", name or kind, actual="GELU()")
    return TorchModule(type="GELUTanh")


def _softmax(module: Any, kind: str, name: str) -> TorchModule:
    if module.dim not in (-1, 2):
        raise refused(
            f"{name!r} is not over the numbers of a step", name or kind, expected="dim=-1", actual=f"dim={module.dim}"
        )
    return TorchModule(type=kind)


def _softplus(module: Any, kind: str, _name: str) -> TorchModule:
    return TorchModule(type=kind, settings={"beta": float(module.beta)})


def _dropout(module: Any, kind: str, _name: str) -> TorchModule:
    return TorchModule(type=kind, settings={"p": float(module.p)})


def _function(module: Any, kind: str, _name: str) -> TorchModule:
    return TorchModule(type=kind, settings={name: float(getattr(module, name)) for name in FUNCTIONS[kind].settings})


_READERS: Mapping[str, Any] = {
    **dict.fromkeys((*RECURRENT, *CELLS), _recurrent),
    "Linear": _linear,
    "Embedding": _embedding,
    "LayerNorm": _layer_norm,
    "GELU": _gelu,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Softplus": _softplus,
    "Dropout": _dropout,
}
