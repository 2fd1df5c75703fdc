"""Tables of the pages that follow from the code: `python -m tests.docs.tables` writes them (`make openapi`)."""

import inspect
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from cellar.metrics.catalogue import METRICS
from cellar.nn.model.layers import LAYERS
from cellar.nn.spec.kinds import types_of
from cellar.nn.training.losses import LOSSES
from cellar.nn.training.optimiser import Optimiser
from cellar.nn.training.optimisers import OPTIMISERS
from cellar.nn.training.schedules import SCHEDULES
from cellar.settings import Settings
from cellar.settings.limit_table import QUOTAS, variable
from tests.docs import command_line
from tests.docs.pages import ROOT

KINDS: dict[str, dict[str, Sequence[type[BaseModel]]]] = {
    "reference/layers.md": {"layer": LAYERS},
    "reference/training.md": {"loss": LOSSES, "optimiser": OPTIMISERS, "schedule": SCHEDULES},
}
"""By page, the heading of the first column of each table, and the classes whose docstrings are its lines."""

SHARED = {"type", *Optimiser.model_fields}
"""Settings that are no column of their own: a sentence below the table has those of all optimisers."""


def lines(kinds: Sequence[type[BaseModel]]) -> list[str]:
    """Return the rows of a table: the name of each kind, its settings, and its docstring."""
    found: list[tuple[Any, ...]] = []
    for kind in kinds:
        settings = " ".join(f"`{name}`" for name in kind.model_fields if name not in SHARED)
        text = " ".join((inspect.getdoc(kind) or "").split()).replace("|", r"\|").removesuffix(".")
        found += [(name, settings, text) for name in types_of(kind)]
    return [f"| `{name}` | {settings} | {text} |\n".replace("|  |", "| |") for name, settings, text in found]


def metric_lines() -> list[str]:
    """Return the rows of the table of metrics: name, kind, labels, and meaning."""
    found = []
    for metric in METRICS:
        labels = " ".join(f"`{label}`" for label in metric.labels)
        found.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text.removesuffix('.')} |\n")
    return [line.replace("|  |", "| |") for line in found]


def quota_lines() -> list[str]:
    """Return the rows of the table of quotas."""
    return [
        f"| `{quota.name}` | {quota.most[0].lower()}{quota.most[1:]} | `{variable(quota.of_tenant)}` |"
        f" `{variable(quota.of_all)}` | {quota.counted} |\n"
        for quota in QUOTAS.values()
    ]


TABLES: dict[str, dict[str, list[str]]] = {
    **{page: {heading: lines(kinds) for heading, kinds in tables.items()} for page, tables in KINDS.items()},
    "reference/metrics.md": {"metric": metric_lines()},
    "reference/limits.md": {"quota": quota_lines()},
}
"""By page, the heading of the first column of each table, and its lines."""


def filled(page: str) -> str:
    """Return the text of a page with its tables as the code has them."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    for heading, rows in TABLES[page].items():
        (table,) = re.finditer(rf"^\| {heading} \|[^\n]*\n[^\n]*\n((?:\|[^\n]*\n)*)", text, re.MULTILINE)
        text = text[: table.start(1)] + "".join(rows) + text[table.end(1) :]
    return text


def with_settings(page: str) -> str:
    """Return the text of the page of settings with the table as the code has it."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    table = re.search(r"^\| variable \|[^\n]*\n[^\n]*\n((?:\|[^\n]*\n)*)", text, re.MULTILINE)
    assert table is not None
    rows = [f"| `CELLAR_{name.upper()}` | {field.description} |\n" for name, field in Settings.model_fields.items()]
    return text[: table.start(1)] + "".join(rows) + text[table.end(1) :]


if __name__ == "__main__":
    (ROOT / "docs" / "reference/settings.md").write_text(with_settings("reference/settings.md"), "utf-8")
    for page in TABLES:
        (ROOT / "docs" / page).write_text(filled(page), "utf-8")
    (ROOT / "docs" / command_line.PAGE).write_text(command_line.text(), "utf-8")
