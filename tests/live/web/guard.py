"""Watches a browser page for what must not happen: console errors and requests to anything but the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # machines without Playwright collect these tests as well
    from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Route

# What the front end itself asks for when it starts: its news, and the sizes of the models in its first workflow.
OWN_REQUESTS = ("https://api.comfy.org/", "https://huggingface.co/Comfy-Org/")
# A style sheet of the user's that nobody has to have.
OWN_MISSING = ("/user.css",)


class Guard:
    """Collects problems from the moment it is made; nothing outside is ever reached.

    Attributes:
        problems: One sentence each. A test that provokes an error clears what it has expected.
        is_loading: While the page starts the front end's own errors do not count, only those of node packs.
    """

    def __init__(self, context: BrowserContext, server_url: str) -> None:
        self.problems: list[str] = []
        self._url = server_url
        self.is_loading = True
        context.route(lambda url: not url.startswith((server_url, "data:", "blob:")), self._refuse)

    def watch(self, page: Page) -> None:
        """Starts with a page, before it goes anywhere."""
        page.on("console", self._on_console)
        page.on("pageerror", self._on_error)

    def _refuse(self, route: Route) -> None:
        url = route.request.url
        if not url.startswith(OWN_REQUESTS):
            self.problems.append(f"a request to outside: {url}")
        route.abort()

    def _on_console(self, message: ConsoleMessage) -> None:
        source = (message.location or {}).get("url", "")
        if message.type != "error" or source.startswith(OWN_REQUESTS) or source.endswith(OWN_MISSING):
            return
        if not self.is_loading or "/extensions/" in source:
            self.problems.append(f"console error: {message.text} ({source})")

    def _on_error(self, error: Error) -> None:
        if not self.is_loading or "/extensions/" in (error.stack or ""):
            self.problems.append(f"uncaught error: {error.stack or error}")
