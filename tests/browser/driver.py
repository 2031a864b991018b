"""A headless Chromium, driven through chromedriver by the W3C's WebDriver protocol."""

import json
import os
import re
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.waiting import until

_OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
]  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One session. What a command answers is its value; an error of the page fails the test."""

    def __init__(self, base: str) -> None:
        self._base = base

    def ask(self, method: str, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._base}{path}", data, kind, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:2000]) from error

    def open(self, url: str) -> None:
        self.ask("POST", "/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns."""
        return self.ask("POST", "/execute/sync", script=script, args=list(arguments))

    def text(self, selector: str) -> str:
        """What is to be read there."""
        found: str = self.run("return document.querySelector(arguments[0]).innerText", selector)
        return found

    def click(self, selector: str) -> None:
        self.ask("POST", f"/element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self.ask("POST", f"/element/{self._find(selector)}/value", text=text)

    def size(self, width: int, height: int) -> None:
        self.ask("POST", "/window/rect", width=width, height=height)

    def errors(self) -> list[str]:
        """What the console has of errors, the page's own security policy among them."""
        found = self.ask("POST", "/se/log", type="browser")
        return [one["message"] for one in found if one["level"] == "SEVERE"]

    def _find(self, selector: str) -> str:
        found: str = self.ask("POST", "/element", using="css selector", value=selector)[_ELEMENT]
        return found


@contextmanager
def browser(*, dark: bool = False) -> Iterator[Browser]:
    """A Chromium of its own, with nothing remembered."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        environment = {**os.environ, "HOME": folder}
        with subprocess.Popen(["chromedriver", "--port=0"], stdout=said, stderr=said, env=environment) as process:
            try:
                until(lambda: _port(said) is not None)
                options = {
                    "args": [*_OPTIONS, f"--user-data-dir={folder}/profile", *(["--force-dark-mode"] if dark else [])],
                    "binary": "/usr/bin/chromium",
                }
                wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
                base = f"http://127.0.0.1:{_port(said)}/session"
                session = Browser(base).ask("POST", "", capabilities={"alwaysMatch": wanted})["sessionId"]
                made = Browser(f"{base}/{session}")
                try:
                    yield made
                finally:
                    made.ask("DELETE", "")
            finally:
                process.terminate()
                process.wait(30)


def _port(said: Any) -> str | None:
    said.seek(0)
    found = re.search(r"started successfully on port (\d+)", said.read())
    return found[1] if found else None
