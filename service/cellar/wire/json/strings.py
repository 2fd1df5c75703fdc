"""Where the strings of a JSON text end, found without decoding them."""


def end_of_string(body: bytes, at: int) -> int:
    """Return the place behind the quote that ends a string, `at` being behind its first: no backslash escapes it.

    Of a string without an end it is the end of the body.
    """
    while (quote := body.find(b'"', at)) >= 0:
        before = quote
        while before > at and body[before - 1] == ord("\\"):
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        at = quote + 1
    return len(body)
