"""The page in a browser: every control used, nothing fetched, no error, readable on a phone and in print."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import relu_layers as rl

LEFT, RIGHT, UP, DOWN = "\ue012", "\ue014", "\ue013", "\ue015"


@pytest.fixture(scope="module")
def pages(tmp_path_factory, golden, xor_net):
    folder = tmp_path_factory.mktemp("pages")
    model, x, y, loss, optimizer = xor_net()
    found = rl.explain(model, x, y, loss, optimizer, sample=None, train=40, seed=0, title="xor")
    found.save_html(folder / "xor.html")
    rng = np.random.default_rng(0)
    images, digits = rng.random((32, 64)), rng.integers(0, 10, 32)
    rl.explain(rl.mlp([64, 32, 10], dtype=np.float64, rng=0), images, digits, sample=7).save_html(
        folder / "digits.html"
    )
    small = rl.mlp([2, 8, 2], dtype=np.float64, rng=0)
    rl.explain(small, x, y[:, 0], sample=None, train=40, lang="ja").save_html(folder / "small.html")
    return folder


def test_pages_are_small_and_name_no_other_place(pages):
    for path in pages.glob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert path.stat().st_size < 300_000, path.name
        found = set(re.findall(r"""(?:https?:)?//[\w.]+""", re.sub(r"//[^\n]*\n", "\n", page)))
        assert {one for one in found if "w3.org" not in one} == set(), path.name
        assert not re.search(r"""\s(?:src|href)=["'](?!data:)""", page)


def test_what_comes_from_a_network_cannot_break_the_page():
    class Odd(rl.Tanh):
        def __repr__(self):
            return "</script><script>alert(1)</script>{{once}}"

    x, y = rl.data.xor()
    model = rl.Sequential(rl.Dense(2, 2), Odd(), rl.Dense(2, 1), dtype=np.float64, rng=0)
    page = rl.explain(model, x, y, title="<b>{{data}}").to_html()
    assert page.count("<script") == 2
    json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def text(browser, selector):
    return browser.run("return document.querySelector(arguments[0]).innerText", selector)


def lit(browser):
    return browser.run("return [...document.querySelectorAll('.lit')].length")


def test_stepping_by_button_and_by_key(browser, pages):
    browser.open(pages / "xor.html")
    assert "The short answer" in text(browser, "#step h2")
    seen = [text(browser, "#step h2")]
    browser.run("document.getElementById('next').click()")
    seen.append(text(browser, "#step h2"))
    while not browser.run("return document.getElementById('next').disabled"):
        browser.press(RIGHT)
        seen.append(text(browser, "#step h2"))
    assert len(seen) == len(set(seen)) == 14
    browser.press(RIGHT)
    assert text(browser, "#step h2") == seen[-1]
    browser.press(LEFT)
    assert text(browser, "#step h2") == seen[-2]
    browser.run("document.getElementById('previous').click()")
    assert text(browser, "#step h2") == seen[-3]
    browser.run("document.querySelectorAll('#steps button')[8].click()")
    assert text(browser, "#step h2") == "8. Backward through ReLU: the gate"
    assert browser.run("return document.querySelector('#steps [aria-current]').textContent") == "8"


def test_a_step_lights_up_the_drawing_and_the_entry(browser, pages):
    browser.open(pages / "xor.html")
    browser.run("document.querySelectorAll('#steps button')[10].click()")
    assert "path" in text(browser, "#step h2")
    nodes = browser.run(
        "return [...document.querySelectorAll('.node.lit')].map((n) => n.children[1].textContent)"
    )
    assert len(nodes) == 4
    assert len(browser.run("return [...document.querySelectorAll('.edge.lit')].map(() => 1)")) == 3
    cell = browser.run("return document.querySelector('td.lit').textContent")
    value, mark = cell.split()
    assert value in text(browser, "#step")
    assert mark == "✓"  # the gradient check agrees
    assert text(browser, "#matrices figcaption").startswith("dW1")


def test_another_unit_and_another_row(browser, pages):
    browser.open(pages / "xor.html")
    browser.run("document.querySelectorAll('#steps button')[8].click()")
    units = browser.run("return data.units")
    unit = browser.run("return state.unit")
    before = text(browser, "#step")
    browser.press(DOWN if unit != units[-1] else UP)
    assert browser.run("return state.unit") != unit
    assert text(browser, "#step") != before
    browser.press("[")
    assert browser.run("return state.sample") == 0
    assert "gates stopped 30 of 30" in text(browser, "#step")
    assert browser.run("return document.querySelectorAll('.node.stopped').length") >= 1
    browser.run(
        "const s = document.getElementById('sample'); s.value = '3';"
        "s.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    assert browser.run("return state.sample") == 3
    browser.run("document.querySelector('.node.choice').dispatchEvent(new MouseEvent('click'))")
    assert browser.run("return state.unit") == units[0]
    for row in browser.run("return data.samples"):
        for one in units:
            browser.run("choose({ sample: arguments[0], unit: arguments[1] })", row, one)
            for step in range(browser.run("return steps().length")):
                browser.run("choose({ step: arguments[0] })", step)
        break
    assert browser.log() == []


def test_the_training_is_played(browser, pages):
    browser.open(pages / "xor.html")
    assert browser.run("return document.querySelectorAll('#points > *').length") == 4
    assert browser.run("return document.querySelectorAll('#folds > *').length") > 10
    first = text(browser, "#moment")
    picture = browser.run("return document.getElementById('answers').getAttribute('href')")
    browser.run(
        "const s = document.getElementById('slider'); s.value = s.max; s.dispatchEvent(new Event('input'))"
    )
    assert text(browser, "#moment") != first
    assert "40" in text(browser, "#moment")
    assert browser.run("return document.getElementById('answers').getAttribute('href')") != picture
    browser.run("document.getElementById('play').click()")
    assert text(browser, "#play") == "Pause"
    browser.run("document.getElementById('play').click()")
    assert text(browser, "#play") == "Play"
    assert browser.log() == []


@pytest.mark.parametrize("name", ["xor", "digits", "small"])
@pytest.mark.parametrize("width", [390, 1200])
def test_no_error_no_request_and_nothing_wider_than_the_window(browser, pages, name, width):
    browser.log("performance")
    browser.open(pages / f"{name}.html", width=width)
    for _ in range(14):
        browser.press(RIGHT)
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.run("document.getElementById('theme').click()")
    assert browser.run("return document.documentElement.dataset.theme") in ("light", "dark")
    assert browser.log() == []
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert {url for url in asked if not url.startswith("data:")} <= {(pages / f"{name}.html").as_uri()}


def test_in_print_all_steps_stand_on_paper(browser, pages):
    browser.open(pages / "xor.html")
    browser.devtools("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.run("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.run("return document.querySelectorAll('#static section').length") == 14
        shown = "return getComputedStyle(document.querySelector(arguments[0])).display"
        assert browser.run(shown, "#static") == "block"
        assert browser.run(shown, "main nav") == "none"
    finally:
        browser.devtools("Emulation.setEmulatedMedia", {"media": ""})


def test_japanese(browser, pages):
    browser.open(pages / "small.html")
    assert browser.run("return document.documentElement.lang") == "ja"
    assert text(browser, "#step h2") == "要点"
    assert "{{" not in browser.run("return document.body.innerHTML")
