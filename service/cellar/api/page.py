"""The page at `/`: files of the package, served with security headers and cached by their content."""

import gzip
import hashlib
from dataclasses import dataclass
from mimetypes import guess_type

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cellar.api.http.negotiation import accepts_gzip
from cellar.extension_modules import PACKAGE

FILES = PACKAGE / "page"

INDEX = "index.html"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A page loads from the service alone, runs no script that stands in a document, and is shown in no frame."""

SECURITY_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

DOCS_HEADERS = SECURITY_HEADERS | {
    "Content-Security-Policy": POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
}
"""The headers of the API's documentation, whose library sets styles of elements in their markup."""

FOR_EVER = "public, max-age=31536000, immutable"
"""Files whose path has the digest of their content never change."""

EVERY_TIME = "no-cache"
"""The browser asks each time whether its copy is the present one."""

TEXTS = (".css", ".html", ".js", ".json", ".md", ".svg", ".txt")


@dataclass(frozen=True)
class PageFile:
    """A file of the page, as it is and as gzip; `packed` is empty if that is not shorter."""

    media_type: str
    body: bytes
    packed: bytes


@dataclass(frozen=True)
class PageFiles:
    """All files by their paths, and the digest of them all, which is a part of their addresses."""

    digest: str
    files: dict[str, PageFile]


def read_files(needs_key: bool) -> PageFiles:
    """Read the files of the package, about 0.3 MB, and put the addresses of scripts and styles into the index."""
    contents = {
        path.relative_to(FILES).as_posix(): path.read_bytes() for path in sorted(FILES.rglob("*")) if path.is_file()
    }
    whole = hashlib.sha256()
    for name, body in contents.items():
        whole.update(b"%s\0%d\0%s" % (name.encode(), len(body), body))
    digest = whole.hexdigest()[:16]
    preloads = "\n    ".join(
        f'<link rel="modulepreload" href="page/{digest}/{name}">'
        for name in contents
        if name.endswith(".js") and name != "vendor/uplot.js"
    )
    index = contents[INDEX].decode()
    for placeholder, value in {
        "{{digest}}": digest,
        "{{modules}}": preloads,
        "{{authentication}}": "keys" if needs_key else "none",
    }.items():
        index = index.replace(placeholder, value)
    contents[INDEX] = index.encode()
    return PageFiles(digest, {name: _file(name, body) for name, body in contents.items()})


def _file(name: str, body: bytes) -> PageFile:
    """Return a file with its media type. Texts are compressed once, with the same bytes in every process."""
    kind = guess_type(name)[0] or "application/octet-stream"
    if not name.endswith(TEXTS):
        return PageFile(kind, body, b"")
    return PageFile(f"{kind}; charset=utf-8", body, gzip.compress(body, 9, mtime=0))


class Page:
    """Serves the page. Its files are read at the first request, so that a start takes no time for them.

    `needs_key` is whether the page asks for an API key before anything else.
    """

    def __init__(self, *, needs_key: bool) -> None:
        self._needs_key = needs_key
        self._files: PageFiles | None = None

    async def index(self, request: Request) -> Response:
        """Answer with the document that loads everything else."""
        return self._answer(request, (await self._read()).files[INDEX], EVERY_TIME)

    async def file(self, request: Request) -> Response:
        """Answer with a file. An address of another version of the page has the present file, which is not kept."""
        files = await self._read()
        found = files.files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404)
        return self._answer(request, found, FOR_EVER if request.path_params["digest"] == files.digest else EVERY_TIME)

    async def _read(self) -> PageFiles:
        """Return the files. Requests that are the first at the same time may each read them."""
        if self._files is None:
            self._files = await run_sync(read_files, self._needs_key)
        return self._files

    @staticmethod
    def _answer(request: Request, file: PageFile, caching: str) -> Response:
        """Return a file, or 304 if the browser has it."""
        etag = f'W/"{hashlib.sha256(file.body).hexdigest()[:16]}"'
        headers = {**SECURITY_HEADERS, "Cache-Control": caching, "ETag": etag, "Vary": "Accept-Encoding"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if file.packed and accepts_gzip(request.headers):
            headers["Content-Encoding"] = "gzip"
            return Response(file.packed, media_type=file.media_type, headers=headers)
        return Response(file.body, media_type=file.media_type, headers=headers)


class SecuredFiles:
    """Adds the security headers to the answers of an application that serves files."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that adds the headers."""

        async def secured(message: Message) -> None:
            """Send a message; the head of the answer gets the headers."""
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        await self._app(scope, receive, secured)
