"""Requests to explain the equations of a cell, and their answers."""

from typing import Self

from pydantic import Field

from cellar.api.schemas.names import Answer
from cellar.engine import Cell
from cellar.nn.spec.base import Frozen, ParameterName, Size


class CellRequest(Frozen):
    """A cell to explain."""

    equations: str = Field(description="Equations, one on each line; `x` is the input.")
    sizes: dict[ParameterName, Size] = Field(
        description="Sizes by name: `in` of the input, `hidden` of the states, and the sizes that the equations"
        " declare.",
        examples=[{"in": 3, "hidden": 5}],
    )


class CellParameter(Answer):
    """One array of weights that the cell has."""

    name: str
    shape: list[int]


class CellState(Answer):
    """One state that the cell carries from step to step."""

    name: str
    size: int


class CellOutput(Answer):
    """The output of the cell at each step."""

    size: int


class CellAnswer(Answer):
    """A cell explained."""

    parameters: list[CellParameter]
    states: list[CellState]
    output: CellOutput
    operations: int = Field(description="Number of operations of one step; at most 64 are allowed.")
    flops: int = Field(description="Floating-point operations of one step of one row.")
    digest: str = Field(description="Digest of the structure and the names of the cell. Sizes are not part of it.")
    canonical: str = Field(description="The cell as the service understands it, with one operation on each line.")

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """Return the answer for a cell that was built."""
        return cls.read(
            cell,
            parameters=[CellParameter(name=param.name, shape=list(param.shape)) for param in cell.params],
            states=[CellState(name=state.name, size=state.size) for state in cell.states],
            output=CellOutput(size=cell.out_size),
        )
