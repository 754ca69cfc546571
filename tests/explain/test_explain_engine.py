"""The page's JavaScript: its engine against the kernels, its sentences against the story's, in Node and in Chromium."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.explanation.catalogue import LANGUAGES, Texts, data_file
from relu_layers.explanation.page import ENGINE
from relu_layers.explanation.setting import live, movable
from relu_layers.explanation.story import Story

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node (Debian: nodejs)")
SETTINGS = 1000
SLOPES = (0.0, 0.01, 1.0, 1.5)
TOLERANCE = 1e-12

# JSON has no word for what is not finite.
REVIVE = """
const special = { nan: NaN, inf: Infinity, "-inf": -Infinity, "-0": -0 };
const revive = (key, value) => (typeof value === "string" && value in special ? special[value] : value);
const show = (key, value) => {
  if (typeof value !== "number") return value;
  if (Object.is(value, -0)) return "-0";
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? value : value > 0 ? "inf" : "-inf";
};
"""
ALL_STEPS = """
const results = JSON.parse(given, revive).map((setting) => {
  const { layers, loss, updated, after } = trainingStep(setting);
  return JSON.stringify({ layers, loss: loss.value, gradient: loss.gradient, updated, after }, show);
});
"""


def shown(value):
    """Return a value as the script reads it."""
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shown(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return "-0" if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0 else value


def node(script, given):
    """Return what a script prints that finds ``given`` as JSON text."""
    reading = 'const given = require("fs").readFileSync(0, "utf8");\n'
    run = subprocess.run(
        [NODE, "-e", reading + script], input=json.dumps(given), capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def random_setting(rng):
    """Return a net with its rows as engine.js takes it: small or larger, some inputs exactly at a corner."""
    sizes = [int(n) for n in rng.integers(1, 7, rng.integers(2, 5))]
    rows = int(rng.integers(1, 6))
    slope = float(rng.choice(SLOPES))
    layers = []
    for place, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = rng.standard_normal((inputs, outputs)) * 10.0 ** rng.integers(-1, 2)
        bias = rng.standard_normal(outputs) if rng.random() < 0.7 else None
        layers.append(
            {"kind": "dense", "weight": weight.tolist(), "bias": None if bias is None else bias.tolist()}
        )
        if place < len(sizes) - 2:
            layers.append({"kind": "relu", "slope": slope})
    x = rng.standard_normal((rows, sizes[0]))
    if rng.random() < 0.3:
        x[rng.integers(rows)] = 0.0  # without a bias every unit lands on its corner
    softmax = sizes[-1] > 1 and rng.random() < 0.6
    mean = bool(rng.random() < 0.5)
    if softmax:
        loss = {"kind": "softmax", "scale": None, "count": float(rows) if mean else 1.0}
        target = rng.integers(0, sizes[-1], rows)
    else:
        scale = float(rng.choice([0.5, 1.0]))
        loss = {"kind": "square", "scale": scale, "count": float(rows * sizes[-1]) if mean else 1.0}
        target = rng.standard_normal((rows, sizes[-1]))
    rate = float(10.0 ** rng.uniform(-4, 0))
    return {"layers": layers, "x": x.tolist(), "loss": loss, "target": target.tolist(), "rate": rate}


class Ran(NamedTuple):
    """What went through a net: x and every layer's output, the gradient of every output, and that of x."""

    outputs: list
    gradients: list
    dx: np.ndarray


def model_of(setting):
    """Return the model of a setting, and its loss."""
    layers = []
    for one in setting["layers"]:
        if one["kind"] == "relu":
            layers.append(rl.ReLU(one["slope"]))
        else:
            layers.append(rl.Dense(*np.shape(one["weight"]), bias=one["bias"] is not None))
    model = rl.Sequential(*layers, dtype=np.float64, rng=0)
    for k, one in enumerate(setting["layers"]):
        if one["kind"] == "dense":
            model.params[f"{k}.weight"] = np.array(one["weight"])
            if one["bias"] is not None:
                model.params[f"{k}.bias"] = np.array(one["bias"])
    count = setting["loss"]["count"]
    if setting["loss"]["kind"] == "softmax":
        loss = rl.SoftmaxCrossEntropy(normalization="none" if count == 1 else "valid")
    else:
        loss = rl.SquaredError(setting["loss"]["scale"], "none" if count == 1 else "full")
    return model, loss


