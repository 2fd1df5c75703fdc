"""Converts a torch.nn.Module to a network, without importing torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.torch.activations import FUNCTIONS, INEXPRESSIBLE
from cellar.interchange.torch.modules import CELLS, RECURRENT, TorchModule, function_of, parse_items, refused
from cellar.interchange.torch.reader import assemble
from cellar.interchange.torch.wrappers import PARAMETRIZATIONS, by_unwrapped_name, check_not_computed

Array = NDArray[np.float32]

SEQUENCES = ("Sequential",)
"""Modules that call those in them one after the other."""

WRAPPERS = {"_orig_mod": ("OptimizedModule",), "module": ("DataParallel", "DistributedDataParallel")}
"""Classes that compute what a module in them computes, by its name."""

KNOWN = {("rsl_rl.modules.mlp", "MLP"), ("rsl_rl.modules.normalization", "EmpiricalNormalization")}
"""Classes of other packages whose own `forward` is known: of a Sequential, and one that has a reader."""


def import_torch(module: Any, modules: Sequence[str] | None = None) -> ImportedNetwork:
    """Return a PyTorch module as a network of Cellar with its weights.

    `module` is an RNN, LSTM, GRU, one of their cells, Linear, LayerNorm, Embedding, or a Sequential of such and of
    functions. Of any other class, `modules` names those in it in the order in which its `forward` calls them, with
    functions where they stand: ["lstm", "relu", "head"]. Raise ImportRefused if a module cannot be expressed.

        from cellar.interchange.torch import import_torch
        import_torch(torch.nn.LSTM(8, 32)).save("lstm.safetensors")
    """
    found = tuple(_modules_in(module, "") if modules is None else _named(module, modules))
    tensors = {name: as_array(value) for name, value in _state_dict(module).items()}
    used = tuple(each.name for each in found if each.in_size)
    left_over = [name for name in tensors if not any(_below(name, prefix) for prefix in used)]
    return assemble(found, tensors.keys(), tensors.__getitem__, ignored=left_over)


def _state_dict(module: Any) -> dict[str, Any]:
    """Return the tensors of a module by name, with each weight that a parametrization computes."""
    found = dict(module.state_dict())
    for name in list(found):
        path, parametrized, rest = name.partition(PARAMETRIZATIONS)
        if parametrized or name.startswith(PARAMETRIZATIONS[1:]):
            path, rest = (path, rest) if parametrized else ("", name.removeprefix(PARAMETRIZATIONS[1:]))
            weight, inside = rest.partition(".")[0], dict(module.named_modules(remove_duplicate=False))
            found.pop(name)
            found[f"{path}.{weight}" if path else weight] = getattr(inside[path], weight)
    check_not_computed(found)
    return found


def as_array(tensor: Any) -> Array:
    """Return a tensor of any floating-point type and device as a float32 array."""
    array: Array = np.asarray(tensor.detach().cpu().float().numpy(), np.float32)
    return array


def _below(name: str, prefix: str) -> bool:
    return not prefix or name.startswith(f"{prefix}.")


def _named(module: Any, names: Sequence[str]) -> Iterator[TorchModule]:
    """Yield the modules of that names, which are paths in a module or functions. Raise ImportRefused."""
    inside = dict(module.named_modules(remove_duplicate=False))
    full = by_unwrapped_name(name for name in inside if name.rpartition(".")[2] not in WRAPPERS)
    for item in parse_items(names):
        name = item.name if item.name in inside else full.get(item.name)
        if name is not None:
            yield from _modules_in(inside[name], name)
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
    for wrapper, classes in WRAPPERS.items():
        if type(module).__name__ in classes and hasattr(module, wrapper):
            yield from _modules_in(getattr(module, wrapper), f"{name}.{wrapper}" if name else wrapper)
            return
    kind = _kind(module, name)
    if kind in SEQUENCES:
        for child, inner in module._modules.items():  # not named_children, which yields a shared function once
            yield from _modules_in(inner, f"{name}.{child}" if name else child)
        return
    read = _READERS.get(kind)
    if read is not None:
        yield read(module, kind, name)
    elif kind in FUNCTIONS:
        yield _function(module, kind, name)
    else:
        raise _unknown(module, kind, name)


def _kind(module: Any, name: str) -> str:
    """Return the class of a module in torch.nn, or its own. Raise ImportRefused if it computes something else."""
    own = type(module)
    for each in own.__mro__:
        if each.__module__.startswith("torch.nn.modules"):
            break
        if (each.__module__, each.__name__) in KNOWN:
            return each.__name__ if each.__name__ in _READERS else SEQUENCES[0]
        if "forward" in vars(each):
            raise _unknown(module, "", name)
    hooks = [hook for hooks in ("_forward_pre_hooks", "_forward_hooks") for hook in getattr(module, hooks, {}).values()]
    if hooks:
        raise refused(
            f"{name or own.__name__!r} has hooks, which may change what it computes: {hooks[0]}"[:256],
            name or own.__name__,
            remedy="remove them, such as a weight norm with torch.nn.utils.remove_weight_norm(module)",
        )
    return each.__name__ if each is not object else ""


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
    return TorchModule(type=kind, settings={name: float(getattr(module, name)) for name in FUNCTIONS[kind].numbers})


def _normalizer(module: Any, kind: str, name: str) -> TorchModule:
    size = int(module.mean.shape[0])
    return TorchModule(type=kind, name=name, in_size=size, size=size, settings={"eps": float(module.eps)})


_READERS: Mapping[str, Any] = {
    **dict.fromkeys((*RECURRENT, *CELLS), _recurrent),
    "Linear": _linear,
    "Embedding": _embedding,
    "LayerNorm": _layer_norm,
    "EmpiricalNormalization": _normalizer,
    "GELU": _gelu,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Softplus": _softplus,
    "Dropout": _dropout,
}
