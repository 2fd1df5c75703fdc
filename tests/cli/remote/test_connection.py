"""Lists of the service, which commands read page by page."""

from typing import Any, cast

from cellar.cli.remote.connection import Service, pages


class Numbers:
    """A list of the numbers 1 to 9, whose cursors are the last numbers of pages of two."""

    def get(self, _: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return a page."""
        first = int(params["cursor"] or 0) + 1
        found = [*range(first, min(first + 2, first + params["limit"], 10))]
        documents = [{"number": number} for number in found]
        return {"found": documents, "cursor": "" if found[-1:] == [9] else str(found[-1])}


def test_pages_begin_behind_a_cursor_and_end_after_the_most() -> None:
    service = cast(Service, Numbers())

    def numbers(*arguments: Any) -> list[int]:
        return [each["number"] for each in pages(service, "/v1/numbers", "found", {}, *arguments)]

    assert numbers() == [*range(1, 10)]
    assert numbers(None, "6") == [7, 8, 9]
    assert numbers(3, "2") == [3, 4, 5]
