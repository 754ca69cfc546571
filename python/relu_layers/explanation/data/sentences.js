"use strict";
// The steps of a Dense and ReLU network in words, for any row, unit and weight and for numbers that were moved: the
// sentences are those of Python's story with their places filled here. A test compares every block with Python's.
const TERMS = 6;

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

// Returns a function key -> blocks, each [kind, text] or ["table", header, rows, marked]; null: not recomputed.
function writer(live, setting, result, sample, unit, pins, moved) {
  const { texts, names } = live;
  const t = (key, values = {}) => filled(texts[key], values);
  const path = pathThrough(setting, result, sample, unit, pins);
  const info = live.layers;
  const loss = result.loss;
  const rows = setting.x.length;
  const count = general(setting.loss.count);
  const last = info.at(-1).symbol;
  const out = path.outputs.at(-1);
  const header = (key, values) => t(key, values).split("|");
  const more = (left) => t("more_terms", { count: left });

  function terms(products, write) {
    let chosen = products.map((_, k) => k);
    if (chosen.length > TERMS) chosen = bySize(products).slice(0, TERMS - 1).sort((a, b) => a - b);
    const written = chosen.map(write);
    if (chosen.length < products.length) {
      const rest = products.filter((_, k) => !chosen.includes(k));
      written.push(`${factor(sum(rest))} (${more(rest.length)})`);
    }
    return written.join(" + ");
  }

  function productSum(a, b) {
    const first = (value) => (number(value).startsWith("-") ? number(value) : factor(value));
    return terms(
      a.map((value, k) => value * b[k]),
      (k, place) => `${place ? factor(a[k]) : first(a[k])}*${factor(b[k])}`,
    );
  }

  const plainSum = (values) => terms(values, (k, place) => (place ? factor(values[k]) : number(values[k])));

  function rowValues(k) {
    const row = result.layers[k].y[sample];
    if (row.length <= SHOWN) {
      return ["worked", t("all_units", { count: row.length, symbol: info[k].symbol, values: numbers(row) })];
    }
    const values = { count: row.length, norm: number(norm(row)), values: numbers(row, 5) };
    return ["note", t("some_units", { ...values, low: number(Math.min(...row)), high: number(Math.max(...row)) })];
  }

  function verdict(symbol, index) {
    const found = moved ? undefined : live.checks[`${symbol}[${index}]`];
    if (!found) return [];
    const [numeric, kind, source, at, value] = found;
    const blocks = [["note", t("beside", { numeric, verdict: t(`verdict_${kind}`) })]];
    if (source) blocks.push(["note", t("check_kink", { source, unit: at, value })]);
    return blocks;
  }

  function short() {
    const hidden = firstHidden(setting);
    const blocks = [];
    if (hidden >= 0) {
      const { slope } = setting.layers[hidden];
      blocks.push(["text", slope ? t("short_scaled", { slope: general(slope) }) : t("short_closed")]);
      blocks.push(["note", t("short_zero")]);
    }
    return [...blocks, ["text", t("short_1")], ["text", t("short_2", { sample, unit })]];
  }

  function network(recorded) {
    const facts = filled(live.facts, { before: number(loss.value), after: number(result.after) });
    const x = setting.x[sample];
    const wanted = setting.target[sample];
    const target = Array.isArray(wanted) ? numbers(wanted) : names.classes[wanted] || String(wanted);
    const values = names.features.length ? namedNumbers(x, names.features) : numbers(x);
    const fixed = recorded.map((block) => (block[1] === live.recorded_facts ? ["text", facts] : block));
    return [...fixed.slice(0, -1), ["worked", t("input_row", { sample, values, target })]];
  }

  function forwardDense(k) {
    const { symbol, source, weight, bias } = info[k];
    const { weight: w, bias: b } = setting.layers[k];
    const j = path.outputs[k];
    const entry = `${symbol}[${j}]`;
    const plus = b ? ` + ${bias}[${j}]` : "";
    const { x, y } = result.layers[k];
    const worked = productSum(x[sample], w.map((row) => row[j])) + (b ? ` + ${factor(b[j])}` : "");
    return [
      ["text", t("forward_dense_why", { bias: b ? t("and_bias") : "", unit: j, weight })],
      ["formula", `${entry} = ${t("sum_inputs", { term: `${source}[i] * ${weight}[i,${j}]` })}${plus}`],
      ["worked", `${entry} = ${worked} = ${number(y[sample][j])}`],
      rowValues(k),
    ];
  }

  function gateFormulas(k) {
    const { symbol, source } = info[k];
    const values = { x: source, y: symbol, negative_slope: general(setting.layers[k].slope) };
    const nothing = new RegExp(`(?<![\\w.])0 \\* ${source}(?!\\w)`, "g");
    return [
      ["formula", filled(live.relu.plain, values).replace(nothing, "0")],
      ["formula", `${t("word_gate")} = ${filled(live.relu.derivative, values)}`],
    ];
  }

  function counts(k) {
    const { slope } = setting.layers[k];
    const flat = result.layers[k].x.flat();
    const seen = {
      batch: rows,
      active: flat.filter((value) => value > 0).length,
      negative: flat.filter((value) => value < 0).length,
      zero: flat.filter((value) => value === 0).length,
    };
    if (slope !== 0) return ["text", t("counts_scaled", seen)];
    const closed = transposed(result.layers[k].x).filter((unitRows) => unitRows.every((x) => gateOf(x, 0) === 0));
    return ["text", t("counts", { ...seen, dead: closed.length })];
  }

  function forwardGate(k) {
    const { symbol, source } = info[k];
    const { slope } = setting.layers[k];
    const { x, y, dy } = result.layers[k];
    const u = path.outputs[k];
    const row = x[sample];
    const shown = neighbours(row, dy[sample], u);
    const cells = shown.map((v) => [
      String(v), number(row[v]), sign(row[v]), number(gateOf(row[v], slope)), number(y[sample][v]),
    ]);
    const blocks = [
      ["text", t("forward_gate_why")],
      ...gateFormulas(k),
      ["table", header("gate_header", { source, symbol }), cells, shown.indexOf(u)],
      ["worked", t("pattern", { pattern: signs(row) })],
      ["note", t("pattern_legend")],
    ];
    if (row.includes(0)) blocks.push(["note", t("at_zero", { slope: general(slope) })]);
    if (live.everything || rows > 1) blocks.push(counts(k));
    return blocks;
  }

  function lossStep() {
    const blocks = [["formula", live.loss_formula]];
    if (loss.rows) {
      const { shifted, exponentials, p, wanted, sum: total, loss: own } = loss.rows[sample];
      const z = result.layers.at(-1).y[sample];
      const cells = z.slice(0, 12).map((value, k) => [
        `${k} ${names.classes[k] || ""}`.trimEnd(),
        ...[value, shifted[k], exponentials[k], p[k], wanted[k]].map(number),
      ]);
      blocks.push(["text", t("loss_softmax")]);
      blocks.push(["table", header("loss_header", { symbol: last }), cells, wanted.indexOf(1)]);
      blocks.push(["worked", t("loss_sum", { sum: number(total), row: number(own) })]);
    } else {
      const [output, wanted] = [result.layers.at(-1).y[sample][0], setting.target[sample][0]];
      const value = number(setting.loss.scale * (output - wanted) ** 2);
      blocks.push(["worked", `${live.times}(${number(output)} - ${factor(wanted)})^2 = ${value}`]);
    }
    return [...blocks, ["text", t("loss_total", { value: number(loss.value) })]];
  }

  function lossBackward() {
    const gradient = loss.gradient[sample];
    const entry = `d${last}[${out}]`;
    const blocks = [];
    if (loss.rows) {
      const { p, wanted } = loss.rows[sample];
      blocks.push(["text", t("loss_backward_softmax", { symbol: last, count })]);
      blocks.push(["formula", `d${last} = (p - ${t("word_wanted")}) / ${count}`]);
      const difference = `(${number(p[out])} - ${number(wanted[out])})`;
      blocks.push(["worked", `${entry} = ${difference} / ${count} = ${number(gradient[out])}`]);
    } else {
      const twice = general(2 * setting.loss.scale);
      const over = setting.loss.count === 1 ? "" : ` / ${count}`;
      blocks.push(["text", t("loss_backward_square", { times: live.times, twice, over })]);
      const difference = `(${number(result.layers.at(-1).y[sample][out])} - ${factor(setting.target[sample][out])})`;
      blocks.push(["worked", `${entry} = ${twice}*${difference}${over} = ${number(gradient[out])}`]);
    }
    return [...blocks, ["worked", `d${last} = ${numbers(gradient)}`]];
  }

  function backwardDense(k) {
    const { symbol, source, weight, bias } = info[k];
    const { x, dy, dx, grads } = result.layers[k];
    const [i, j] = [path.inputs[k], path.outputs[k]];
    const entry = `d${weight}[${i},${j}]`;
    const column = dy.map((row) => row[j]);
    const why = { weight, source, symbol, bias: grads.bias ? t("backward_bias_why", { bias, symbol }) : "" };
    const blocks = [
      ["text", t("backward_weight_why", why)],
      ["formula", `${entry} = ${t("sum_rows", { term: `${source}[${i}] * d${symbol}[${j}]` })}`],
      ["worked", `${entry} = ${productSum(x.map((row) => row[i]), column)} = ${number(grads.weight[i][j])}`],
      ...verdict(weight, `${i},${j}`),
    ];
    if (grads.bias) {
      blocks.push(["worked", `d${bias}[${j}] = ${plainSum(column)} = ${number(grads.bias[j])}`]);
      blocks.push(...verdict(bias, String(j)));
    }
    if (info[k].needs_dx) {
      const worked = productSum(dy[sample], setting.layers[k].weight[i]);
      blocks.push(["text", t("backward_input_why", { source, symbol, weight })]);
      blocks.push(["worked", `d${source}[${i}] = ${worked} = ${number(dx[sample][i])}`]);
    }
    return blocks;
  }

  function otherGate(gates, arrives, u) {
    const stopped = stoppedUnit(gates, arrives);
    if (stopped !== null) return stopped;
    const others = gates.map((_, v) => v).filter((v) => gates[v] !== gates[u]);
    return others.length ? others[largestPlace(others.map((v) => arrives[v]))] : u;
  }

  function backwardGate(k) {
    const { symbol, source } = info[k];
    const { x, dy, dx } = result.layers[k];
    const u = path.outputs[k];
    const gatesOf = (row) => row.map((value) => gateOf(value, setting.layers[k].slope));
    const [row, arrives, left] = [x[sample], dy[sample], dx[sample]];
    const gates = gatesOf(row);
    const blocks = [["text", t("backward_gate_why", { source, symbol })]];
    if (x.some((one) => gatesOf(one).includes(0))) blocks.push(["text", t("backward_gate_stops", { source })]);
    blocks.push(["formula", `d${source} = d${symbol} * ${t("word_gate")}`]);
    for (const v of new Set([u, otherGate(gates, arrives, u)])) {
      const key = gates[v] === 1 ? "gate_open" : gates[v] === 0 ? "gate_closed" : "gate_scaled";
      blocks.push(["worked", `d${source}[${v}] = ${number(arrives[v])} * ${factor(gates[v])} = ${number(left[v])}`]);
      blocks.push(["note", t(key, { unit: v, source, x: number(row[v]), gate: number(gates[v]) })]);
    }
    const shown = neighbours(row, arrives, u);
    const cells = shown.map((v) => [String(v), number(arrives[v]), number(gates[v]), number(left[v])]);
    blocks.push(["table", header("gradient_header", { symbol, source }), cells, shown.indexOf(u)]);
    const stopped = gates.filter((gate) => gate === 0).length;
    const scaled = gates.filter((gate) => gate !== 0 && gate !== 1).length;
    const tally = { stopped, scaled, count: gates.length };
    const told = !stopped ? t("scaled", tally) : scaled ? t("killed_and_scaled", tally) : t("killed", tally);
    return [...blocks, ["text", told]];
  }

  function pathStep() {
    const start = setting.layers.findIndex(isDense);
    const [i, j] = [path.inputs[start], path.outputs[start]];
    const first = info[start];
    const entry = `d${first.weight}[${i},${j}]`;
    const lossPlace = { symbol: last, unit: out };
    const cells = [[t("path_loss", lossPlace), `d${last}[${out}]`, number(loss.gradient[sample][out])]];
    for (let k = info.length - 1; k > start; k -= 1) {
      const at = path.inputs[k];
      const { x, dx } = result.layers[k];
      const how = isDense(setting.layers[k])
        ? t("path_weight", { symbol: info[k].symbol, weight: info[k].weight })
        : `${t("path_gate", { unit: at })}: * ${factor(gateOf(x[sample][at], setting.layers[k].slope))}`;
      cells.push([how, `d${info[k].source}[${at}]`, number(dx[sample][at])]);
    }
    const { x, dy, grads } = result.layers[start];
    const own = names.features.length && first.source === "x" ? t("named", { name: names.features[i] }) : "";
    const place = { source: first.source, unit: i, name: own, value: number(x[sample][i]) };
    cells.push([t("path_input", place), entry, number(x[sample][i] * dy[sample][j])]);
    const value = number(grads.weight[i][j]);
    const closing = rows > 1 ? t("path_rows", { others: rows - 1, entry, value }) : t("path_one_row", { entry, value });
    const blocks = [
      ["text", t("path_why", { sample, entry })],
      ["table", header("path_header"), cells, -1],
      ["text", closing],
    ];
    const hidden = firstHidden(setting);
    if (hidden < 0) return blocks;
    const arrives = result.layers[hidden].dy[sample];
    const gates = result.layers[hidden].x[sample].map((value) => gateOf(value, setting.layers[hidden].slope));
    const stopped = gates[unit] === 0 ? unit : stoppedUnit(gates, arrives);
    if (stopped !== null) blocks.push(["note", t("path_stopped", { unit: stopped, arrives: number(arrives[stopped]) })]);
    return blocks;
  }

  function update() {
    const rate = general(setting.rate);
    const blocks = [["text", t("update_rule", { optimizer: live.optimizer, rate })], ["formula", live.rule]];
    const cells = [];
    setting.layers.forEach((layer, k) => {
      if (!isDense(layer)) return;
      const [i, j] = [path.inputs[k], path.outputs[k]];
      const { grads } = result.layers[k];
      const worked = `${number(layer.weight[i][j])} - ${rate}*${factor(grads.weight[i][j])}`;
      const entry = `${info[k].weight}[${i},${j}]`;
      blocks.push(["worked", `${entry} = ${worked} = ${number(result.updated[k].weight[i][j])}`]);
      const arrays = [[info[k].weight, layer.weight, grads.weight, result.updated[k].weight]];
      if (layer.bias) arrays.push([info[k].bias, layer.bias, grads.bias, result.updated[k].bias]);
      for (const [symbol, before, gradient, after] of arrays) {
        const shape = Array.isArray(before[0]) ? `(${before.length}, ${before[0].length})` : `(${before.length},)`;
        const [old, changed] = [before.flat(), after.flat()];
        const ratio = norm(changed.map((value, n) => value - old[n])) / norm(old);
        cells.push([symbol, shape, number(norm(gradient.flat())), Number.isFinite(ratio) ? general(ratio, 2) : "-"]);
      }
    });
    blocks.push(["table", header("update_header"), cells, -1]);
    return [...blocks, ["text", t("update_loss", { before: number(loss.value), after: number(result.after) })]];
  }

  const makers = { short, network, loss: lossStep, "loss-backward": lossBackward, path: pathStep, update };
  info.forEach((layer, k) => {
    const dense = isDense(setting.layers[k]);
    makers[`forward-${layer.index}`] = () => (dense ? forwardDense(k) : forwardGate(k));
    makers[`backward-${layer.index}`] = () => (dense ? backwardDense(k) : backwardGate(k));
  });
  return { path, blocks: (key, recorded) => (makers[key] ? makers[key](recorded) : null) };
}
