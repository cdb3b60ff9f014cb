"""A real browser on the admin of a running product."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.acceptance.product import Product

#: Nothing but the page itself: no sandbox as root, no calls home.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def signed_in(
    chromium: str, product: Product, **context: Any
) -> Iterator[tuple[Page, list[str]]]:
    """Sign in to the admin; yields the page, and the errors its console shows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        size = {"width": 1440, "height": 900}
        page = browser.new_context(**{"viewport": size, **context}).new_page()
        errors: list[str] = []
        page.on("console", lambda message: _keep(errors, message))
        page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
        page.goto(f"http://127.0.0.1:{product.port}/admin/")
        page.fill("input[name=username]", "admin")
        password = (product.data / "admin_password").read_text().strip()
        page.fill("input[name=password]", password)
        page.click("button[type=submit]")
        page.wait_for_url("**/admin/")
        yield page, errors
        browser.close()


def _keep(errors: list[str], message: Any) -> None:
    if message.type == "error":
        errors.append(f"{message.page.url if message.page else ''}: {message.text}")
