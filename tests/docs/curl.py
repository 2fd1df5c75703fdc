"""What a page's `curl` does in tests, so that no machine needs one.

`curl -s [-X METHOD] [-H HEADER]... [--json BODY | --data-binary BODY | --data-binary @FILE] URL`. The pages speak to
localhost:8080; the service under test is at $CELLAR_URL.
"""

import argparse
import os
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit


def main() -> None:
    """Send one request and write the body of its answer, whatever its status, as curl does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true", required=True)
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("--json")
    parser.add_argument("--data-binary", dest="data")
    options = parser.parse_args()
    prefix, _, path = options.url.partition("localhost:8080")
    assert not prefix, f"{options.url} is not on localhost:8080"
    headers = dict(line.split(": ", 1) for line in options.headers)
    if options.json is not None:
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    body = options.data if options.json is None else options.json
    method = options.method or ("GET" if body is None else "POST")
    connection = HTTPConnection(urlsplit(os.environ["CELLAR_URL"]).netloc, timeout=100)
    content = Path(body[1:]).read_bytes() if body and body.startswith("@") else body and body.encode()
    connection.request(method, path, content, headers)
    sys.stdout.buffer.write(connection.getresponse().read())


if __name__ == "__main__":
    main()
