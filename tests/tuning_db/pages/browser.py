"""A Chromium that is told what to do through a pipe, for tests and pictures; no driver, no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe"),
)


def chromium() -> str | None:
    """Where one is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of a browser.

    Attributes:
        requests: addresses that it asked for.
        complaints: what it wrote to its console, and errors.
    """

    def __init__(self, told: int, says: int) -> None:
        self._told, self._says = os.fdopen(told, "wb", buffering=0), os.fdopen(says, "rb")
        self._number, self._rest = 0, b""
        self._session = ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._loaded = False
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and what it answers."""
        self._number += 1
        said: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            said["sessionId"] = self._session
        self._told.write(json.dumps(said).encode() + b"\0")
        while (heard := self._hear()).get("id") != self._number:
            pass
        assert "error" not in heard, heard
        answer: dict[str, Any] = heard["result"]
        return answer

    def go(self, url: str) -> None:
        """Open a page, and wait until it is there with everything that it asks for."""
        self._loaded = False
        self.do("Page.navigate", url=url)
        while not self._loaded:
            self._hear()

    def eval(self, script: str) -> Any:
        """What a script comes to; the policy of a page does not bind this one."""
        return self.do("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def look(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Have a window of a size, and a preference."""
        self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])

    def cookie(self, url: str, name: str, value: str) -> None:
        """Have a cookie."""
        self.do("Network.setCookie", url=url, name=name, value=value, httpOnly=True, sameSite="Strict")

    def key(self, name: str) -> None:
        """Press a key."""
        code = {"Tab": 9, "Enter": 13}[name]
        for kind in ("rawKeyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def picture(self, path: Path, most: int = 6000) -> None:
        """Save what the page looks like, the first pixels of its length."""
        size = self.do("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], most), "scale": 1}
        shot = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._says.fileno(), 1 << 16)
            assert more, "the browser has gone"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        heard: dict[str, Any] = json.loads(line)
        method, params = heard.get("method"), heard.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(params))
        elif method == "Page.loadEventFired":
            self._loaded = True
        return heard


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, which both go at the end."""
    program = chromium()
    assert program
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        here, told = os.pipe()
        says, there = os.pipe()

        # It reads commands from 3 and writes answers to 4; nothing of ours may lie there.
        here, there = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (here, there))
        moves = [(os.POSIX_SPAWN_DUP2, here, 3), (os.POSIX_SPAWN_DUP2, there, 4)]
        moves += [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
        started = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = os.posix_spawn(program, started, os.environ, file_actions=moves)
        os.close(here)
        os.close(there)
        try:
            yield Browser(told, says)
        finally:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
