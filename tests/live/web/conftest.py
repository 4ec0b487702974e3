"""Fixtures of the tests that run the real front end in a browser, on each stage of `stages.py`.

    def test_something(comfy):                      # a ComfyPage with an empty graph, 1600 x 1000, shared by the tests
        node = comfy.add("GVRCompareVideo", at=(40, 40))
        assert comfy.widget(node, "gvr_compare_video").is_visible()

    def test_on_a_large_display(open_comfy):        # pages of the test's own, of any size
        comfy = open_comfy(width=3840, height=2160)

Any console error and any request to outside fails the test; `comfy_guard.problems` has them.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest

from ..comfy_server import ComfyServer
from .stages import find_stages

try:
    from playwright.sync_api import sync_playwright
except ModuleNotFoundError:
    sync_playwright = None

HOW_TO = "web tests need"
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Workflow.WarnBlueprintOverwrite": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Locale": "en",
}
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
STAGES = find_stages()
NO_NODES2 = f"{HOW_TO} a front end with Nodes 2.0, 1.42 or later: name one in GVR_FRONTENDS (see stages.py)"
STAGE_PARAMETERS = [pytest.param(stage, id=stage.name) for stage in STAGES] or [
    pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"{HOW_TO} a ComfyUI with its front end"))
]
if STAGES and not any(stage.nodes2 for stage in STAGES):
    STAGE_PARAMETERS.append(pytest.param(None, id="nodes2", marks=pytest.mark.skip(reason=NO_NODES2)))


def pytest_terminal_summary(terminalreporter):
    """Say it where nobody overlooks it: tests that were asked for have not run."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for reason in sorted({text[text.index(HOW_TO) :].rstrip("')") for text in skipped if HOW_TO in text}):
        terminalreporter.write_line(f"WEB TESTS SKIPPED: {reason}", red=True)


@pytest.fixture(scope="session", params=STAGE_PARAMETERS)
def stage(request):
    """Host, front end and renderer, each in turn."""
    return request.param


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium: the one GVR_CHROMIUM names, the system's, or Playwright's own."""
    if sync_playwright is None:
        pytest.skip(f"{HOW_TO} Playwright: pip install playwright")
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = os.environ.get("GVR_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None) or own
        if not os.path.exists(found):  # noqa: PTH110  a plain name of a file
            pytest.skip(f"{HOW_TO} Chromium: install it, or run `playwright install chromium`, or set GVR_CHROMIUM")
        # Without a sandbox, which containers do not have, and without a proxy, which must not see the server.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--no-proxy-server"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def web_server(stage, browser, tmp_path_factory):
    """A server with this stage's front end, its first steps and news switched off."""
    folder = tmp_path_factory.mktemp(f"web-{stage.name}-")
    user = folder / "user" / "default"
    for name in ("workflows", "subgraphs"):
        (user / name).mkdir(parents=True)
    (user / "comfy.settings.json").write_text(json.dumps({**SETTINGS, "Comfy.VueNodes.Enabled": stage.nodes2}))
    (user / "comfy.templates.json").write_text("[]")
    server = ComfyServer(stage.host, folder)
    server.command += ["--front-end-root", str(stage.frontend.root)]
    with server:
        yield server
    shutil.rmtree(folder / "temp", ignore_errors=True)


@pytest.fixture
def comfy_guard():
    """What the pages of this test have done wrong so far."""
    return []


@pytest.fixture(scope="session")
def new_page(stage, browser, web_server):
    """Function: a ComfyPage in a browser context of its own, and its guard."""
    from .comfy_page import TIMEOUT, ComfyPage
    from .guard import Guard

    def new_page(width, height, scale, **options):
        options = {"viewport": {"width": width, "height": height}, "device_scale_factor": scale, **options}
        context = browser.new_context(**options)
        context.set_default_timeout(TIMEOUT)
        guard = Guard(context, web_server.url)
        page = context.new_page()
        guard.watch(page)
        comfy = ComfyPage(page, web_server, stage, guard)
        comfy.open()
        return comfy, guard

    return new_page


@pytest.fixture(scope="session")
def shared_page(new_page):
    """One page for all tests that need no other: loading it takes longer than most of them."""
    comfy, guard = new_page(1600, 1000, 1.0)
    yield comfy, guard
    comfy.page.context.close()


@pytest.fixture
def open_comfy(new_page, comfy_guard):
    """Function: a ComfyPage of a size in CSS pixels; other options are those of Playwright's `new_context`."""
    opened = []

    def open_comfy(width=1600, height=1000, scale=1.0, **options):
        comfy, guard = new_page(width, height, scale, **options)
        opened.append(comfy)
        comfy_guard.extend(guard.problems)
        guard.problems = comfy_guard
        return comfy

    yield open_comfy
    for comfy in opened:
        comfy.page.context.close()
    assert comfy_guard == []


@pytest.fixture
def comfy(shared_page, comfy_guard):
    """A ComfyPage of 1600 x 1000 with an empty graph; the page is the one of the test before."""
    comfy, guard = shared_page
    comfy_guard.extend(guard.problems)
    guard.problems = comfy_guard
    comfy.clear()
    yield comfy
    guard.problems = []
    assert comfy_guard == []
