"""Modules as requests name them, and what the names and shapes of tensors tell or do not tell."""

from typing import Any

import pytest

from cellar.errors import ImportRefused
from cellar.interchange.torch.inference import infer
from cellar.interchange.torch.modules import Shape, TorchModule, parse_items
from cellar.interchange.torch.reader import ignored, modules_in
from cellar.interchange.torch.resolve import resolve
from cellar.interchange.torch.translate import modules_of, network_of
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

LSTM: dict[str, Shape] = {"lstm.weight_ih_l0": (16, 3), "lstm.weight_hh_l0": (16, 4)}
RNN: dict[str, Shape] = {"rnn.weight_ih_l0": (4, 4), "rnn.weight_hh_l0": (4, 4)}
HEAD: dict[str, Shape] = {"head.weight": (2, 4), "head.bias": (2,)}
BARE: dict[str, Shape] = {"head.weight": (2, 4)}


def linear(name: str, out: int, into: int) -> dict[str, Shape]:
    """Return the tensors of a Linear module."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def refusal(items: list[str] | None, shapes: dict[str, Shape]) -> ImportRefused:
    """Return the error that modules raise."""
    with pytest.raises(ImportRefused) as refused:
        infer(shapes) if items is None else network_of(resolve(parse_items(items), shapes))
    return refused.value


@pytest.mark.parametrize(
    ("shapes", "order"),
    [
        ({**HEAD, **LSTM}, ["lstm", "head"]),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4)}, [""]),
        ({"weight_ih": (12, 3), "weight_hh": (12, 4)}, [""]),
        ({**linear("net.2", 2, 4), "net.1.weight": (4,), **{f"net.0.{n[5:]}": s for n, s in LSTM.items()}}, None),
        (
            {**{f"b.{n[5:]}": s for n, s in LSTM.items()}, "a.weight_ih_l0": (15, 4), "a.weight_hh_l0": (15, 5)},
            ["b", "a"],
        ),
    ],
)
def test_an_order_that_can_be_no_other_is_found(shapes: dict[str, Shape], order: list[str] | None) -> None:
    assert [module.name for module in infer(shapes)] == (order or ["net.0", "net.1", "net.2"])


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({**linear("a", 4, 4), **linear("b", 4, 4)}, "several orders fit"),
        ({**linear("a", 5, 4), **linear("b", 7, 6)}, "no order of all modules fits"),
        ({**LSTM, **linear("a", 5, 4), **linear("b", 7, 5)}, "between 'a' and 'b'"),
        ({**linear("0", 5, 4), **linear("2", 7, 5)}, "modules without tensors stand among"),
        ({**RNN}, "tanh or relu"),
        ({**LSTM, **BARE}, "Linear without bias or an Embedding"),
        (
            {name: shape for number in range(9) for name, shape in linear(f"m{number}", 4, 4).items()},
            "too many modules",
        ),
        ({}, "no tensors"),
    ],
)
def test_what_is_not_in_the_tensors_is_asked_for(shapes: dict[str, Shape], said: str) -> None:
    error = refusal(None, shapes)
    assert said in error.detail
    assert error.remedy is not None or not shapes


@pytest.mark.parametrize(
    ("items", "shapes", "said"),
    [
        (["rnn"], RNN, "tanh or relu"),
        (["rnn:tanh:relu"], RNN, "tanh or relu"),
        (["rnn:sigmoid"], RNN, "tanh or relu"),
        (["lstm:relu"], LSTM, "nothing that it takes"),
        (["head"], BARE, "Linear without bias or an Embedding"),
        (["lstn"], LSTM, "did you mean 'lstm'?"),
        (["gelu"], LSTM, "no error function"),
        (["lstm", "elu:x"], LSTM, "no number"),
        (["lstm", "elu:gamma=2"], LSTM, "no setting 'gamma'"),
        (["lstm", "dropout:p=2"], LSTM, "below 1"),
        (["tanh"], LSTM, "no module has tensors"),
        (["head", "lstm"], {**LSTM, **HEAD}, "reads another number of values"),
        (["net"], linear("net.0", 1, 2), "holds several modules"),
        (["bn"], {"bn.weight": (3,), "bn.bias": (3,), "bn.running_mean": (3,)}, "a batch norm"),
        (["lstm"], {"lstm.weight_ih_l0": (16, 3)}, "is missing"),
        (["lstm"], {"lstm.weight_ih_l0": (16, 3), "lstm.weight_hh_l0": (14, 4)}, "rows of no recurrent module"),
        (["head"], linear("head", 20_000, 2), "a size that no layer has"),
        (["tanh"] * 200, LSTM, "too many modules"),
    ],
)
def test_modules_that_are_named_wrongly_are_refused(items: list[str], shapes: dict[str, Shape], said: str) -> None:
    assert said in refusal(items, shapes).detail


def test_modules_are_named_with_what_the_tensors_do_not_tell() -> None:
    shapes = {**RNN, "norm.weight": (4,), **BARE}
    found = resolve(parse_items(["rnn:nonlinearity=relu", "norm:1e-3", "leaky_relu:0.3", "head:linear"]), shapes)
    assert [(module.type, module.nonlinearity, module.settings) for module in found] == [
        ("RNN", "relu", {}),
        ("LayerNorm", None, {"eps": 1e-3}),
        ("LeakyReLU", None, {"negative_slope": 0.3}),
        ("Linear", None, {}),
    ]
    spec = network_of(found)
    assert "0.3 * min(x, 0)" in spec.model_dump_json()


LAYERS: list[dict[str, Any]] = [
    {"type": "recurrent", "cell": "lstm", "hidden_size": 3},
    {"type": "bidirectional", "layer": {"type": "recurrent", "cell": "gru", "hidden_size": 2}},
    {"type": "layer_norm"},
    {"type": "dropout", "rate": 0.25},
    {"type": "recurrent", "cell": "rnn", "activation": "relu", "hidden_size": 2},
    {"type": "dense", "out_size": 2, "activation": "tanh"},
]


def test_a_network_is_a_sequential_whose_modules_are_numbered() -> None:
    network = Network(NetworkSpec.model_validate({"in_size": 2, "layers": LAYERS}))
    found = modules_of(network)
    assert [(module.type, module.name) for module in found] == [
        ("LSTM", "0"),
        ("GRU", "1"),
        ("LayerNorm", "2"),
        ("Dropout", ""),
        ("RNN", "4"),
        ("Linear", "5"),
        ("Tanh", ""),
    ]


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "recurrent", "cell": "mgu", "hidden_size": 2},
        {"type": "recurrent", "cell": "rnn", "activation": "sigmoid", "hidden_size": 2},
        {"type": "recurrent", "cell": "lstm", "hidden_size": 2, "trainable_state": True},
        {"type": "recurrent", "cell": {"equations": "h = h + x"}, "hidden_size": 2},
        {"type": "reverse", "layer": {"cell": "rnn", "hidden_size": 2}},
        {"type": "residual", "layers": [{"type": "dense", "out_size": 2}]},
    ],
)
def test_what_pytorch_has_no_module_for_is_refused(layer: dict[str, Any]) -> None:
    network = Network(NetworkSpec.model_validate({"in_size": 2, "layers": [layer]}))
    with pytest.raises(ImportRefused) as refused:
        modules_of(network)
    assert refused.value.place == "network/layers/0"


def test_modules_keep_what_their_json_says() -> None:
    module = TorchModule(type="LSTM", name="a", in_size=2, size=3, bias=False, settings={"p": 0.5})
    assert TorchModule.model_validate(module.model_dump(exclude_defaults=True)) == module


@pytest.mark.parametrize("begin", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_need_not_be_named(begin: str) -> None:
    shapes = {f"{begin}{name}": shape for name, shape in {**LSTM, **HEAD}.items()}
    modules = resolve(parse_items(["lstm", "head"]), shapes)
    assert [each.name for each in modules] == [f"{begin}lstm", f"{begin}head"]
    assert [each.name for each in infer(shapes)] == [f"{begin}lstm", f"{begin}head"]
    assert ignored(f"{begin}head.weight", ["head"])


def test_a_name_that_two_modules_would_have_without_their_prefixes_is_asked_for() -> None:
    shapes = {**linear("module.head", 2, 4), **linear("head", 2, 4)}
    assert resolve(parse_items(["head"]), shapes)[0].name == "head"
    shapes = {**linear("module.head", 2, 4), **linear("_orig_mod.head", 2, 4)}
    assert refusal(["head"], shapes).place == "head"


@pytest.mark.parametrize(
    ("names", "place", "remedy"),
    [
        (["lstm.parametrizations.weight_hh_l0.original0"], None, "remove_parametrizations(module, 'weight_hh_l0')"),
        (["lstm.weight_hh_l0_g", "lstm.weight_hh_l0_v"], None, "remove_weight_norm"),
        (["head.weight_orig", "head.weight_u"], "head.weight_u", "remove_spectral_norm"),
        (["head.weight_orig", "head.weight_mask"], "head.weight_mask", "prune.remove"),
    ],
)
def test_tensors_from_which_a_weight_is_computed_are_refused(names: list[str], place: str | None, remedy: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        modules_in({**LSTM, **HEAD, **dict.fromkeys(names, (4, 4))}, ["lstm", "head"])
    assert refused.value.place == (place or names[0])
    assert remedy in str(refused.value.remedy)


def test_an_observation_normalizer_of_rsl_rl() -> None:
    shapes: dict[str, Shape] = {"norm._mean": (1, 3), "norm._var": (1, 3), "norm._std": (1, 3), "norm.count": ()}
    (module,) = resolve(parse_items(["norm:eps=0.5"]), shapes)
    assert (module.type, module.size, module.settings) == ("EmpiricalNormalization", 3, {"eps": 0.5})
    network = Network(network_of([module]))
    assert dict(network.parameters) == {"0.m": (3,), "0.s": (3,)}
