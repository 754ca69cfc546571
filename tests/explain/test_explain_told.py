"""What an explanation says: the texts in both languages, the steps, terminal, Markdown, JSON and notebook."""

from __future__ import annotations

import builtins
import copy
import json
import re
import string
import sys
from pathlib import Path

import numpy as np
import pytest

import relu_layers as rl
from relu_layers.explanation import catalogue, terminal

SOURCES = Path(rl.__file__).parent / "explanation"


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_is_there_in_every_language_with_the_same_placeholders():
    for key, entry in catalogue.catalogue().items():
        assert set(entry) == set(catalogue.LANGUAGES), key
        assert all(words.strip() for words in entry.values()), key
        wanted = placeholders(entry["en"])
        for lang, words in entry.items():
            assert placeholders(words) == wanted, (key, lang)


def test_every_text_is_used_and_every_used_text_exists():
    code = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.py"))
    page = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("data/page*"))
    page += "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("data/*.js"))
    known = set(catalogue.catalogue())
    used = set(re.findall(r"""\b(?:t|texts)\(\s*"(\w+)\"""", code))
    used |= set(re.findall(r"""\bt\(\s*"(\w+)\"""", page))
    assert used <= known
    dynamic = {key for key in known if key.startswith(("mistake_", "verdict_", "gate_"))}
    shown = {key for key in known if key in page}
    assert known - used - dynamic - shown == set()


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def test_both_languages_tell_the_same_numbers(golden):
    model, x, y = golden()
    found = rl.explain(model, x, y)
    numbers = {}
    for lang in catalogue.LANGUAGES:
        steps = found.steps(lang=lang)
        blocks = [block for step in steps for block in step.blocks]
        # Words may take another order in a formula, numbers do not change.
        numbers[lang] = [
            sorted(NUMBER.findall(" ".join([b.text, *(cell for row in b.rows for cell in row)])))
            for b in blocks
            if b.kind in ("formula", "worked", "table", "code")
        ]
        assert len({step.key for step in steps}) == len(steps)
    assert numbers["en"] == numbers["ja"]
    assert "逆伝播" in found.to_text(lang="ja")


KANA = "ぁ-んァ-ヶ一-龠ー"
# Names of functions, layers and tools that Japanese texts leave as they are.
NAMES = {
    *("exp", "log", "sqrt", "tanh", "max", "text", "odot", "top", "frac", "mathrm", "begin", "end", "cases"),
    *("sum", "qquad", "leftarrow", "eta", "sigma", "le", "hat", "epsilon", "lambda", "mu", "rho"),
}


def explanations(golden, xor_net):
    model, x, y = golden()
    yield rl.explain(model, x, y)
    model, x, y, loss, optimizer = xor_net()
    yield rl.explain(model, x, y, loss, optimizer, sample=None)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 1)).astype(float)
    for layer in (rl.ELU(0.5), rl.PReLU(4), rl.Threshold(0.1, 0.2), rl.Tanh(), rl.Dropout(0.3)):
        for optimizer in (rl.SGD(0.1, momentum=0.9), rl.Adam(), rl.AdamW(), rl.RMSProp(0.1), rl.AdaGrad(0.1)):
            layers = rl.Dense(3, 4), layer, rl.Dense(4, 1), rl.Sigmoid()
            net = rl.Sequential(*map(copy.deepcopy, layers), dtype=np.float64, rng=0)
            yield rl.explain(net, x, y, optimizer=optimizer, gradcheck=False)


def test_japanese_formulas_hold_no_english_words(golden, xor_net):
    for found in explanations(golden, xor_net):
        known = NAMES | {layer.kind.lower() for layer in found.trace.layers}
        for step in found.steps(lang="ja"):
            for block in step.blocks:
                if block.kind in ("formula", "worked"):
                    for words in (block.text, block.latex):
                        english = {word.lower() for word in re.findall(r"[A-Za-z]{3,}", words)}
                        assert english - known - {"nan", "numpy", "pytorch"} == set(), words
        for patterns in catalogue.formulas().values():
            for form in ("plain_ja", "derivative_ja"):
                words = re.sub(r"\{\w+\}", "", patterns.get(form, ""))
                assert set(re.findall(r"[A-Za-z]{3,}", words)) <= NAMES, words


def test_japanese_punctuation_is_full_width(golden, xor_net):
    # Half-width marks beside Japanese are right only inside a formula, which puts a blank or a sign before them.
    wrong = re.compile(rf"[{KANA}」）}}] ?[:;!?,.]|[:;!?,.] ?[{KANA}「（]|[{KANA}]\(|\)[{KANA}]")
    for key, entry in catalogue.catalogue().items():
        bare = re.sub(r"\((?:p|出力) - [^()]*\)", "", entry["ja"])
        assert not wrong.search(bare), (key, wrong.search(bare))
    for found in explanations(golden, xor_net):
        for step in found.steps(lang="ja"):
            for block in step.blocks:
                if block.kind in ("text", "note"):
                    assert not re.search(rf"[{KANA}] ?[:;!?]|[:;!?] ?[{KANA}]", block.text), block.text


def test_the_words_of_the_field():
    japanese = " ".join(entry["ja"] for entry in catalogue.catalogue().values())
    for word in (
        "ゲート",
        "折れ点",
        "乱数シード",
        "要素ごとに",
        "増やす",
        "順伝播",
        "逆伝播",
        "損失",
        "勾配",
    ):
        assert word in japanese, word
    for word in ("門", "乱数の種", "押す", "押して", "帰り道", "道すじ", "の角", "に角"):
        assert word not in japanese, word


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_net_with_a_slope_is_never_told_that_its_gradient_stops(lang):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 2)), rng.integers(0, 2, 6)
    model = rl.mlp([2, 5, 2], negative_slope=0.01, dtype=np.float64, rng=0)
    found = rl.explain(model, x, y, train=4, lang=lang)
    sentences = {
        "en": (
            "gate is 0",
            "gate 0.0:",
            "gradient stops",
            "stops there",
            "gates are closed",
            "gate is closed",
        ),
        "ja": ("ゲートが 0", "ゲート 0.0：", "止まります", "止まりました", "閉じ", "勾配は止まる"),
    }
    page = re.sub(
        r'<script type="application/json".*?</script>|<script>.*?</script>', "", found.to_html(), flags=re.S
    )
    steps = {step.key: step for step in found.steps()}
    # "What if" and "mistakes" are about other slopes.
    words_shown = [
        b.text for key, step in steps.items() if key not in ("what-if", "mistakes") for b in step.blocks
    ]
    for sentence in sentences[lang]:
        assert not any(sentence in words for words in words_shown), sentence
    assert found.to_text(everything=False).count("0.01") > 3
    without = re.split(r"<h2>(?:What if|もしも)", page)[0]
    for sentence in sentences[lang]:
        assert sentence not in without, sentence
    data = json.loads(re.search(r'id="data">(.*?)</script>', found.to_html(), re.S)[1])
    for sentence in sentences[lang]:
        assert not any(sentence in words for words in data["words"]), sentence


def test_the_answer_comes_first(golden, xor_net):
    model, x, y, loss, optimizer = xor_net()
    first = rl.explain(model, x, y, loss, optimizer).steps()[0].blocks[0].text
    assert first.startswith("Does a closed gate kill the learning? No.")
    model, x, y = golden()
    assert "multiplies it by the slope, here 0.1" in rl.explain(model, x, y).steps()[0].blocks[0].text


class HandWrittenDense:
    """A matrix product with names of its own."""

    def __init__(self, inputs, outputs, seed):
        rng = np.random.default_rng(seed)
        self.params = {"W": rng.standard_normal((inputs, outputs)), "c": rng.standard_normal(outputs)}
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}

    def forward(self, x, training=False):
        self.x = x
        return x @ self.params["W"] + self.params["c"]

    def backward(self, dy):
        self.grads["W"][...] = self.x.T @ dy
        self.grads["c"][...] = dy.sum(axis=0)
        return dy @ self.params["W"].T


class HandWrittenReLU:
    """As one writes it by hand."""

    def __init__(self, passes_at_zero=False):
        self.params, self.grads = {}, {}
        self.passes_at_zero = passes_at_zero

    def forward(self, x, training=False):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dy):
        dx = dy.copy()
        dx[self.x < 0 if self.passes_at_zero else self.x <= 0] = 0
        return dx


def test_layers_of_ones_own_are_written_out_like_the_built_in_ones():
    x, y = np.array([[1.0, 2.0], [0.5, -1.0], [-2.0, 0.3]]), np.array([1, 0, 1])
    own = [HandWrittenDense(2, 3, 0), HandWrittenReLU(), HandWrittenDense(3, 2, 1)]
    before = [{name: array.copy() for name, array in layer.params.items()} for layer in own]
    found = rl.explain(own, x, y)
    for layer, arrays in zip(own, before, strict=True):
        for name, array in arrays.items():
            assert np.array_equal(layer.params[name], array)
    model = rl.Sequential(rl.Dense(2, 3), rl.ReLU(), rl.Dense(3, 2), dtype=np.float64)
    names = {"0.weight": (0, "W"), "0.bias": (0, "c"), "2.weight": (2, "W"), "2.bias": (2, "c")}
    model.load_params({key: before[place][name] for key, (place, name) in names.items()})
    built_in = rl.explain(model, x, y)
    assert [one.role for one in found.trace.layers] == ["dense", "elementwise", "dense"]
    for mine, theirs in zip(found.steps(), built_in.steps(), strict=True):
        mine, theirs = (
            [b.text for b in step.blocks if b.kind == "worked" and not b.text.startswith("dx[")]
            for step in (mine, theirs)
        )
        assert [NUMBER.findall(words)[:3] for words in mine] == [
            NUMBER.findall(words)[:3] for words in theirs
        ]
    assert "verdict: ok" in str(found)
    assert found.trace.layers[1].kind == "ReLU"
    # Another convention at 0, another formula: what differs is not called ReLU.
    x = np.zeros((2, 2))
    x[1] = 1.0
    layers = [HandWrittenDense(2, 3, 0), HandWrittenReLU(passes_at_zero=True)]
    layers[0].params["c"][...] = 0
    trace = rl.explain(layers, x, np.zeros((2, 3)), rl.SquaredError()).trace
    assert trace.layers[1].kind == "HandWrittenReLU"
    assert trace.layers[1].role == "elementwise"


def test_a_single_layer_of_ones_own_is_a_network():
    x = np.array([[1.0, 2.0], [0.5, -1.0]])
    found = rl.explain(HandWrittenDense(2, 2, 0), x, np.array([1, 0]))
    assert found.trace.layers[0].role == "dense"
    assert "dW1[" in str(found)


def test_names_of_inputs_and_classes(golden):
    model, x, y = golden()
    found = rl.explain(model, x, y, feature_names=["bill", "flipper"], class_names=["Adelie", "Gentoo"])
    words = " ".join(found.to_text(width=200).split())
    assert "x = bill 1.0, flipper 2.0, wanted: Gentoo" in words
    assert re.search(r"times the input x\[(0\] \(bill|1\] \(flipper)\) = ", words)
    assert "1 Gentoo" in words
    with pytest.raises(ValueError, match="class_names holds 3 names, expected 2"):
        rl.explain(model, x, y, class_names=["a", "b", "c"])


def test_the_formula_with_the_numbers_put_in(golden):
    model, x, y = golden()
    text = rl.explain(model, x, y, unit=1).to_text(width=200)
    assert "z1[1] = 1.0*(-1.0) + 2.0*(-0.5) + 0.25 = -1.75" in text
    assert "a1 = z1 where z1 > 0, else 0.1 * z1" in text
    assert "loss 2.30508" in text.lower()
    text = rl.explain(model, x, y, unit=2).to_text(width=200)
    assert "dz1[2] = 3.601 * 0.1 = 0.3601" in text
    assert "dW1[0,2] = 1.0*0.3601 = 0.3601" in text
    assert "kink" in text
    assert "z1[2] is 0.0" in text


def test_steps_name_the_whole_way_forward_and_back(golden):
    model, x, y = golden()
    keys = [step.key for step in rl.explain(model, x, y).steps(everything=False)]
    assert keys == [
        "short",
        "network",
        "forward-0",
        "forward-1",
        "forward-2",
        "loss",
        "loss-backward",
        "backward-2",
        "backward-1",
        "backward-0",
        "path",
        "check",
        "update",
    ]


def test_the_program_with_a_corner_at_zero_is_told_so(xor_net):
    model, x, y, loss, optimizer = xor_net()
    found = rl.explain(model, x, y, loss, optimizer, sample=None)
    assert found.sample == 1  # in row 0 every unit is at its corner
    text = " ".join(str(found).split())
    assert "grad_h[h < 0] = 0" in text
    assert "Row 0 is all zeros" in text
    assert "all 30 inputs of ReLU are exactly 0 there" in text
    model = rl.mlp([2, 4, 1], rng=0)  # with biases the note does not apply
    assert "grad_h" not in str(rl.explain(model, x, y, rl.SquaredError()))


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("everything", [False, True])
def test_no_line_is_wider_than_the_terminal(xor_net, lang, everything):
    model, x, y, loss, optimizer = xor_net()
    found = rl.explain(model, x, y, loss, optimizer, lang=lang)
    for line in found.to_text(everything=everything, width=80).splitlines():
        assert terminal.columns(line) <= 80, line


def test_a_unit_that_stops_is_followed_to_where_it_stops(xor_net):
    model, x, y, loss, optimizer = xor_net()
    found = rl.explain(model, x, y, loss, optimizer, sample=1, unit=2)
    text = " ".join(found.to_text(everything=False).split())
    assert "times the gate of unit 2: * 0.0 dz1[2] 0.0" in text
    assert "For unit 2 the gate is closed" in text
    assert found.trace.layers[1].dx[1, 2] == 0.0


def test_markup_is_what_rich_reads(golden):
    text = pytest.importorskip("rich.text")
    model, x, y = golden()
    found = rl.explain(model, x, y)
    shown = text.Text.from_markup(found.__rich__()).plain
    assert shown == str(found)


def test_markdown_has_every_step_and_latex(golden):
    model, x, y = golden()
    found = rl.explain(model, x, y)
    markdown = found.to_markdown()
    assert markdown.startswith("# Backpropagation through ReLU, step by step")
    assert len(re.findall(r"^## ", markdown, re.M)) == len(found.steps())
    assert r"z_{1} = x W_{1} + b_{1}" in markdown
    assert markdown.count("$$") % 2 == 0
    assert r"\begin{cases}" in markdown


def test_json_holds_every_number_exactly(golden, tmp_path):
    model, x, y = golden()
    found = rl.explain(model, x, y)
    found.save_json(tmp_path / "step.json")
    read = json.loads((tmp_path / "step.json").read_text(encoding="utf-8"))
    assert read == found.to_dict()
    assert read["schema"] == 1
    assert read["layers"][1]["x"]["values"] == [[1.0, -1.75, 0.0]]
    assert read["loss"]["value"] == found.trace.loss.value
    assert [one["symbol"] for one in read["updates"]] == ["W1", "b1", "W2", "b2"]
    kinks = [one for one in read["checks"] if one["verdict"] == "kink"]
    assert kinks
    assert kinks[0]["kink"]["layer"] == 1


def test_the_names_of_the_schema_stay(golden):
    model, x, y = golden()
    found = rl.explain(model, x, y).to_dict()
    assert set(found) == {
        *("schema", "version", "target", "dtype", "seed", "title", "batch", "dropped", "layers", "loss"),
        *("feature_names", "class_names"),
        *("optimizer", "updates", "checks", "checked", "what_if", "mistakes", "training"),
        *("sample", "unit", "elsewhere"),
    }
    assert set(found["layers"][0]) == {
        *("index", "kind", "name", "role", "source", "symbol", "number", "x", "y", "dy", "dx"),
        *("params", "grads", "derivative", "counts"),
    }
    assert set(found["layers"][0]["x"]) == {"shape", "norm", "min", "max", "values"}
    assert set(found["loss"]) == {
        *("kind", "name", "value", "after", "count", "scale", "plain", "output", "target", "gradient"),
        *("shifted", "exponentials", "sums", "probabilities", "wanted", "rows"),
    }
    assert set(found["checks"][0]) == {"name", "index", "analytic", "numeric", "verdict", "kink"}


def test_the_reference_ops_are_explained_as_well():
    x, y = rl.data.xor()
    made = [
        rl.explain(
            rl.Sequential(rl.Dense(2, 3), rl.ReLU(), rl.Dense(3, 1), dtype=np.float64, rng=0, ops=ops), x, y
        )
        for ops in (rl.ops, rl.ops.reference)
    ]
    native, reference = (one.trace.layers[0].grads["weight"] for one in made)
    np.testing.assert_allclose(native, reference, rtol=1e-12, atol=1e-14)


def test_a_layer_that_cannot_be_watched_is_named():
    class Slots:
        __slots__ = ("grads", "params")

        def __init__(self):
            self.params, self.grads = {}, {}

        def forward(self, x, training=False):
            return x

        def backward(self, dy):
            return dy

    x, y = rl.data.xor()
    with pytest.raises(TypeError, match=r"layer 1, .*__slots__"):
        rl.explain(rl.Sequential(rl.Dense(2, 1), Slots(), dtype=np.float64, rng=0), x, y)


def test_large_arrays_are_summarised():
    rng = np.random.default_rng(0)
    model = rl.mlp([784, 128, 10], rng=0)
    x, y = rng.standard_normal((64, 784)), rng.integers(0, 10, 64)
    found = rl.explain(model, x, y, gradcheck=False)
    weight = found.to_dict()["layers"][0]["params"]["weight"]
    assert "values" not in weight
    assert sum(weight["histogram"]["counts"]) == 784 * 128
    assert len(str(found)) < 12_000
    assert "778 more" in str(found) or "779 more" in str(found)


def test_an_activation_needs_nothing_but_its_formula(monkeypatch):
    class Cube(rl.ELU):
        """Stands for an activation that a later version adds: an op pair, a layer, a formula."""

    model = rl.Sequential(rl.Dense(2, 3), Cube(0.5), rl.Dense(3, 1), dtype=np.float64, rng=0)
    x, y = rl.data.xor()
    found = rl.explain(model, x, y)
    activation = found.trace.layers[1]
    assert activation.role == "elementwise"
    np.testing.assert_array_equal(activation.dx, activation.dy * activation.derivative)
    assert "a1 = Cube(0.5)(z1)" in str(found)
    formulas = dict(catalogue.formulas())
    monkeypatch.setitem(formulas, "Cube", {"plain": "{y} = cube({x}, {alpha})", "derivative": "3"})
    monkeypatch.setattr(catalogue, "formulas", lambda: formulas)
    assert "a1 = cube(z1, 0.5)" in str(found)
    assert "gate = 3" in str(found)


def test_every_built_in_layer_loss_and_optimizer_has_its_formula():
    from relu_layers.layers import BUILT_IN as LAYERS
    from relu_layers.losses import BUILT_IN as LOSSES
    from relu_layers.optimizers import BUILT_IN as OPTIMIZERS

    formulas = catalogue.formulas()
    # Dense is written out by the story itself; Softmax has its own place with the loss.
    assert {*LAYERS, *LOSSES, *OPTIMIZERS} - set(formulas) == {"Dense", "Softmax"}


@pytest.mark.parametrize(
    "layer",
    [
        rl.ReLU(0.2),
        rl.ELU(0.7),
        rl.Sigmoid(),
        rl.SiLU(),
        rl.GELU(),
        rl.GELU("tanh"),
        rl.SELU(),
        rl.Softplus(),
        rl.Clip(-0.2, 0.3),
        rl.Tanh(),
        rl.Threshold(0.1, 0.1),
    ],
)
def test_the_short_programs_give_the_same_numbers(layer):
    import copy

    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((6, 3)), rng.integers(0, 4, 6)
    model = rl.Sequential(rl.Dense(3, 5), copy.deepcopy(layer), rl.Dense(5, 4), dtype=np.float64, rng=2)
    ran = {one["name"]: one for one in rl.explain(model, x, y, gradcheck=False).to_dict()["elsewhere"]}
    assert ran["NumPy"]["difference"] < 1e-13
    if ran["PyTorch"]["difference"] is not None:
        assert ran["PyTorch"]["difference"] < 1e-13


def test_numbers_are_handed_out_without_running_or_importing_anything(golden, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    model, x, y = golden()
    found = rl.explain(model, x, y)
    monkeypatch.setattr(builtins, "exec", lambda *_: pytest.fail("a program was run"))
    assert [one["difference"] is None for one in found.to_dict()["elsewhere"]] == [False, True]
    found.save_json(tmp_path / "step.json")


def test_a_net_without_a_written_formula_has_no_short_program():
    x, y = rl.data.xor()
    model = rl.Sequential(rl.Dense(2, 3), rl.PReLU(3), rl.Dense(3, 1), dtype=np.float64, rng=0)
    found = rl.explain(model, x, y)
    assert found.to_dict()["elsewhere"] == []
    assert "no short program" in found.to_text()


def test_classic_mistakes_are_off_by_what_they_should_be():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 4)), rng.integers(0, 4, 8)
    model = rl.mlp([4, 4, 4], dtype=np.float64, rng=1)
    found = {one.key: one for one in rl.explain(model, x, y, gradcheck=False).trace.mistakes}
    assert set(found) == {"output_mask", "negative_slope", "no_division", "no_maximum", "transpose"}
    assert found["no_division"].relative == pytest.approx(7.0)  # eight times the gradient
    assert found["no_division"].wrong == pytest.approx(8 * found["no_division"].right)
    assert found["output_mask"].error > 0
    assert found["negative_slope"].error > 0
    assert found["no_maximum"].error < 1e-14
    assert found["no_maximum"].numbers["broken"] == 32
    assert found["transpose"].error > 0
    assert not found["transpose"].failure  # square weights: wrong without a word


def test_what_if_tells_which_activation_revives_a_dead_unit():
    model = rl.Sequential(rl.Dense(2, 2), rl.ReLU(), rl.Dense(2, 2), dtype=np.float64, rng=0)
    model.load_params({"0.bias": np.array([-100.0, 0.0])}, strict=False)
    x, y = rl.data.xor()
    variants = {one.label: one for one in rl.explain(model, x, y[:, 0], gradcheck=False).trace.variants}
    assert variants["slope 0"].dead >= 1
    assert variants["max(0.01, x)"].dead == variants["slope 0"].dead
    assert variants["slope 0.01"].dead == 0
    assert variants["slope 1"].norms["0.weight"] > 0


def test_the_model_and_the_optimizer_stay_as_they_are(xor_net):
    model, x, y, loss, optimizer = xor_net()
    before = model.flat_params.copy()
    dy = model.forward(x.astype(float), training=True)
    rl.explain(model, x, y, loss, optimizer, train=5)
    rl.explain(model, x, y)
    model.backward(dy)  # still follows its forward
    assert np.array_equal(model.flat_params, before)
    assert optimizer.updates == 0
    assert model.ops is rl.ops


def test_the_recorded_training_is_the_training(xor_net):
    model, x, y, loss, optimizer = xor_net(8)
    training = rl.explain(model, x, y, loss, optimizer, train=20, gradcheck=False).trace.training
    trainer = rl.Trainer(model, loss, optimizer)
    xs, ys = x.astype(float), y.astype(float)
    np.testing.assert_array_equal(training.losses[:-1], [trainer.step(xs, ys) for _ in range(20)])
    assert [frame.step for frame in training.frames] == list(range(21))
    first = training.frames[0]
    left, right, bottom, top = training.bounds
    for (x1, y1, x2, y2), (a, b) in zip(first.folds, model.params["0.weight"].T, strict=True):
        del a, b
        for u, v in ((x1, y1), (x2, y2)):
            assert left <= u <= right
            assert bottom <= v <= top


def test_the_notebook_shows_the_steps(golden):
    model, x, y = golden()
    found = rl.explain(model, x, y)
    html = found._repr_html_()
    assert html.count("<section>") == len(found.steps(everything=False))
    assert "<script" not in html
    # A notebook has no stylesheet of this package.
    assert html.count("<pre ") == html.count('style="font-family:monospace"') > 5
    assert 'class="marked" style="font-weight:bold"' in html
    assert "= x W1 + b1&nbsp; &nbsp; W1 (2, 3)" in html
