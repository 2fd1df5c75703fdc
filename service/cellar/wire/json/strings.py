"""Finds the ends of strings in a JSON text without decoding them."""


def end_of_string(body: bytes, at: int) -> int:
    """Return the index after the closing quote of the string that is open at `at`, else the length of the body."""
    while (quote := body.find(b'"', at)) >= 0:
        before = quote
        while before > at and body[before - 1] == ord("\\"):
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        at = quote + 1
    return len(body)
