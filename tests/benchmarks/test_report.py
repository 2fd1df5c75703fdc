"""Lines of the table, the file, and the last line, which others read."""

import json
import math
import re
from pathlib import Path

from benchmarks.cases import STACK_A, Case
from benchmarks.report import Result, header, line, summary, write
from benchmarks.timing import Ratio

STEP = Result(
    Case("lstm", 8, 32, 1, 1),
    ours_s=2e-6,
    peers_s={"torch": 72.34e-6, "onnxruntime bound": 8e-6},
    best="onnxruntime bound",
    ratio=Ratio(4.0, 3.9, 4.1),
    p99_s=(3e-6, 12e-6),
    of_reads=0.256,
)
STACK = Result(STACK_A.of(50, 1), 1e-3, {"torch": 1e-3, "onnxruntime bound": 2e-3}, "torch", Ratio(1.0, 0.9, 1.1))
HALVED = Result(STEP.case, 4e-6, STEP.peers_s, STEP.best, Ratio(0.5, 0.5, 0.5), variant="bf16")


def test_a_line_stands_under_its_header() -> None:
    columns = header(list(STEP.peers_s))
    for result in (STEP, STACK, HALVED):
        for name, seconds in result.peers_s.items():
            end = columns.index(name) + len(name)
            shown = line(result)[:end].split()[-1]
            assert math.isclose(float(shown.lstrip("*")), seconds * 1e6, rel_tol=0.01)
            assert shown.startswith("*") == (name == result.best)


def test_a_line_says_all_that_was_measured() -> None:
    # 4 gates x 32 x (8 + 32) weights: 10240 operations and 20480 bytes in 2 us.
    assert " ".join(line(STEP).split()) == ("lstm 8-32 T1 B1 2.00 72.3 *8.00 4.00 [3.90 4.10] 5.1 10.2 26% 3.00 (12.0)")
    assert line(HALVED).startswith("lstm 8-32 T1 B1 bf16 ")


def test_the_last_line_names_the_worst_of_the_plain_cases() -> None:
    last = summary([STEP, STACK, HALVED])
    assert last == "worst ratio 1.00 at lstm 100-2x100 T50 B1; geometric mean 2.00"
    assert re.fullmatch(r"worst ratio \d+\.\d\d at .+; geometric mean \d+\.\d\d", last)


def test_the_file_holds_facts_and_cases(tmp_path: Path) -> None:
    path = tmp_path / "results" / "engine.json"
    write(path, {"threads": 1}, [STEP, STACK])
    read = json.loads(path.read_text())
    assert read["threads"] == 1
    assert read["summary"] == summary([STEP, STACK])
    assert [case["name"] for case in read["cases"]] == ["lstm 8-32 T1 B1", "lstm 100-2x100 T50 B1"]
    assert read["cases"][0]["peers_s"]["onnxruntime bound"] == 8e-6
    assert read["cases"][0]["ratio"] == {"median": 4.0, "low": 3.9, "high": 4.1}
