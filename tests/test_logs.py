"""Log lines for people and as JSON."""

import json
import logging
import sys

import pytest

from cellar.logs import REPEAT_S, JsonLines, Repeats, TextLines, configure


def make_record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("cellar.room", logging.WARNING, "file.py", 1, message, args, None)
    vars(record).update(extra)
    return record


def test_a_line_for_people() -> None:
    assert TextLines().format(make_record("%d jobs", 3)).endswith(" warning cellar.room: 3 jobs")


def test_a_json_line_keeps_what_was_given_as_extra() -> None:
    line = json.loads(JsonLines().format(make_record("%d jobs", 3, job="a1")))
    assert line["message"] == "3 jobs"
    assert (line["level"], line["logger"], line["job"]) == ("warning", "cellar.room", "a1")
    assert line["time"].endswith("+00:00")


def test_an_error_stays_in_its_line() -> None:
    record = make_record("failed")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: two" in json.loads(text)["error"]


def test_the_level_is_respected_and_libraries_are_quieter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    configure("info", as_json=True)
    logging.getLogger("cellar.x").debug("hidden")
    logging.getLogger("rq.worker").info("hidden")
    logging.getLogger("cellar.x").info("shown")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["shown"]


def test_a_warning_is_not_repeated_until_another_one_or_much_later() -> None:
    repeats = Repeats()
    first, again, other, back = (make_record(text) for text in ("away", "away", "here", "away"))
    late = make_record("away")
    late.created = back.created + REPEAT_S
    assert [repeats.filter(record) for record in (first, again, other, back, late)] == [True, False, True, True, True]


def test_a_redis_that_rq_cannot_reach_is_logged_once() -> None:
    """rq logs an error for each attempt, whose text has the growing time to the next one."""
    repeats = Repeats()
    texts = [f"Worker a: could not connect to Redis instance: refused retrying in {wait} seconds..." for wait in (1, 2)]
    records = [make_record(text) for text in (*texts, texts[1].replace("refused", "no such host"))]
    for record in records:
        record.levelno = logging.ERROR
    assert [repeats.filter(record) for record in records] == [True, False, True]


def test_what_is_no_warning_is_always_logged() -> None:
    repeats, record = Repeats(), make_record("job 7: started")
    record.levelno = logging.INFO
    assert repeats.filter(record)
    assert repeats.filter(record)
