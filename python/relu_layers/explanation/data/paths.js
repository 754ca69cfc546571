"use strict";
// What is followed through the network: a row, a unit per layer, and units to look at beside it.
const LISTED = 6;

const isDense = (layer) => layer.kind === "dense";

function firstHidden(setting) {
  const dense = setting.layers.findIndex(isDense);
  return setting.layers.findIndex((layer, k) => layer.kind === "relu" && k > dense);
}

// The path through a hidden unit: before and behind it where most of the gradient flows, or the pinned units.
function pathThrough(setting, result, sample, unit, pins = {}) {
  const { layers } = setting;
  const hidden = firstHidden(setting);
  const start = hidden < 0 ? layers.length - 1 : hidden;
  const [inputs, outputs] = [Array(layers.length).fill(0), Array(layers.length).fill(0)];
  let at = unit;
  for (let k = start; k < layers.length; k += 1) {
    inputs[k] = Math.min(at, result.layers[k].x[0].length - 1);
    if (k > start && isDense(layers[k])) {
      const flow = layers[k].weight[inputs[k]].map((w, j) => w * result.layers[k].dy[sample][j]);
      at = pins[k + 1] ?? largestPlace(flow);
    }
    outputs[k] = Math.min(at, result.layers[k].y[0].length - 1);
  }
  at = unit;
  for (let k = start; k >= 0; k -= 1) {
    outputs[k] = Math.min(at, result.layers[k].y[0].length - 1);
    if (isDense(layers[k])) {
      const flow = result.layers[k].x[sample].map((x, i) => x * layers[k].weight[i][outputs[k]]);
      at = pins[k] ?? largestPlace(flow);
    }
    inputs[k] = Math.min(at, result.layers[k].x[0].length - 1);
  }
  return { inputs, outputs };
}

const gateOf = (x, slope) => reluBackward(x, 1, slope);

function stoppedUnit(gates, arrives) {
  const sizes = gates.map((gate, u) => (gate === 0 ? size(arrives[u]) : -1));
  const best = sizes.indexOf(Math.max(...sizes));
  return sizes[best] > 0 ? best : null;
}

function neighbours(row, arrives, unit) {
  if (row.length <= LISTED) return row.map((_, k) => k);
  const order = bySize(arrives);
  const groups = ["-", "+", "0"].map((one) => order.filter((u) => sign(row[u]) === one && u !== unit));
  const chosen = [unit];
  while (chosen.length < LISTED && groups.some((group) => group.length)) {
    for (const group of groups) if (group.length && chosen.length < LISTED) chosen.push(group.shift());
  }
  return chosen.sort((a, b) => a - b);
}
