"""Forecast layers: scale outputs back to the units of the targets, and keep the last ones as a state."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from cellar.engine import Cell, Floats, Signal, build_cell
from cellar.errors import InvalidInput
from cellar.nn.model.initialisers import Exact
from cellar.nn.model.interval_widths import (
    ENDS,
    Adaptation,
    Widths,
    adapted_cell,
    adapted_layer,
    places_of,
    session_layer,
)
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.model.lowering import LayerSpec, NetworkBuilder
from cellar.nn.model.session_scale import SessionScale
from cellar.nn.readings.layout import Layout
from cellar.nn.spec.base import MAX_SIZE, Frozen
from cellar.nn.spec.levels import Levels

Finite = Annotated[float, Field(ge=-1e38, le=1e38)]
Distribution = Literal["gaussian", "student", "negative_binomial"]

PARAMETERS: dict[Distribution, tuple[str, ...]] = {
    "gaussian": ("mean", "deviation"),
    "student": ("centre", "scale", "degrees"),
    "negative_binomial": ("mean", "count"),
}
"""The outputs of each target, by distribution."""


class ForecastTarget(Frozen):
    """A target, and how the network's numbers x were scaled: y = scale x + shift, or exp(that) - offset with `log`."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    shift: Finite = Field(0.0, description="The mean of the target in training, or of its logarithm.")
    scale: Annotated[float, Field(gt=0, le=1e38)] = Field(1.0, description="Its deviation.")
    log: bool = Field(False, description="Whether the logarithm of the target plus `offset` was scaled.")
    offset: Finite = Field(0.0, description="Added to the target before its logarithm.")


class QuantileHead(Frozen):
    """A head with a number for each of these quantiles."""

    quantiles: Levels


class Distributed(Frozen):
    """The parameters of a distribution."""

    distribution: Distribution


def _head_kind(value: Any) -> str:
    if isinstance(value, Distributed) or (isinstance(value, dict) and "distribution" in value):
        return "distribution"
    return "quantiles" if isinstance(value, dict | QuantileHead) else "point"


Head = Annotated[
    Annotated[Literal["point"], Tag("point")]
    | Annotated[QuantileHead, Tag("quantiles")]
    | Annotated[Distributed, Tag("distribution")],
    Discriminator(_head_kind),
]


class Residuals(Frozen):
    """How far validation data were beside the forecast: what is added to each of its quantiles.

    The number of a quantile q is the q-quantile of the differences of values and forecast quantiles q, so that a share
    of q of the validation data is below the sum. The quantiles of a point forecast are the point.
    """

    levels: Levels
    values: Annotated[tuple[Finite, ...], Field(strict=False, max_length=1_000_000)] = Field(
        description="In units of the targets, by step of the horizon, target and level."
    )
    adaptation: Adaptation | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Whether widths follow the errors of a session's forecasts: of a point, whose targets are read.",
    )

    @model_validator(mode="after")
    def _has_the_adapted_interval(self) -> Self:
        if self.adaptation is not None and not set(ENDS) <= set(self.levels):
            raise ValueError("widths that adapt need the levels 0.1, 0.5 and 0.9")
        return self


def _distinct(targets: tuple[ForecastTarget, ...]) -> tuple[ForecastTarget, ...]:
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two targets are named {name!r}")
    return targets


