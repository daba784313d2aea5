"""The pages in a real browser: nothing to complain of, nothing from elsewhere, nothing wider than the window."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tuning_db.demo import make, served
from tests.tuning_db.pages.browser import browser, chromium
from tests.tuning_db.pages.pictures import pages

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")


def test_in_a_browser(tmp_path: Path) -> None:
    with served(make(tmp_path / "demo.db", 3)) as demo, browser() as seen:
        url = f"http://127.0.0.1:{demo.port}"
        for name, (who, path) in pages(demo).items():
            seen.do("Network.clearBrowserCookies")
            if who:
                seen.cookie(url, "headstart", demo.tokens[who])
            for width in (390, 1200):
                seen.look(width, dark=width == 390)
                seen.go(url + path)
                wide = seen.eval("document.documentElement.scrollWidth")
                assert wide <= width, (name, width, wide)
        assert all(asked.startswith(url) or asked == "about:blank" for asked in seen.requests)
        # That one page is not there is what was asked for, and Chromium would like a name beside a token.
        expected = ("status of 404", "Password forms should have")
        assert not [said for said in seen.complaints if not any(words in said for words in expected)]

        # By keyboard alone: past the navigation to the content, and through it in the order of reading.
        seen.go(f"{url}/releases/{demo.launched}")
        seen.key("Tab")
        assert seen.eval("document.activeElement.textContent") == "Skip to the content"
        assert seen.eval("document.activeElement.getBoundingClientRect().left") >= 0
        seen.key("Enter")
        seen.key("Tab")
        assert seen.eval("document.activeElement.closest('main') !== null")
        tops = []
        for _ in range(4):
            tops.append(seen.eval("document.activeElement.getBoundingClientRect().top + scrollY"))
            assert seen.eval("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            seen.key("Tab")
        assert tops == sorted(tops)
