"""Networks that several tests explain, and a browser."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest

import relu_layers as rl


def golden_net():
    """Return model, x and y: one unit above 0, one below, one exactly 0."""
    model = rl.Sequential(rl.Dense(2, 3), rl.ReLU(0.1), rl.Dense(3, 2), dtype=np.float64)
    model.load_params(
        {
            "0.weight": np.array([[0.5, -1.0, 1.0], [0.25, -0.5, -0.5]]),
            "0.bias": np.array([0.0, 0.25, 0.0]),
            "2.weight": np.array([[1.0, -1.0], [0.5, 0.5], [2.0, -2.0]]),
            "2.bias": np.array([0.1, -0.1]),
        }
    )
    return model, np.array([[1.0, 2.0]]), np.array([1])


def xor_program(hidden=30):
    """Return model, x, y, loss and optimizer: four rows, no biases, the squared errors summed."""
    rng = np.random.default_rng(0)
    model = rl.Sequential(
        rl.Dense(2, hidden, bias=False), rl.ReLU(), rl.Dense(hidden, 1, bias=False), dtype=np.float64
    )
    model.load_params(
        {"0.weight": rng.standard_normal((2, hidden)), "2.weight": rng.standard_normal((hidden, 1))}
    )
    x, y = rl.data.xor()
    return model, x, y, rl.SquaredError(normalization="none"), rl.SGD(0.002)


@pytest.fixture(autouse=True)
def no_locale(monkeypatch):
    """English, unless a test asks for another language."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def golden():
    """The function `golden_net`."""
    return golden_net


@pytest.fixture(scope="session")
def xor_net():
    """The function `xor_program`."""
    return xor_program


class Browser:
    """Headless Chromium driven over the WebDriver protocol, with nothing but the standard library."""

    def __init__(self, driver: str, chromium: str, folder: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.address = f"http://127.0.0.1:{port}"
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder}",
        ]
        wanted = {
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self.session = ""
        for _ in range(100):
            try:
                self.ask("GET", "/status")
                break
            except OSError:
                time.sleep(0.1)
        made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{made['sessionId']}"

    def ask(self, method, path, body=None):
        """Return the value of a WebDriver command."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path, width=1200, height=900):
        """Open a file in a window of that size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        self.ask("POST", self.session + "/url", {"url": path.as_uri()})

    def reload(self):
        """Load the page again, as it stands in the address."""
        self.ask("POST", self.session + "/refresh", {})

    def click(self, x, y):
        """Click at a place of the window."""
        self.drag((x, y))

    def drag(self, start, *places):
        """Press the mouse's button at a place of the window, move to others, and let it go."""
        down, *moves = (
            {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0} for x, y in (start, *places)
        )
        actions = [down, {"type": "pointerDown", "button": 0}, *moves, {"type": "pointerUp", "button": 0}]
        pointer = {
            "type": "pointer",
            "id": "mouse",
            "parameters": {"pointerType": "mouse"},
            "actions": actions,
        }
        self.ask("POST", self.session + "/actions", {"actions": [pointer]})

    def wait(self, script):
        """Wait until a script returns true."""
        for _ in range(100):
            if self.run(script):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def devtools(self, command, parameters):
        """Return the result of a DevTools command."""
        body = {"cmd": command, "params": parameters}
        return self.ask("POST", self.session + "/goog/cdp/execute", body)

    def run(self, script, *arguments):
        """Return what a script returns."""
        return self.ask("POST", self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, *keys, holding=""):
        """Press keys, one after the other, to whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        if holding:
            actions = [{"type": "keyDown", "value": holding}, *actions, {"type": "keyUp", "value": holding}]
        body = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self.ask("POST", self.session + "/actions", body)

    def picture(self):
        """Return a screenshot, PNG."""
        return base64.b64decode(self.ask("GET", self.session + "/screenshot"))

    def log(self, kind="browser"):
        """Return the entries of a log since it was last asked for."""
        return self.ask("POST", self.session + "/se/log", {"type": kind})

    def close(self):
        """End the browser and its driver."""
        try:
            if self.session:
                self.ask("DELETE", self.session)
        finally:
            self.process.terminate()
            self.process.wait(timeout=20)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A `Browser`; skipped where Chromium or its driver is missing."""
    driver = shutil.which("chromedriver")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if driver is None or chromium is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    found = Browser(driver, chromium, str(tmp_path_factory.mktemp("chromium")))
    yield found
    found.close()
