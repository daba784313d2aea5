"""Pictures of every page of the demo race: ``python -m tests.tuning_db.pages.pictures FOLDER [PAGE ...]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.tuning_db.demo import Demo, make, served
from tests.tuning_db.pages.browser import browser

LOOKS = {"light": (1200, False), "dark": (1200, True), "narrow": (390, False), "narrow-dark": (390, True)}


def pages(demo: Demo) -> dict[str, tuple[str, str]]:
    """Who looks at what, by a name for the picture."""
    return {
        "releases": ("aurora", "/"),
        "release": ("reader", f"/releases/{demo.launched}"),
        "racing": ("aurora", f"/releases/{demo.racing}"),
        "publisher": ("halcyon", f"/releases/{demo.racing}"),
        "workload": ("reader", f"/releases/{demo.launched}/workloads/{demo.workloads[0]}"),
        "vendor": ("reader", "/vendors/aurora"),
        "own": ("aurora", "/vendors/aurora"),
        "ledgers": ("aurora", "/ledgers"),
        "ledger": ("", "/ledgers/public"),
        "login": ("", "/login"),
        "refused": ("", "/releases/nothing"),
    }


def main() -> None:
    """Make the race and take them."""
    folder = Path(sys.argv[1])
    wanted = sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, served(make(Path(place) / "demo.db")) as demo, browser() as seen:
        url = f"http://127.0.0.1:{demo.port}"
        for name, (who, path) in pages(demo).items():
            if wanted and name not in wanted:
                continue
            seen.do("Network.clearBrowserCookies")
            if who:
                seen.cookie(url, "headstart", demo.tokens[who])
            for look, (width, dark) in LOOKS.items():
                seen.look(width, dark=dark)
                seen.go(url + path)
                seen.picture(folder / f"{name}-{look}.png")
        print(*seen.complaints, sep="\n")


if __name__ == "__main__":
    main()
