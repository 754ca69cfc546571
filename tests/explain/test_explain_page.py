"""The page in a browser: every control used, nothing fetched, no error, readable on a phone and in print."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

import relu_layers as rl

LEFT, RIGHT, UP, DOWN = "\ue012", "\ue014", "\ue013", "\ue015"
TAB, ENTER, SPACE, HOME, END = "\ue004", "\ue007", " ", "\ue011", "\ue010"
CONTROL = "\ue009"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")
PAGES = ("xor", "digits", "small", "tour", "curved")


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
    model, x, y = golden()
    tour = rl.explain(
        model, x, y, feature_names=["bill", "flipper"], class_names=["Adelie", "Gentoo"], title="tour"
    )
    tour.save_html(folder / "tour.html")
    tour = rl.explain(model, x, y, feature_names=["bill", "flipper"], title="tour", lang="ja")
    tour.save_html(folder / "tour_ja.html")
    pencil = rl.Sequential(rl.Dense(2, 3), rl.ReLU(), rl.Dense(3, 2), dtype=np.float64)
    pencil.load_params(
        {
            "0.weight": np.array([[0.5, 1.0, 1.0], [1.0, -1.0, -0.5]]),
            "0.bias": np.array([-0.5, 0.0, 0.0]),
            "2.weight": np.array([[0.5, -0.5], [-1.0, 1.0], [2.0, -2.0]]),
            "2.bias": np.array([0.0, 2.0]),
        }
    )
    rl.explain(pencil, x, y).save_html(folder / "pencil.html")
    rows, classes = rng.standard_normal((4, 2)), np.array([0, 1, 1, 0])
    curved = rl.Sequential(rl.Dense(2, 20), rl.Tanh(), rl.Dense(20, 2), dtype=np.float64, rng=0)
    rl.explain(curved, rows, classes).save_html(folder / "curved.html")
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


def click(browser, selector):
    """Click what the selector names, as a mouse does."""
    script = """
        const box = document.querySelector(arguments[0]);
        box.scrollIntoView({ block: "center", inline: "center" });
        const { x, y, width, height } = box.getBoundingClientRect();
        return [Math.round(x + width / 2), Math.round(y + height / 2)];
    """
    x, y = browser.run(script, selector)
    browser.click(x, y)


def centre(browser, element, *arguments):
    """Return the middle of an element, which a script finds, scrolled into the window."""
    return browser.run(
        f"const element = {element}; element.scrollIntoView({{ block: 'center', inline: 'center' }});"
        "const { x, y, width, height } = element.getBoundingClientRect();"
        "return [x + width / 2, y + height / 2, width, height];",
        *arguments,
    )


KNOB = "[...document.querySelectorAll(`.knob ${arguments[1]}`)].find((k) => k.ariaLabel.startsWith(arguments[0]))"
FIELD, SLIDER, LIST = "input[type=number]", "input[type=range]", "select"


def number_in(browser, label, value):
    """Type a number into the field of a control, named by its label, in place of what stood there."""
    x, y, _, _ = centre(browser, KNOB, label, FIELD)
    browser.click(x, y)
    browser.press("a", holding=CONTROL)
    browser.press(*str(value))


def slide(browser, label, value):
    """Drag a slider, named by its label, near to a value, and go on by arrow keys."""
    x, y, width, _ = centre(browser, KNOB, label, SLIDER)
    wanted, now = browser.run(
        f"const k = {KNOB}; return [arguments[2], k.value].map((v) => (v - k.min) / (k.max - k.min))",
        label,
        SLIDER,
        value,
    )
    left, room = x - width / 2 + 8, width - 16
    browser.drag((left + room * now, y), (left + room * (now + wanted) / 2, y), (left + room * wanted, y))
    for _ in range(30):
        at = float(browser.run(f"return {KNOB}.value", label, SLIDER))
        if abs(at - value) < 1e-9:
            return
        browser.press(RIGHT if at < value else LEFT)
    raise AssertionError(f"{label} stays at {at}, wanted {value}")


def tab_to(browser, selector):
    """Go by the Tab key to what the selector names."""
    for _ in range(120):
        if browser.run("return document.activeElement.matches(arguments[0])", selector):
            return
        browser.press(TAB)
    raise AssertionError(f"{selector} is not reached by Tab")


def test_stepping_by_button_and_by_key(browser, pages):
    browser.open(pages / "xor.html")
    assert "The short answer" in text(browser, "#step h2")
    seen = [text(browser, "#step h2")]
    click(browser, "#next")
    seen.append(text(browser, "#step h2"))
    while not browser.run("return document.getElementById('next').disabled"):
        browser.press("n")
        seen.append(text(browser, "#step h2"))
    assert len(seen) == len(set(seen)) == 14
    browser.press("n")
    assert text(browser, "#step h2") == seen[-1]
    browser.press("p")
    assert text(browser, "#step h2") == seen[-2]
    click(browser, "#previous")
    assert text(browser, "#step h2") == seen[-3]
    click(browser, "#steps li:nth-child(9) button")
    assert text(browser, "#step h2") == "8. Backward through ReLU: the gate"
    assert browser.run("return document.querySelector('#steps [aria-current]').textContent") == "8"
    # The button has the focus, so the arrows step.
    browser.press(RIGHT)
    assert text(browser, "#step h2") == seen[9]
    browser.press(LEFT)
    browser.press(LEFT)
    assert text(browser, "#step h2") == seen[7]


def test_the_step_is_in_the_address_and_survives_a_reload(browser, pages):
    browser.open(pages / "tour.html")
    click(browser, "#steps li:nth-child(9) button")
    title = text(browser, "#step h2")
    assert title.startswith("8.")
    assert browser.run("return window.location.hash") == "#step8"
    browser.reload()
    assert text(browser, "#step h2") == title
    browser.run("window.location.hash = '#step3'")
    browser.wait("return document.querySelector('#step h2').innerText.startsWith('3.')")
    browser.run("window.location.hash = '#step999'")
    browser.wait("return window.location.hash === '#step12'")
    assert browser.log() == []


def test_arrow_keys_scroll_unless_a_control_has_the_focus(browser, pages):
    browser.open(pages / "xor.html", height=500)
    for _ in range(4):
        browser.press(DOWN)
    browser.wait("return window.scrollY > 0")
    step = text(browser, "#step h2")
    browser.press(RIGHT)
    assert text(browser, "#step h2") == step
    browser.run("document.getElementById('unit').focus()")
    browser.wait("const y = window.scrollY; const was = window.last; window.last = y; return was === y")
    unit, at = browser.run("return state.unit"), browser.run("return window.scrollY")
    browser.press(DOWN)
    assert browser.run("return state.unit") == unit + 1
    assert browser.run("return window.scrollY") == at


def test_a_step_lights_up_the_drawing_and_the_entry(browser, pages):
    browser.open(pages / "xor.html")
    click(browser, "#steps li:nth-child(11) button")
    assert "path" in text(browser, "#step h2")
    lit = "return document.querySelectorAll(arguments[0]).length"
    assert browser.run(lit, ".node.lit") == 4
    assert browser.run(lit, ".edge.lit") == 3
    cell = browser.run("return document.querySelector('td.lit').textContent")
    value, mark = cell.split()
    assert value in text(browser, "#step")
    assert mark == "✓"  # the gradient check agrees
    assert text(browser, "#matrices figcaption").startswith("dW1")


def test_arrows_point_from_the_loss_to_the_input_on_the_backward_pass(browser, pages):
    browser.open(pages / "tour.html")
    way = """
        return [...document.querySelectorAll(".edge.lit")].map((one) => {
          const points = one.getAttribute("points").split(" ").map((p) => Number(p.split(",")[0]));
          return [points.at(-1) - points[0], one.getAttribute("marker-mid")];
        });
    """
    for step, forward in ((2, True), (3, True), (8, False), (9, False), (10, False)):
        browser.run("choose({ step: arguments[0] })", step)
        arrows = browser.run(way)
        assert arrows
        for across, marker in arrows:
            assert (across > 0) == forward
            assert marker.startswith("url(#arrow")


@pytest.mark.parametrize("name", ["xor", "digits", "tour", "curved"])
def test_every_unit_and_row_can_be_chosen(browser, pages, name):
    browser.open(pages / f"{name}.html")
    units = browser.run("return [...document.getElementById('unit').options].map((o) => Number(o.value))")
    rows = browser.run("return [...document.getElementById('sample').options].map((o) => Number(o.value))")
    assert units == list(range({"xor": 30, "digits": 32, "tour": 3, "curved": 20}[name]))
    assert rows == list(range({"xor": 4, "digits": 32, "tour": 1, "curved": 4}[name]))
    for row, unit in [(rows[-1], one) for one in units] + [(one, units[-1]) for one in rows]:
        browser.run("choose({ sample: arguments[0], unit: arguments[1], step: 8 })", row, unit)
        assert text(browser, "#step .worked").startswith(f"dz1[{unit}] = ")
    assert browser.log() == []


def alone(browser, edge):
    """Return a place of the window at which a click meets this line of the drawing and nothing else."""
    centre(browser, "document.querySelector(`[data-edge='${arguments[0]}']`)", edge)
    return browser.run(
        """
        const line = document.querySelector(`[data-edge="${arguments[0]}"]`);
        const [a, , b] = [...line.points].map((p) => p.matrixTransform(line.getScreenCTM()));
        for (let t = 0.02; t < 1; t += 0.02) {
          const [x, y] = [Math.round(a.x + t * (b.x - a.x)), Math.round(a.y + t * (b.y - a.y))];
          if (document.elementFromPoint(x, y) === line) return [x, y];
        }
        return null;
        """,
        edge,
    )


def test_a_unit_and_a_weight_are_followed_by_a_click(browser, pages):
    browser.open(pages / "xor.html")
    browser.run("choose({ step: 8 })")
    click(browser, '[data-node="1,17"]')
    assert browser.run("return state.unit") == 17
    assert text(browser, "#step .worked").startswith("dz1[17]")
    assert text(browser, "#followed").startswith("Followed: z1[17] = ")
    assert "dz1[17] = " in text(browser, "#followed")
    # Where lines cross, the one on top is meant: a click where this one is alone.
    browser.click(*alone(browser, "0,1,4"))
    assert browser.run("return state.unit") == 4
    words = text(browser, "#followed")
    assert words.startswith("Followed: W1[1,4] = ")
    assert "dW1[1,4] = " in words
    assert "✓" in words
    assert "after the step" in words
    browser.run("choose({ step: 9 })")
    assert text(browser, "#step .worked").startswith("dW1[1,4] = ")
    browser.run("choose({ step: 2 })")
    click(browser, '[data-node="0,0"]')
    assert "x[0] = " in text(browser, "#followed")
    # An entry of the array is the same weight.
    click(browser, "table.weights tbody tr:nth-child(1) td:nth-child(3)")
    assert text(browser, "#followed").startswith("Followed: W1[0,1] = ")
    assert browser.log() == []


def test_the_drawing_by_keyboard(browser, pages):
    browser.open(pages / "tour.html")
    browser.run("choose({ step: 8 }); document.querySelector('[data-node=\"1,0\"]').focus()")
    browser.press(DOWN)
    browser.press(DOWN)
    assert browser.run("return document.activeElement.dataset.node") == "1,2"
    browser.press(ENTER)
    assert browser.run("return state.unit") == 2
    assert browser.run("return document.activeElement.dataset.node") == "1,2"
    browser.press(RIGHT)
    browser.press(RIGHT)
    assert browser.run("return document.activeElement.dataset.node.split(',')[0]") == "3"
    browser.press(UP)
    browser.press(UP)
    browser.press(ENTER)
    assert "z2[0] = " in text(browser, "#followed")
    browser.run("document.getElementById('weight').focus()")
    browser.press(DOWN)
    assert text(browser, "#followed").startswith("Followed: W")


def test_moved_numbers_are_recomputed_and_reset_brings_them_back(browser, pages, golden):
    browser.open(pages / "tour.html")
    browser.run("choose({ step: 8 })")
    recorded = text(browser, "#step")
    losses = text(browser, "#losses")
    assert browser.run("return document.getElementById('reset').disabled")
    number_in(browser, "Input 0 bill", 1.5)
    number_in(browser, "Negative slope", 0.25)
    click(browser, "#next")
    click(browser, "table.weights tbody tr:nth-child(2) td:nth-child(4)")
    click(browser, "#previous")
    slide(browser, "Weight W1[1,2]", -0.3)
    number_in(browser, "Learning rate", 0.2)
    tab_to(browser, ".knob select")
    browser.press(UP)
    assert "Moved." in text(browser, "#step")
    assert text(browser, "#step") != recorded
    model, x, y = golden()
    x[0, 0], y[0] = 1.5, 0
    model.params["0.weight"][1, 2] = -0.3
    moved = rl.Sequential(rl.Dense(2, 3), rl.ReLU(0.25), rl.Dense(3, 2), dtype=np.float64)
    moved.load_params(dict(model.params))
    again = rl.explain(moved, x, y, rl.SoftmaxCrossEntropy(), rl.SGD(0.2), unit=2, sample=0, gradcheck=False)
    wanted = {step.key: step for step in again.steps()}
    keys = browser.run("return current().steps.map((step) => step.key)")
    browser.run("choose({ pins: {} })")
    for place, key in enumerate(keys):
        if key in ("check", "network"):
            continue
        browser.run("choose({ step: arguments[0] })", place)
        shown = browser.run(
            "return [...document.querySelectorAll('#step pre.worked')].map((p) => p.innerText)"
        )
        worked = [b.text for b in wanted[key].blocks if b.kind == "worked"]
        assert [NUMBER.sub("#", words) for words in shown] == [NUMBER.sub("#", words) for words in worked], (
            key
        )
        for mine, theirs in zip(shown, worked, strict=True):
            mine, theirs = (np.array(NUMBER.findall(words), dtype=float) for words in (mine, theirs))
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-14)
    assert f"{again.trace.loss.value:.6g}" in text(browser, "#losses")
    assert f"{again.trace.loss.after:.6g}" in text(browser, "#losses")
    browser.run("choose({ step: 8, unit: 0, pins: {}, followed: null })")
    click(browser, "#reset")
    assert text(browser, "#step") == recorded
    assert text(browser, "#losses") == losses
    assert browser.run("return document.getElementById('reset').disabled")
    assert browser.log() == []


def test_a_slope_opens_the_drawing_and_the_words(browser, pages):
    browser.open(pages / "xor.html")
    browser.run("choose({ step: 8, sample: 0, unit: 3 })")
    assert "30 of 30 gates are closed" in text(browser, "#step")
    assert browser.run("return document.querySelectorAll('.node.stopped').length") == 2 - 1
    number_in(browser, "Negative slope", 0.01)
    words = text(browser, "#step")
    assert "closed" not in words
    assert "stops" not in words
    assert browser.run("return document.querySelectorAll('.node.stopped').length") == 0
    assert "gate 0.01" in words


@pytest.mark.parametrize("name", ["tour", "tour_ja"])
@pytest.mark.parametrize("width", [390, 1200])
def test_every_control_by_mouse_and_by_keyboard(browser, pages, name, width):
    browser.open(pages / f"{name}.html", width=width)
    click(browser, "#next" if width < 600 else "#steps li:nth-child(9) button")
    shown = [text(browser, "#losses")]
    recorded = text(browser, "#step")

    def changed():
        shown.append(text(browser, "#losses"))
        assert shown[-1] != shown[-2]

    sliders = browser.run(
        "return [...document.querySelectorAll('.knob input[type=range]')].map((k) => k.ariaLabel)"
    )
    assert len(sliders) == 5
    # Which weight of W1 it is depends on the numbers, until one is chosen or moved.
    for place, label in enumerate(one.partition("[")[0] for one in sliders):
        x, y, across, _ = centre(browser, KNOB, label, SLIDER)
        browser.drag((x - 0.2 * across, y), (x, y), (x + 0.3 * across, y))
        moved = float(browser.run(f"return {KNOB}.value", label, SLIDER))
        assert float(browser.run(f"return {KNOB}.value", label, FIELD)) == moved, label
        changed()
        # By keyboard alone: the slider has the focus, and the field follows it.
        browser.press(LEFT, LEFT)
        changed()
        browser.press(TAB)
        assert browser.run("return document.activeElement.matches('.knob input[type=number]')")
        browser.press("a", holding=CONTROL)
        browser.press(*f"0.{place + 3}")
        assert float(browser.run(f"return {KNOB}.value", label, FIELD)) == pytest.approx(0.1 * (place + 3))
        changed()
    # What is half typed leaves the numbers as they are.
    browser.press("a", holding=CONTROL)
    browser.press("-")
    assert text(browser, "#losses") == shown[-1]
    browser.press("5")
    changed()
    assert "NaN" not in text(browser, "#losses")
    tab_to(browser, "#reset")
    browser.press(SPACE)
    assert text(browser, "#losses") == shown[0]
    assert text(browser, "#step") == recorded
    tab_to(browser, "#theme")
    before = browser.run("return document.documentElement.dataset.theme")
    browser.press(ENTER)
    assert browser.run("return document.documentElement.dataset.theme") != before
    if width > 600:
        tab_to(browser, "#steps li:nth-child(10) button")
        browser.press(SPACE)
        assert browser.run("return window.location.hash") == "#step9"
    tab_to(browser, "#next")
    at = browser.run("return state.step")
    browser.press(ENTER)
    assert browser.run("return state.step") == at + 1
    tab_to(browser, "#unit")
    browser.press(HOME, DOWN, DOWN)
    assert browser.run("return state.unit") == 2
    tab_to(browser, "#weight")
    browser.press(END, HOME)
    assert "W1[0,2] = " in text(browser, "#followed")
    tab_to(browser, "[data-node]")
    browser.press(SPACE)
    assert browser.run("return state.followed.column") == 0
    click(browser, '[data-node="1,1"]')
    assert browser.run("return state.unit") == 1
    browser.click(*alone(browser, "2,1,0"))
    assert "W2[1,0] = " in text(browser, "#followed")
    assert browser.log() == []


def test_the_weight_that_is_dragged_stays_the_same_though_the_path_changes(browser, pages):
    browser.open(pages / "pencil.html")
    assert browser.run("return document.getElementById('weight').value") == "0,1,0"
    x, y, across, _ = centre(browser, KNOB, "Weight", SLIDER)
    at = x + across * (browser.run(f"const k = {KNOB}; return k.value / (k.max - k.min)", "Weight", SLIDER))
    browser.drag((at, y), *((at - step, y) for step in range(0, round(across / 3), 8)))
    assert browser.run("return document.getElementById('weight').value") == "0,1,0"
    moved = browser.run("return state.setting.layers[0].weight")
    assert moved[0] == [0.5, 1, 1]
    assert moved[1][0] < 0
    assert text(browser, "#followed").startswith("Followed: W1[1,0] = ")
    assert browser.log() == []


def test_numbers_that_cannot_be_moved_say_why(browser, pages):
    browser.open(pages / "curved.html")
    assert not browser.run("return document.getElementById('fixed').hidden")
    assert browser.run("return document.getElementById('move').hidden")
    browser.open(pages / "tour.html")
    assert browser.run("return document.getElementById('fixed').hidden")


def test_names_of_columns_and_classes_stand_in_the_drawing(browser, pages):
    browser.open(pages / "tour.html")
    names = browser.run("return [...document.querySelectorAll('#drawing .name')].map((n) => n.textContent)")
    assert names == ["bill", "flipper", "Adelie", "Gentoo"]
    options = browser.run(
        "return [...document.querySelectorAll('.knob select option')].map((o) => o.textContent)"
    )
    assert options == ["0 Adelie", "1 Gentoo"]


def test_the_training_is_played(browser, pages):
    browser.open(pages / "xor.html")
    assert browser.run("return document.querySelectorAll('#points > *').length") == 4
    assert browser.run("return document.querySelectorAll('#folds > *').length") > 10
    first = text(browser, "#moment")
    picture = browser.run("return document.getElementById('answers').getAttribute('href')")
    tab_to(browser, "#slider")
    browser.press(END)
    assert text(browser, "#moment") != first
    assert "40" in text(browser, "#moment")
    assert browser.run("return document.getElementById('answers').getAttribute('href')") != picture
    click(browser, "#play")
    assert text(browser, "#play") == "Pause"
    click(browser, "#play")
    assert text(browser, "#play") == "Play"
    assert browser.log() == []


def test_the_loss_has_a_logarithmic_axis_with_ticks(browser, pages):
    browser.open(pages / "xor.html")
    ticks = browser.run("return data.training.ticks")
    values = [float(value) for value, _ in ticks]
    assert len(values) > 2
    ratios = {round(np.log10(b / a), 9) for a, b in itertools.pairwise(values)}
    assert len(ratios) == 1
    heights = [height for _, height in ticks]
    steps = np.diff(heights)
    np.testing.assert_allclose(steps, steps[0], atol=0.11)
    shown = browser.run("return [...document.querySelectorAll('#curve text')].map((t) => t.textContent)")
    assert [value for value, _ in ticks] == shown[: len(ticks)]
    assert "0" in shown
    assert "40" in shown


def test_histograms_are_drawn(pages):
    page = (pages / "xor.html").read_text(encoding="utf-8")
    drawn = re.findall(r'<td class="bars"><svg [^>]*role="img"[^>]*>(.*?)</svg></td>', page)
    assert len(drawn) == 10  # z1, W1, a1, z2, W2 and their gradients
    assert all(bars.count("<rect") > 0 for bars in drawn)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1200])
def test_no_error_no_request_and_nothing_wider_than_the_window(browser, pages, name, width):
    browser.log("performance")
    browser.open(pages / f"{name}.html", width=width)
    for _ in range(14):
        browser.press("n")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    click(browser, "#theme")
    assert browser.run("return document.documentElement.dataset.theme") in ("light", "dark")
    assert browser.log() == []
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    own = (pages / f"{name}.html").as_uri()
    # Those of the page; a browser that has just started loads a page of its own as well.
    asked = {
        event["params"]["request"]["url"].partition("#")[0]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"]["documentURL"].partition("#")[0] == own
    }
    assert {url for url in asked if not url.startswith("data:")} == {own}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1400])
def test_no_text_of_a_drawing_is_smaller_than_11_pixels(browser, pages, name, width):
    browser.open(pages / f"{name}.html", width=width)
    smallest = """
        return Math.min(...[...document.querySelectorAll("svg text")].filter((t) => t.textContent).map((t) => {
          const box = t.ownerSVGElement;
          const scale = box.getBoundingClientRect().width / box.viewBox.baseVal.width;
          return scale > 0 ? scale * parseFloat(getComputedStyle(t).fontSize) : Infinity;
        }));
    """
    assert browser.run(smallest) >= 11


def test_in_print_all_steps_stand_on_paper(browser, pages):
    browser.open(pages / "xor.html")
    browser.devtools("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.run("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.run("return document.querySelectorAll('#static section').length") == 14
        shown = "return getComputedStyle(document.querySelector(arguments[0])).display"
        assert browser.run(shown, "#static") == "block"
        assert browser.run(shown, "main nav") == "none"
        assert browser.run(shown, "#move") == "none"
        # A section may begin anywhere and go on over the page's end, or pages would stay half empty.
        avoided = "return getComputedStyle(document.querySelector('#static section')).breakInside"
        assert browser.run(avoided) == "auto"
        height = browser.run("return document.querySelector('main').scrollHeight")
        assert height < 900
    finally:
        browser.devtools("Emulation.setEmulatedMedia", {"media": ""})


def test_japanese(browser, pages):
    browser.open(pages / "small.html")
    assert browser.run("return document.documentElement.lang") == "ja"
    assert text(browser, "#step h2") == "要点"
    assert "{{" not in browser.run("return document.body.innerHTML")
    number_in(browser, "負側の傾き", 0.5)
    browser.run("choose({ step: 8 })")
    words = text(browser, "#step")
    assert "動かした状態です" in words
    assert not re.search(r"[A-Za-z]{3,}", re.sub("ReLU", "", words))
    assert browser.log() == []
