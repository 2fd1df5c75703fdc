"""Lists of PyTorch modules in the order of their calls, as requests name them, and their settings."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from cellar.errors import ImportRefused
from cellar.errors.suggestions import plain_name, suggestion
from cellar.interchange.torch.activations import FUNCTIONS, INEXPRESSIBLE
from cellar.nn.spec.base import MAX_SIZE, Frozen

Shape = tuple[int, ...]

RECURRENT = ("RNN", "LSTM", "GRU")
CELLS = ("RNNCell", "LSTMCell", "GRUCell")
MAX_MODULES = 128
Nonlinearity = Literal["tanh", "relu"]


class TorchModule(Frozen):
    """One module, with all that decides what it computes."""

    type: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,40}$")]
    """Its class in torch.nn."""
    name: Annotated[str, Field(max_length=256)] = ""
    """The prefix of its tensors' names, without the dot; also empty for a module without tensors."""
    in_size: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    """Numbers that a module with tensors reads; 0 of others."""
    size: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    """Numbers that it answers, of a recurrent one its hidden size."""
    proj_size: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0
    layers: Annotated[int, Field(ge=1, le=64)] = 1
    bidirectional: bool = False
    bias: bool = True
    nonlinearity: Nonlinearity | None = None
    """Of RNN and RNNCell."""
    settings: dict[Annotated[str, Field(pattern="^[a-z_]{1,20}$")], Annotated[float, Field(ge=-1e9, le=1e9)]] = Field(
        default_factory=dict
    )
    """Numbers that the class takes: eps, p, alpha, negative_slope."""

    @property
    def out_size(self) -> int:
        """Return how many numbers a module with tensors answers."""
        return (self.proj_size or self.size) * (1 + self.bidirectional)

    def tensor(self, array: str) -> str:
        """Return the name of one of its tensors in the state dict."""
        return f"{self.name}.{array}" if self.name else array


class Item(Frozen):
    """A module in a request: named by its place in the state dict or by its function, with its settings."""

    text: str
    name: str
    words: tuple[str, ...] = ()
    """The text after a colon, without `=`: the type, the nonlinearity, or the value of the only setting."""
    settings: dict[str, str] = Field(default_factory=dict)


def parse_items(texts: Sequence[str]) -> tuple[Item, ...]:
    """Return the modules of a request: `lstm`, `rnn:relu`, `norm:eps=1e-6`, `leaky_relu:0.2`. Raise ImportRefused."""
    if len(texts) > MAX_MODULES:
        raise refused("too many modules", "modules", expected=f"at most {MAX_MODULES}", actual=str(len(texts)))
    return tuple(_parse_item(text.strip()) for text in texts)


def _parse_item(text: str) -> Item:
    name, *rest = text.split(":")
    pairs = [part.partition("=") for part in rest]
    words = tuple(key for key, equals, _ in pairs if not equals)
    return Item(
        text=text, name=name if name != "." else "", words=words, settings={k: v for k, equals, v in pairs if equals}
    )


_BY_PLAIN_NAME = {plain_name(name): name for name in (*FUNCTIONS, "Dropout")}


def function_of(item: Item) -> TorchModule | None:
    """Return the module without tensors that an item names, or None if there is none. Raise ImportRefused."""
    kind = _BY_PLAIN_NAME.get(plain_name(item.name))
    if kind is None:
        return None
    known = {"p": 0.5} if kind == "Dropout" else FUNCTIONS[kind].numbers
    return TorchModule(type=kind, settings=settings_of(item, known))


def settings_of(item: Item, known: Mapping[str, float], words: Sequence[str] | None = None) -> dict[str, float]:
    """Return the settings of an item as numbers; a bare number is the first of those that are known.

    Raise ImportRefused for an unknown setting, or if one is no number.
    """
    given = dict(item.settings)
    for word in item.words if words is None else words:
        if not known or next(iter(known)) in given:
            raise refused(f"{item.text!r}: {word!r} is nothing that it takes", item.text, expected=_settings(known))
        given[next(iter(known))] = word
    for name, value in given.items():
        if name not in known:
            raise refused(
                f"{item.text!r} has no setting {name!r}{suggestion(name, known)}", item.text, expected=_settings(known)
            )
        if not re.fullmatch(r"-?[0-9.]{1,20}(e-?[0-9]{1,3})?", value):
            raise refused(f"{item.text!r}: {value!r} is no number", item.text, expected="a number", actual=value)
    return {name: float(value) for name, value in given.items()}


def _settings(known: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in known.items()) or "no setting"


def unknown_item(item: Item, prefixes: Sequence[str]) -> ImportRefused:
    """Return the error of an item that is neither a module with tensors nor a function."""
    inside = [prefix for prefix in prefixes if prefix.startswith(f"{item.name}.")]
    if inside:
        return refused(
            f"{item.name!r} holds several modules, whose order is not known",
            item.text,
            expected="each module in it by its own name, with the functions between them",
            actual=item.text,
            remedy=f"name them: {','.join(inside)}",
        )
    reasons = {plain_name(name): reason for name, reason in INEXPRESSIBLE.items()}
    reason = reasons.get(plain_name(item.name))
    if reason is not None:
        return refused(f"{item.name!r} cannot be expressed: {reason}", item.text, actual=item.text)
    names = [*prefixes, *FUNCTIONS, "Dropout"]
    return refused(
        f"no tensor begins with {item.name + '.'!r}, and no function is called so{suggestion(item.name, names)}",
        item.text,
        expected=f"one of {', '.join(prefixes[:32])}, or a function: {', '.join([*FUNCTIONS, 'Dropout'])}",
        actual=item.text,
    )


def refused(
    detail: str,
    place: str,
    *,
    expected: str | None = None,
    actual: str | None = None,
    remedy: str | None = None,
    pointer: str = "/modules",
) -> ImportRefused:
    """Return the error of modules that are named wrongly, or that cannot be expressed."""
    return ImportRefused(
        detail, place=place[:256] or ".", pointer=pointer, expected=expected, actual=actual, remedy=remedy
    )
