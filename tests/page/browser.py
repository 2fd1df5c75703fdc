"""A browser that operates the page: Debian's Chromium, driven by Playwright, and the checks of each view."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import ConsoleMessage, Page, Response, expect, sync_playwright

WITHIN_MS = 60_000
"""The limit of every wait. The machine may be busy; what is waited for comes in a moment on a quiet one."""

SERIOUS = ("serious", "critical")

SIZE = {"width": 1280, "height": 860}


@dataclass
class Operated:
    """The page in a browser, with everything that it has loaded and everything that it has reported."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    """URLs of files, without requests to the API."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of the files of the page and of the API document, as they were transferred."""

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WITHIN_MS)
        self.page.on("console", self._report)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("response", self._note)

    def _report(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _note(self, response: Response) -> None:
        self.loaded.add(response.url)
        if not re.search("/(v1|docs)/", response.url) and response.headers.get("content-length"):
            self.sizes[response.url] = int(response.headers["content-length"])

    def visit(self, view: str, heading: str) -> None:
        """Open a view, and wait for its heading."""
        self.page.goto(f"{self.url}/#/{view}")
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)

    def button(self, name: str, *, within: str = "main") -> None:
        """Choose the button with this name, below an element of the page."""
        self.page.locator(within).get_by_role("button", name=name, exact=True).click()

    def card(self, title: str) -> Any:
        """Return the part of a view with this heading."""
        return self.page.get_by_role("region", name=title, exact=True)

    def check_access(self) -> None:
        """Fail if axe finds something serious, in light and dark."""
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            expect(self.page.locator(f"html[data-theme={scheme}]")).to_be_attached()
            found = axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
            assert not [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in SERIOUS], scheme

    def take_errors(self) -> list[str]:
        """Return what was reported since the last time."""
        found, self.errors = self.errors, []
        return found


def axe() -> Axe:
    """Return the checks of accessibility."""
    return Axe()


@contextmanager
def operated(url: str) -> Iterator[Operated]:
    """Open the page of a service in a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        expect.set_options(timeout=WITHIN_MS)
        # the size is a TypedDict
        context = browser.new_context(viewport=SIZE, color_scheme="light", reduced_motion="reduce", locale="en-GB")  # type: ignore[arg-type]
        try:
            yield Operated(context.new_page(), url)
        finally:
            browser.close()
