"""Receives bodies with a file, and writes the file to the disk while it arrives, so that it takes no memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from cellar.api.http.body import too_large
from cellar.api.limits.upload_space import UploadSpace
from cellar.errors import BodyTooLarge, MalformedBody
from cellar.memory.temporary_files import file_errors

MULTIPART = "multipart/form-data"

MOST_PARTS = 16
MOST_HEADERS = 8


@dataclass(slots=True)
class Upload:
    """The received parts of a body: a file, and small parts by their names."""

    file: IO[bytes]
    has_file: bool = False
    parts: dict[str, bytearray] = field(default_factory=dict)


class _Receiver:
    """Writes the file, keeps the other parts, and counts both."""

    def __init__(self, upload: Upload, space: UploadSpace, most_file_bytes: int, most_part_bytes: int) -> None:
        self._upload = upload
        self._space = space
        self._most_file_bytes = most_file_bytes
        self._most_part_bytes = most_part_bytes
        self.file_bytes = self._part_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write the next bytes of the file. Raise BodyTooLarge, Overloaded or StoreUnavailable."""
        if self.file_bytes + len(data) > self._most_file_bytes:
            raise BodyTooLarge(f"the file may have {self._most_file_bytes} bytes (CELLAR_MAX_WEIGHTS_BYTES)")
        self._space.take(len(data))
        self.file_bytes += len(data)
        with file_errors():
            self._upload.file.write(data)

    def keep(self, name: str, data: bytes) -> None:
        """Keep the next bytes of another part. Raise BodyTooLarge."""
        self._part_bytes += len(data)
        if self._part_bytes > self._most_part_bytes:
            raise too_large(self._most_part_bytes, "more besides its file")
        self._upload.parts[name] += data


@asynccontextmanager
async def receive(request: Request, kind: str, *, file_part: str) -> AsyncIterator[Upload]:
    """Yield what a body brings: a file that is all of it, or the parts of a form, of which `file_part` is a file.

    The file is deleted at the end. Raise BodyTooLarge, Overloaded, StoreUnavailable or MalformedBody.
    """
    state = request.app.state
    with state.temporary_files.open() as file:
        upload = Upload(file)
        receiver = _Receiver(
            upload, state.load.uploads, state.load.limits.max_weights_bytes, most_part_bytes=state.max_body_bytes
        )
        try:
            if kind == MULTIPART:
                await _receive_form(request, upload, receiver, file_part)
            else:
                upload.has_file = True
                async for chunk in request.stream():
                    receiver.write(chunk)
            with file_errors():
                file.flush()
            yield upload
        finally:
            state.load.uploads.give_back(receiver.file_bytes)


async def _receive_form(request: Request, upload: Upload, receiver: _Receiver, file_part: str) -> None:
    form = _Form(upload, receiver, file_part)
    _, options = parse_options_header(request.headers["content-type"])
    if not options.get(b"boundary"):
        raise MalformedBody("the Content-Type of a multipart body names no boundary")
    try:
        parser = MultipartParser(options[b"boundary"], form.callbacks(), max_header_count=MOST_HEADERS)
        async for chunk in request.stream():
            parser.write(chunk)
        parser.finalize()
    except (MultipartParseError, ValueError) as error:
        raise MalformedBody(f"not a multipart body: {str(error)[:200]}") from error
    if not form.ended:
        raise MalformedBody("the multipart body ends in the middle")


class _Form:
    """The callbacks of the parser, for parts, their headers and their bytes."""

    def __init__(self, upload: Upload, receiver: _Receiver, file_part: str) -> None:
        self._upload = upload
        self._receiver = receiver
        self._file_part = file_part
        self._header = self._value = b""
        self._disposition = b""
        self._name = ""
        self._seen: set[str] = set()
        self.ended = False

    def callbacks(self) -> Any:
        """Return the callbacks of the parser by name."""
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        return {f"on_{name}": getattr(self, f"_on_{name}") for name in names}

    def _on_part_begin(self) -> None:
        self._disposition, self._name = b"", ""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")[:64]
        if not self._name or self._name in self._seen or len(self._seen) == MOST_PARTS:
            raise MalformedBody(
                f"each of at most {MOST_PARTS} parts of a form has a name of its own, found {self._name!r}"
            )
        self._seen.add(self._name)
        if self._name == self._file_part:
            self._upload.has_file = True
        else:
            self._upload.parts[self._name] = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_part:
            self._receiver.write(memoryview(data)[start:end])
        else:
            self._receiver.keep(self._name, data[start:end])

    def _on_end(self) -> None:
        self.ended = True