class ForecastSpec(LayerSpec):
    """The outputs in units of the targets, for each step ahead. Only as the last layer. It is not trained.

    Its outputs are those of step 1, then of step 2, and so on; within a step by target, within a target by quantile or
    parameter. A session keeps the last ones as its state.
    """

    type: Literal["forecast"] = "forecast"
    targets: Annotated[
        tuple[ForecastTarget, ...], Field(strict=False, min_length=1, max_length=1024), AfterValidator(_distinct)
    ] = Field(description="The targets, in the order of the outputs.")
    horizon: Annotated[int, Field(ge=1, le=MAX_SIZE)] = Field(1, description="Steps ahead; 1: the next one only.")
    head: Head = Field(
        "point", description="The outputs of a target: one number, quantiles, or the parameters of a distribution."
    )
    residuals: Residuals | None = Field(
        None, exclude_if=lambda value: value is None, description="Measured on validation data; they widen intervals."
    )
    session_scale: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="Whether outputs, and residuals, are in the scale that each session keeps for the columns of the"
        " targets, which have `session_scale` in the layer of readings. Targets then have no scale of their own.",
    )

    @model_validator(mode="after")
    def _counts_are_not_scaled(self) -> Self:
        if self.distribution == "negative_binomial":
            for target in self.targets:
                if (target.shift, target.scale, target.log) != (0, 1, False):
                    raise ValueError(f"counts are not scaled: {target.name!r} needs shift 0, scale 1 and no log")
        return self

    @model_validator(mode="after")
    def _has_one_scale(self) -> Self:
        if self.session_scale:
            if self.distribution == "negative_binomial":
                raise ValueError("counts are not scaled, and so not by the session")
            for target in self.targets:
                if (target.shift, target.scale, target.log) != (0, 1, False):
                    raise ValueError(f"with session_scale, {target.name!r} needs shift 0, scale 1 and no log")
        return self

    @property
    def distribution(self) -> Distribution | None:
        """The distribution whose parameters the outputs are; None without one."""
        return self.head.distribution if isinstance(self.head, Distributed) else None

    @property
    def levels(self) -> tuple[float, ...] | None:
        """The quantiles that the outputs are; None without any."""
        return self.head.quantiles if isinstance(self.head, QuantileHead) else None

    @property
    def has_spread(self) -> bool:
        """Whether forecasts have quantiles: of the head, or of residuals."""
        return self.head != "point" or self.residuals is not None

    @property
    def each(self) -> int:
        """The outputs of a target and step."""
        if self.distribution is not None:
            return len(PARAMETERS[self.distribution])
        return 1 if self.levels is None else len(self.levels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The axes of the outputs: steps ahead, targets, outputs of each."""
        return self.horizon, len(self.targets), self.each

    @property
    def out_size(self) -> int:
        """The number of outputs."""
        return math.prod(self.shape)

    def append_to(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Signal:
        """Append the layer, and set the forecast of the network. Nothing may follow."""
        adapts = self.residuals is not None and self.residuals.adaptation is not None
        if not adapts and not self.session_scale:
            found = super().append_to(network, signal, pointer)
        else:
            number = network.next_number(pointer)
            self._check(network.width(signal), pointer)
            make = self._adapted if adapts else self._scaled
            found = network.append(replace(make(network, signal, pointer), name=str(number), number=number))
        network.forecast = (self, pointer)
        return found

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the layer of the scales, whose state is its output."""
        self._check(in_size, pointer)
        text, constants = self._equations()
        named = {name: Exact.of(np.tile(values.reshape(-1), self.horizon)) for name, values in constants.items()}
        return make_layer(build_cell(text, {"in": in_size}), "forecast", {}, pointer, named=named).as_frozen()

    @property
    def widths(self) -> Widths | None:
        """The constants of the widths that adapt; None if none does."""
        if self.residuals is None or self.residuals.adaptation is None:
            return None
        values = np.array(self.residuals.values).reshape(self.horizon, len(self.targets), -1)
        ends = values[..., [self.residuals.levels.index(level) for level in ENDS]]
        return Widths.of(self.residuals.adaptation, ends)

    def _adapted(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Layer:
        """Return the layer whose widths adapt."""
        layout = None if network.readings is None else network.readings.layout
        names = [target.name for target in self.targets]
        places = None if layout is None else places_of(layout, names, session_scale=self.session_scale)
        if self.head != "point" or any(target.log for target in self.targets) or layout is None or places is None:
            raise InvalidInput(
                "widths adapt to readings of the targets",
                pointer=f"{pointer}/residuals/adaptation",
                expected="a head that is a point, targets without log, and a layer of readings with a carried column"
                " of the name of each target",
            )
        widths, (scale, shift) = self.widths, self.scales
        assert widths is not None
        if self.session_scale:
            found, scales = self._session_scale(network, pointer)
            return session_layer(widths, found, layout, places, (signal, scales), pointer)
        return adapted_layer(widths, scale, shift, layout, places, signal, pointer)

    def _scaled(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Layer:
        """Return the layer with the scale of the session, whose widths do not adapt."""
        found, scales = self._session_scale(network, pointer)
        terms, constants = self._terms()
        tiled = {name: np.tile(values.reshape(-1), self.horizon) for name, values in constants.items()}
        return found.layer(terms, tiled, (signal, scales), pointer)

    def scale_in(self, layout: Layout) -> SessionScale | None:
        """Return how outputs are scaled by the session; None if it does not keep the scale of each target."""
        # Of a distribution the first output has the shift, and degrees of freedom have no scale.
        shifted, scaled = (np.zeros(self.shape, np.float32) for _ in range(2))
        shifted[..., : 1 if self.distribution else self.each] = 1
        scaled[..., : 2 if self.distribution else self.each] = 1
        return SessionScale.of(layout, [target.name for target in self.targets], shifted, scaled)

    def _session_scale(self, network: NetworkBuilder, pointer: str) -> tuple[SessionScale, Signal]:
        """Return how outputs are scaled, and the signal of the scales."""
        found = None if network.readings is None else self.scale_in(network.readings.layout)
        if found is None or network.scales is None:
            raise InvalidInput(
                "sessions do not keep the scale of each target",
                pointer=f"{pointer}/session_scale",
                expected="false, or readings with a column of the name of each target that has session_scale",
                actual="true",
            )
        return found, network.scales

    @property
    def scales(self) -> tuple[Floats, Floats]:
        """The scale and the shift of each output of a point, (horizon x targets,)."""
        numbers = [[target.scale, target.shift] for target in self.targets] * self.horizon
        scale, shift = np.array(numbers, np.float32).T
        return np.ascontiguousarray(scale), np.ascontiguousarray(shift)

    def _check(self, in_size: int, pointer: str) -> None:
        if in_size != self.out_size:
            raise InvalidInput(
                f"the forecast reads horizon x targets x {self.each} numbers",
                pointer=pointer,
                expected=f"{self.horizon} x {len(self.targets)} x {self.each} = {self.out_size}",
                actual=f"a layer with {in_size} outputs before it",
            )
        if self.residuals is not None:
            expected = self.horizon * len(self.targets) * len(self.residuals.levels)
            if len(self.residuals.values) != expected:
                raise InvalidInput(
                    "residuals are horizon x targets x levels numbers",
                    pointer=f"{pointer}/residuals/values",
                    expected=str(expected),
                    actual=str(len(self.residuals.values)),
                )
            adaptation, count = self.residuals.adaptation, self.horizon * len(self.targets)
            if adaptation is not None and len(adaptation.factors) != count:
                raise InvalidInput(
                    "factors are horizon x targets numbers",
                    pointer=f"{pointer}/residuals/adaptation/factors",
                    expected=str(count),
                    actual=str(len(adaptation.factors)),
                )

    def _equations(self) -> tuple[str, dict[str, Floats]]:
        """Return the equations, and their constants as `_terms`."""
        terms, constants = self._terms()
        declared = "".join(f"param {name}: in\n" for name in constants)
        return f"{declared}state last: in\nlast = {terms}", constants

    def _terms(self) -> tuple[str, dict[str, Floats]]:
        """Return the outputs in units of the targets as an expression, and its constants (targets, outputs of each).

        They are 0 where they are not used: the language has no parts of vectors, so each term is multiplied by a vector
        that is 0 for other outputs.
        """
        places = np.eye(self.each, dtype=np.float32)
        scale, shift, log, offset = (
            np.array([[getattr(target, name)] for target in self.targets], np.float32)
            for name in ("scale", "shift", "log", "offset")
        )
        if self.distribution == "negative_binomial":
            return _COUNT_TERMS, {"m": (scale * places[0]), "s": scale * places[1]}
        where = places[0] if self.distribution is not None else np.ones(self.each, np.float32)
        constants, terms = {"a": scale * where, "b": shift * where}, "a * x + b"
        if self.distribution is not None:
            constants["s"] = scale * places[1]
            terms += " + s * (softplus(x) + 0.001)"
        if self.distribution == "student":
            constants["f"] = np.ones_like(scale) * places[2]
            terms += " + f * (2 + softplus(x))"
        if self.distribution is None and log.any():
            constants |= {"g": log * where, "o": offset * where}
            terms = f"(1 - g) * ({terms}) + g * (exp(g * ({terms})) - o)"
        return terms, constants

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield the cell of each kind of head."""
        heads: tuple[Any, ...] = ("point", *({"distribution": name} for name in PARAMETERS))
        for head in heads:
            spec = cls.model_validate({"targets": [{"name": "y"}], "head": head})
            yield build_cell(spec._equations()[0], {"in": size})
        logs = cls.model_validate({"targets": [{"name": "y", "log": True}]})
        yield build_cell(logs._equations()[0], {"in": size})
        yield adapted_cell(size, size, size)


_COUNT_TERMS = "m * exp(min(m * x, 80)) + s * (softplus(x) + 0.001)"
