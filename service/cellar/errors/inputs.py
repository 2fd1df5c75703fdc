"""Errors of requests and cells whose content is wrong: sending them again does not help."""

from dataclasses import dataclass
from typing import ClassVar

from cellar.errors.base import CellarError


@dataclass(eq=False, repr=False, kw_only=True)
class InvalidInput(CellarError, slug="invalid_input", title="Invalid input"):
    """A part of the request is not allowed.

    `pointer` is an RFC 6901 JSON pointer to the fault, "" for the whole document.
    """

    members: ClassVar[tuple[str, ...]] = ("pointer", "expected", "actual")
    pointer: str = ""
    expected: str | None = None
    actual: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class CellError(InvalidInput, slug="cell_invalid", title="Invalid cell"):
    """A fault in cell text. `line` and `column` count from 1; `excerpt` is the line with a caret below."""

    members = (*InvalidInput.members, "line", "column", "excerpt")
    line: int = 1
    column: int = 1
    excerpt: str = ""


class CellSyntaxError(CellError, slug="cell_syntax", title="Cell syntax error"):
    """The text is not in the cell language."""


class CellNameError(CellError, slug="cell_name", title="Cell name error"):
    """A name that is unknown, reserved, assigned twice or misspelt."""


class CellShapeError(CellError, slug="cell_shape", title="Cell shape error"):
    """Shapes that do not fit, or a size that cannot be inferred."""


class CellLimitError(CellError, slug="cell_limit", title="Cell too large"):
    """More operations, depth or text than a cell may have."""


class ShapeMismatch(InvalidInput, slug="shape_mismatch", title="Wrong shape"):
    """An array whose shape is not the expected one."""


class NotFinite(InvalidInput, slug="not_finite", title="Number not finite"):
    """A number that float32 cannot represent as a finite number."""


class IdUnknown(InvalidInput, slug="id_unknown", title="Unknown id"):
    """An input of an embedding that is not one of its ids, or a column or category that the model does not know."""


class TypeMismatch(InvalidInput, slug="type_mismatch", title="Wrong type"):
    """A value that an input of the model cannot hold, such as 0.5 where it takes integers, or a text for a number."""


class WholeSequencesOnly(InvalidInput, slug="whole_sequences_only", title="Whole sequences only"):
    """A single step of a model that reads each sequence from both ends."""


@dataclass(eq=False, repr=False, kw_only=True)
class InvalidParameter(InvalidInput, slug="invalid_parameter", title="Invalid parameter"):
    """A value outside the body: `location` is path, query or header, `parameter` its name there."""

    members = ("location", "parameter", "expected", "actual")
    location: str
    parameter: str


class TooManyFaults(InvalidInput, slug="too_many_faults", title="Too many faults"):
    """Too many lines in a row could not be read, so the rest of the body was not read."""


class JobTooLarge(InvalidInput, slug="job_too_large", title="Job too large"):
    """A training job needs more memory than it may have; it was not submitted."""


class ForkTooLarge(InvalidInput, slug="fork_too_large", title="Fork too large"):
    """The children together would have more state than one request may write; none was created."""


@dataclass(eq=False, repr=False, kw_only=True)
class ImportRefused(InvalidInput, slug="import_refused", title="Cannot be imported"):
    """A file or tensors of a network that cannot be read, or that Cellar cannot express.

    `place` names the tensor, layer or node, `remedy` what to do about it.
    """

    members = ("place", *InvalidInput.members, "remedy")
    place: str
    remedy: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class DatasetInvalid(InvalidInput, slug="dataset_invalid", title="Invalid dataset"):
    """A file of readings that cannot be read as asked.

    `row` counts from 1 with the header, as a spreadsheet does; `column` is a name.
    """

    members = ("row", "column", "expected", "actual")
    row: int | None = None
    column: str | None = None


class StepFailed(InvalidInput, slug="step_failed", title="Step failed"):
    """A step that the model cannot compute, such as an index that its graph does not have."""


class FingerprintMismatch(InvalidInput, slug="fingerprint_mismatch", title="Key used with another body"):
    """An idempotency key that was used before with another body."""


class StateNotFinite(InvalidInput, slug="state_not_finite", title="State not finite"):
    """A number of the new state would be NaN or infinite; nothing was committed."""


class OutputNotFinite(InvalidInput, slug="output_not_finite", title="Output not finite"):
    """A number of the output would be NaN or infinite; nothing was committed."""