def passes(setting):
    """Return by the production kernels what goes through the net, the loss, its gradient, and all gradients."""
    model, loss = model_of(setting)
    x, target = np.array(setting["x"]), np.array(setting["target"])
    outputs, gradients = [x], []
    for layer in model.layers:
        outputs.append(layer.forward(outputs[-1], training=True))
    value, dy = loss(outputs[-1], target)
    back = dy
    for layer in reversed(model.layers):
        gradients.append(back)
        back = layer.backward(back)
    ran = Ran(outputs, gradients[::-1], back)
    grads = {key: gradient.copy() for key, gradient in model.grads.items()}
    return ran, value, dy, grads


def update(setting):
    """Return the parameters after a step of the trainer, and the loss of the same rows then."""
    model, loss = model_of(setting)
    x, target = np.array(setting["x"]), np.array(setting["target"])
    trainer = rl.Trainer(model, loss, rl.SGD(setting["rate"]), capture=False)
    trainer.step(x, target)
    return model.params, trainer.evaluate(x, target)["loss"]


def close(found, wanted):
    """Compare arrays to 1e-12 of their largest entry, and what is not finite exactly."""
    found, wanted = np.array(found, dtype=float), np.array(wanted, dtype=float)
    assert found.shape == wanted.shape
    finite = np.isfinite(wanted)
    if not finite.all():
        assert np.array_equal(found[~finite], wanted[~finite], equal_nan=True)
        found, wanted = found[finite], wanted[finite]
    size = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    assert np.abs(found - wanted).max(initial=0.0) <= TOLERANCE * size


def compare_passes(setting, result):
    """Compare forward, loss and backward with the kernels."""
    ran, value, dy, grads = passes(setting)
    close(result["loss"], value)
    close(result["gradient"], dy)
    for k, one in enumerate(setting["layers"]):
        close(result["layers"][k]["x"], ran.outputs[k])
        close(result["layers"][k]["y"], ran.outputs[k + 1])
        close(result["layers"][k]["dy"], ran.gradients[k])
        if one["kind"] == "dense":
            close(result["layers"][k]["grads"]["weight"], grads[f"{k}.weight"])
            if one["bias"] is not None:
                close(result["layers"][k]["grads"]["bias"], grads[f"{k}.bias"])
    close(result["layers"][0]["dx"], ran.dx)


def compare(setting, result):
    """Compare all of one step with the kernels."""
    compare_passes(setting, result)
    params, after = update(setting)
    close(result["after"], after)
    for k, one in enumerate(setting["layers"]):
        if one["kind"] == "dense":
            close(result["updated"][k]["weight"], params[f"{k}.weight"])
            if one["bias"] is not None:
                close(result["updated"][k]["bias"], params[f"{k}.bias"])


def read(text):
    special = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0": -0.0}

    def revived(value):
        if isinstance(value, dict):
            return {key: revived(one) for key, one in value.items()}
        if isinstance(value, list):
            return [revived(one) for one in value]
        return special.get(value, value) if isinstance(value, str) else value

    return revived(json.loads(text))


@needs_node
def test_the_engine_computes_what_the_kernels_compute():
    rng = np.random.default_rng(16)
    settings = [random_setting(rng) for _ in range(SETTINGS)]
    script = data_file("engine.js") + REVIVE + ALL_STEPS + "console.log(results.join('\\n'));"
    lines = node(script, settings).splitlines()
    assert len(lines) == SETTINGS
    for setting, line in zip(settings, lines, strict=True):
        compare(setting, read(line))
    used = {layer["slope"] for one in settings for layer in one["layers"] if layer["kind"] == "relu"}
    assert used == set(SLOPES)


def test_the_engine_in_the_browser_computes_the_same(browser, tmp_path):
    page = tmp_path / "engine.html"
    page.write_text("<!DOCTYPE html><title>engine</title>", encoding="utf-8")
    browser.open(page)
    rng = np.random.default_rng(17)
    settings = [random_setting(rng) for _ in range(100)]
    script = f"const given = arguments[0];{data_file('engine.js')}{REVIVE}{ALL_STEPS} return results;"
    for setting, line in zip(settings, browser.run(script, json.dumps(settings)), strict=True):
        compare(setting, read(line))


@needs_node
def test_the_engines_relu_follows_the_table_at_every_edge():
    edges = [math.inf, 1.0, 5e-324, 0.0, -0.0, -5e-324, -1.0, -math.inf, math.nan]
    upstream = [10.0, -10.0, math.inf, -math.inf, math.nan]
    script = (
        data_file("engine.js")
        + REVIVE
        + (
            "const { edges, upstream, slopes } = JSON.parse(given, revive);"
            "console.log(JSON.stringify(slopes.map((s) => ({"
            " y: edges.map((x) => reluForward(x, s)),"
            " dx: upstream.map((dy) => edges.map((x) => reluBackward(x, dy, s))) })), show));"
        )
    )
    found = read(node(script, shown({"edges": edges, "upstream": upstream, "slopes": list(SLOPES)})))
    x = np.array(edges)
    for slope, one in zip(SLOPES, found, strict=True):
        y = rl.ops.relu_forward(x, slope)
        np.testing.assert_array_equal(np.array(one["y"], float), y)
        np.testing.assert_array_equal(np.signbit(np.array(one["y"], float)), np.signbit(y))
        for dy, dx in zip(upstream, one["dx"], strict=True):
            wanted = rl.ops.relu_backward(x, np.full_like(x, dy), slope)
            np.testing.assert_array_equal(np.array(dx, float), wanted)


