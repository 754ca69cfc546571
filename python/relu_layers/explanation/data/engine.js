"use strict";
// One training step of Dense and ReLU layers with softmax or squared errors, in float64: what the kernels compute, to
// rounding. It touches no document, so a test can run it by itself. A setting holds
//   layers: { kind: "dense", weight: rows of numbers, bias: numbers or null } or { kind: "relu", slope },
//   x: rows, loss: { kind: "softmax" or "square", scale, count }, target: labels, or rows for squares; rate.

// A select, never a product with 0: an infinite gradient stops at a closed gate, and NaN is not hidden.
function reluForward(x, slope) {
  if (x > 0) return x;
  if (slope !== 0) return slope * x;
  return x < 0 ? 0 : x;
}

// NaN is on neither side of 0: the gradient passes.
function reluBackward(x, dy, slope) {
  if (x > 0 || Number.isNaN(x)) return dy;
  return slope === 0 ? 0 : slope * dy;
}

function product(a, b) {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, value, i) => sum + value * b[i][j], 0)));
}

const transposed = (a) => a[0].map((_, j) => a.map((row) => row[j]));
const columnSums = (a) => a[0].map((_, j) => a.reduce((sum, row) => sum + row[j], 0));

function forwardLayer(layer, x) {
  if (layer.kind === "relu") return x.map((row) => row.map((value) => reluForward(value, layer.slope)));
  const y = product(x, layer.weight);
  return layer.bias ? y.map((row) => row.map((value, j) => value + layer.bias[j])) : y;
}

function backwardLayer(layer, x, dy) {
  if (layer.kind === "relu") {
    return { dx: x.map((row, r) => row.map((value, j) => reluBackward(value, dy[r][j], layer.slope))) };
  }
  const grads = { weight: product(transposed(x), dy), bias: layer.bias ? columnSums(dy) : null };
  return { dx: product(dy, transposed(layer.weight)), grads };
}

// The logarithm of the sum of exponentials beside its largest term, 1, keeps its digits where the others are small.
function softmaxRow(z, label) {
  const largest = z.some(Number.isNaN) ? NaN : Math.max(...z);
  const shifted = z.map((value) => value - largest);
  const exponentials = shifted.map(Math.exp);
  const sum = exponentials.reduce((total, value) => total + value, 0);
  const top = z.indexOf(largest);
  const others = exponentials.reduce((total, value, k) => (k === top ? total : total + value), 0);
  const wanted = z.map((_, k) => (k === label ? 1 : 0));
  const p = exponentials.map((value) => value / sum);
  return { shifted, exponentials, sum, p, wanted, loss: Math.log1p(others) - shifted[label] };
}

function lossOf(loss, output, target) {
  if (loss.kind === "softmax") {
    const rows = output.map((z, r) => softmaxRow(z, target[r]));
    const value = rows.reduce((sum, row) => sum + row.loss, 0) / loss.count;
    return { value, rows, gradient: rows.map(({ p, wanted }) => p.map((q, k) => (q - wanted[k]) / loss.count)) };
  }
  const error = output.map((row, r) => row.map((value, k) => value - target[r][k]));
  const sum = error.reduce((total, row) => row.reduce((part, e) => part + e * e, total), 0);
  const gradient = error.map((row) => row.map((e) => (2 * loss.scale * e) / loss.count));
  return { value: (loss.scale * sum) / loss.count, rows: null, gradient };
}

function forwardPass(layers, x) {
  const passed = [];
  for (const layer of layers) {
    const y = forwardLayer(layer, x);
    passed.push({ x, y });
    x = y;
  }
  return passed;
}

// Forward, loss, backward, update, and the loss of the same rows after it.
function trainingStep(setting) {
  const layers = forwardPass(setting.layers, setting.x);
  const loss = lossOf(setting.loss, layers.at(-1).y, setting.target);
  let dy = loss.gradient;
  for (let k = layers.length - 1; k >= 0; k -= 1) {
    Object.assign(layers[k], { dy }, backwardLayer(setting.layers[k], layers[k].x, dy));
    dy = layers[k].dx;
  }
  const stepped = (value, gradient) => value - setting.rate * gradient;
  const updated = setting.layers.map((layer, k) => {
    if (layer.kind !== "dense") return layer;
    const { weight, bias } = layers[k].grads;
    return {
      ...layer,
      weight: layer.weight.map((row, i) => row.map((value, j) => stepped(value, weight[i][j]))),
      bias: layer.bias && layer.bias.map((value, j) => stepped(value, bias[j])),
    };
  });
  const after = lossOf(setting.loss, forwardPass(updated, setting.x).at(-1).y, setting.target).value;
  return { layers, loss, updated, after };
}
