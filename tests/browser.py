"""Chromium without a window, led over a pipe: no socket, no package, no driver."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe"
)
_UNSEEN_FOCUS = """
const node = document.activeElement;
if (node === document.body || node === document.documentElement) return null;
const style = getComputedStyle(node), box = node.getBoundingClientRect();
const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
if (outlined && inside && node.checkVisibility({opacityProperty: true, visibilityProperty: true})) return null;
return [node.outerHTML.slice(0, 200), style.outline, box.toJSON()];
"""


class Tab:
    """One page of a browser: what it shows, and everything that it asked for or complained about."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._orders, self._answers, self._sent = orders, answers, 0
        self._session: str | None = None
        self._chooser: int | None = None
        self._loaded: set[str] = set()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)

    def resize(self, width: int) -> None:
        """Give the window another width, with the page as it is."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def show(self, page: Path | str, *, width: int = 1280, dark: bool = False) -> None:
        """Open a file, or an address, in a window of this width, of a desktop or a phone, in light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._go_to("about:blank")
        self.requests.clear()
        self._go_to(page if isinstance(page, str) else page.as_uri())

    def _go_to(self, address: str) -> None:
        document = self._call("Page.navigate", url=address)["loaderId"]
        while document not in self._loaded:  # perhaps it was loaded before the reply came
            self._next()

    def value(self, script: str) -> Any:
        """What a function body returns, as JSON gives it."""
        asked = {"expression": f"(() => {{ {script} }})()", "returnByValue": True}
        found = self._call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> Any:
        """What a function body returns, as soon as that is something."""
        end = time.monotonic() + seconds
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"in vain: {script}"
            time.sleep(0.05)
        return found

    def type(self, selector: str, text: str) -> None:
        """Write a text into a field, as a keyboard would."""
        self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        self._call("Input.insertText", text=text)

    def drop(self, selector: str, *files: Path) -> None:
        """Choose files in a field for them."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        field = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=field, files=[str(file) for file in files])

    def answer_chooser(self, *files: Path) -> None:
        """Choose files in the dialogue that the page opened, which :meth:`expect_chooser` has caught."""
        end = time.monotonic() + 60
        while self._chooser is None:
            assert time.monotonic() < end, "no dialogue was opened"
            self.value("return 0")  # events come with replies
        self._call("DOM.setFileInputFiles", backendNodeId=self._chooser, files=[str(file) for file in files])
        self._chooser = None

    def expect_chooser(self) -> None:
        """Catch the dialogue for files that the page opens next."""
        self._call("Page.setInterceptFileChooserDialog", enabled=True)

    def tab_to(self, selector: str, most: int = 80) -> None:
        """Press Tab until an element has the focus, and see that this shows at every stop."""
        for _ in range(most):
            self.press("Tab", 9)
            if self.value(_UNSEEN_FOCUS) is not None:  # a panel may still slide into the window
                self.wait("return !document.getAnimations().some(one => one instanceof CSSTransition)")
            unseen = self.value(_UNSEEN_FOCUS)
            assert unseen is None, f"no visible focus: {unseen}"
            if self.value(f"return document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"no key leads to {selector}")

    def catch_copies(self) -> None:
        """Keep what pages copy from now on as ``copied`` of their window: without a window there is no clipboard."""
        kept = "Clipboard.prototype.writeText = async text => { window.copied = text; }"
        self._call("Page.addScriptToEvaluateOnNewDocument", source=kept)

    def save_to(self, folder: Path) -> None:
        """Where downloads go."""
        self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def picture(self, file: Path) -> None:
        """Write down what the window shows, as PNG or WebP."""
        kind = {"format": "webp", "quality": 80} if file.suffix == ".webp" else {"format": "png"}
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", **kind)["data"]))

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key and let it go."""
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        self._call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._sent += 1
        order: dict[str, object] = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        self._orders.flush()
        while True:
            message = self._next()
            if message.get("id") == self._sent:
                assert "error" not in message, message
                return dict(message["result"])

    def _next(self) -> dict[str, Any]:
        read = bytearray()
        while (char := self._answers.read(1)) != b"\0":
            assert char, "the browser has gone"
            read += char
        message: dict[str, Any] = json.loads(read)
        told = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        if message.get("method") == "Page.lifecycleEvent" and told["name"] == "load":
            self._loaded.add(told["loaderId"])
        if message.get("method") == "Page.fileChooserOpened":
            self._chooser = told["backendNodeId"]
        if message.get("method") == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        return message


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A browser with a profile of its own in an empty folder; it is gone at the end."""
    for name in ("orders", "answers"):
        os.mkfifo(folder / name)
    # the browser reads from 3 and writes to 4; the shell waits for the other ends
    shell = ["sh", "-c", 'exec "$@" 3<orders 4>answers', "sh", str(CHROMIUM), *_QUIET.split()]
    started = subprocess.Popen(
        [*shell, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with open(folder / "orders", "wb") as orders, open(folder / "answers", "rb") as answers:
            yield Tab(orders, answers)
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