@needs_node
def test_nan_and_infinity_go_the_way_the_kernels_send_them():
    rng = np.random.default_rng(3)
    settings = []
    for bad in (math.nan, math.inf, -math.inf):
        for _ in range(8):
            one = random_setting(rng)
            one["x"][0][0] = bad
            settings.append(one)
    script = data_file("engine.js") + REVIVE + ALL_STEPS + "console.log(results.join('\\n'));"
    for setting, line in zip(settings, node(script, shown(settings)).splitlines(), strict=True):
        compare_passes(setting, read(line))


def nets(golden, xor_net):
    """Yield nets with rows: slope 0.1 and a corner, the squared-error program, more than two layers, names."""
    model, x, y = golden()
    yield (model, x, y, rl.SoftmaxCrossEntropy(), rl.SGD(0.1)), {"feature_names": ["a", "b"]}
    yield xor_net(9), {"gradcheck": False}
    rng = np.random.default_rng(0)
    deep = rl.mlp([9, 14, 7, 4], dtype=np.float64, rng=1)
    rows = rng.standard_normal((5, 9)), rng.integers(0, 4, 5)
    yield (
        (deep, *rows, rl.SoftmaxCrossEntropy(), rl.SGD(0.3)),
        {"class_names": list("pqrs"), "gradcheck": False},
    )
    flat = rl.Sequential(rl.Dense(3, 2), dtype=np.float64, rng=1)
    yield (
        (flat, rng.standard_normal((2, 3)), rng.standard_normal((2, 2)), rl.SquaredError(0.5), rl.SGD(0.3)),
        {},
    )


def plain_blocks(step):
    return [
        [b.kind, b.text] if b.kind != "table" else ["table", b.header, b.rows, b.marked] for b in step.blocks
    ]


@needs_node
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_tells_every_row_and_unit_as_the_story_does(golden, xor_net, lang):
    script = "".join(map(data_file, ENGINE)) + (
        "const { live, cases } = JSON.parse(given);"
        "const result = trainingStep(live.setting);"
        "console.log(JSON.stringify(cases.map(({ sample, unit, steps }) => {"
        " const written = writer(live, live.setting, result, sample, unit, {}, false);"
        " return steps.map(([key, blocks]) => written.blocks(key, blocks)); })));"
    )
    for arguments, options in nets(golden, xor_net):
        trace = rl.explain(*arguments, **options).trace
        assert movable(trace)
        hidden = trace.layers[min(1, len(trace.layers) - 1)].y.shape[1]
        cases = [
            {
                "sample": s,
                "unit": u,
                "steps": [
                    [step.key, plain_blocks(step)] for step in Story(trace, Texts(lang), s, u, True).steps()
                ],
            }
            for s in range(trace.batch)
            for u in range(hidden)
        ]
        given = {"live": live(Story(trace, Texts(lang), 0, 0, True)), "cases": cases}
        found_cases = json.loads(node(script, given))
        for case, steps in zip(cases, found_cases, strict=True):
            for (key, wanted), found in zip(case["steps"], steps, strict=True):
                if found is None:
                    assert key in ("check", "corner", "summary", "what-if", "mistakes", "elsewhere")
                else:
                    assert found == wanted, (key, case["sample"], case["unit"])


@needs_node
def test_numbers_are_written_as_python_writes_them():
    rng = np.random.default_rng(5)
    values = [float(v) for v in rng.standard_normal(2000) * 10.0 ** rng.integers(-320, 300, 2000)]
    values += [0.1953125, 2.5, 1234565.0, 0.5, 999999.5, 99999.95, 1e16, 1e-5, 1e-4, 123456.5, 5e-324]
    script = data_file("numbers.js") + (
        "console.log(JSON.stringify(JSON.parse(given).map((v) => [general(v), general(v, 2), number(v)])));"
    )
    from relu_layers.explanation.blocks import number

    for value, found in zip(values, json.loads(node(script, values)), strict=True):
        assert found == [f"{value:.6g}", f"{value:.2g}", number(value)]
