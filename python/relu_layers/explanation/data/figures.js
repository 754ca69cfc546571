// The numbers that are shown, recorded or computed, and what a step is about. Columns are x and the output of every layer.
const { net } = data;
const isProduct = (layer) => layer.role === "dense";

// The column of the Dense output (or of x) whose units a column shares through elementwise layers.
function origin(column) {
  let at = column;
  while (at > 0 && !isProduct(net.layers[at - 1])) at -= 1;
  return at;
}

const isHidden = (column) => origin(column) === origin(data.hidden + 1);

// The drawn units of every column, that of the path among them.
function viewOf(path) {
  return net.columns.map((column, place) => {
    const wanted = place ? path.outputs[place - 1] : path.inputs[0];
    if (column.units.includes(wanted)) return column.units;
    return [...column.units.slice(0, -1), wanted].sort((a, b) => a - b);
  });
}

// --- numbers, recorded or computed ---

function engineArrays(result) {
  const arrays = { x: state.setting.x };
  result.layers.forEach((layer, k) => {
    const { symbol, source, weight, bias } = net.layers[k];
    arrays[symbol] = layer.y;
    arrays[`d${symbol}`] = layer.dy;
    arrays[`d${source}`] = layer.dx;
    if (!weight) return;
    arrays[weight] = state.setting.layers[k].weight;
    arrays[`d${weight}`] = layer.grads.weight;
    arrays[`${weight}'`] = result.updated[k].weight;
    if (bias) arrays[bias] = state.setting.layers[k].bias;
  });
  return arrays;
}

// Returns { entry(name, row, column), node(place, unit), edges(view) } for what is shown now.
function shownNumbers(result) {
  const computed = result && engineArrays(result);

  function entry(name, row, column) {
    const recorded = data.matrices[name];
    if (recorded && !state.moved) {
      const [r, c] = [recorded.rows.indexOf(row), recorded.columns.indexOf(column)];
      if (r >= 0 && c >= 0) return recorded.cells[r][c];
    }
    return computed && computed[name] ? number(computed[name][row][column]) : "";
  }

  function mark(name, row, column) {
    if (state.moved || !name.startsWith("dW")) return "";
    const signsOf = { ok: "✓", kink: "^", wrong: "!" };
    if (data.live) return signsOf[data.live.checks[`${name.slice(1)}[${row},${column}]`]?.[1]] || "";
    const recorded = data.matrices[name];
    const [r, c] = [recorded.rows.indexOf(row), recorded.columns.indexOf(column)];
    return recorded.marks?.[r]?.[c]?.trim() || "";
  }

  function node(place, unit) {
    const column = net.columns[place];
    const k = column.units.indexOf(unit);
    if (column.values && !state.moved && k >= 0 && column.values[state.sample]) {
      return {
        value: column.values[state.sample][k],
        gradient: column.gradients ? column.gradients[state.sample][k] : "",
        sign: column.signs[state.sample][k],
        closed: column.gates[state.sample][k] === "0",
      };
    }
    const layer = result.layers[Math.max(place - 1, 0)];
    const value = (place ? layer.y : layer.x)[state.sample][unit];
    const gradient = (place ? layer.dy : layer.dx)[state.sample][unit];
    const came = column.gated ? layer.x[state.sample][unit] : value;
    const closed = column.gated && gateOf(came, state.setting.layers[place - 1].slope) === 0;
    return { value: number(value), gradient: number(gradient), sign: sign(came), closed };
  }

  function edges(view) {
    if (net.edges && !state.moved) {
      return net.edges.filter(([place, i, j]) => view[place].includes(i) && view[place + 1].includes(j));
    }
    return net.layers.flatMap((layer, place) => {
      if (!isProduct(layer)) return view[place + 1].map((u) => [place, u, u, 0.4, "+"]);
      const { weight } = state.setting.layers[place];
      const largest = Math.max(...weight.flat().map(Math.abs)) || 1;
      const one = (i, j) => [place, i, j, Math.abs(weight[i][j]) / largest, sign(weight[i][j])];
      return view[place].flatMap((i) => view[place + 1].map((j) => one(i, j)));
    });
  }

  return { entry, mark, node, edges };
}

// --- what a step is about ---

// Units and weights to light up and entries of arrays to mark; -1 is every unit of that side.
function focusOf(key, path) {
  const { layers } = net;
  const s = state.sample;
  const nothing = { nodes: [], edges: [], cells: [], back: false };
  const products = layers.map((layer, k) => ({ ...layer, k })).filter(isProduct);
  const onPath = ({ k }) => [k, path.inputs[k], path.outputs[k]];
  if (key === "path") {
    const nodes = [[0, path.inputs[0]], ...path.outputs.map((u, k) => [k + 1, u])];
    const edges = layers.map((_, k) => [k, path.inputs[k], path.outputs[k]]);
    return { nodes, edges, cells: products.slice(0, 1).map((one) => [`d${one.weight}`, ...onPath(one).slice(1)]), back: true };
  }
  if (key === "loss" || key === "loss-backward") {
    const back = key !== "loss";
    const name = (back ? "d" : "") + layers.at(-1).symbol;
    return { nodes: [[layers.length, -1]], edges: [], cells: [[name, s, path.outputs.at(-1)]], back };
  }
  if (["check", "update", "corner"].includes(key)) {
    const prefix = key === "check" ? "d" : "";
    const found = products.map((one) => [prefix + one.weight, ...onPath(one).slice(1)]);
    return { nodes: [], edges: products.map(onPath), cells: found, back: key === "check" };
  }
  const [, way, index] = /^(forward|backward)-(\d+)$/.exec(key) || [];
  const place = layers.findIndex((layer) => String(layer.index) === index);
  return way && place >= 0 ? layerFocus(layers[place], place, path, way === "backward") : nothing;
}

function layerFocus(layer, place, path, back) {
  const [s, i, j] = [state.sample, path.inputs[place], path.outputs[place]];
  const { symbol, source, weight } = layer;
  if (!isProduct(layer)) {
    const d = back ? "d" : "";
    const found = [[d + source, s, j], [d + symbol, s, j]];
    return { nodes: [[place, i], [place + 1, j]], edges: [[place, i, j]], cells: found, back };
  }
  if (!back) {
    const found = [[weight, -1, j], [symbol, s, j]];
    return { nodes: [[place + 1, j], [place, -1]], edges: [[place, -1, j]], cells: found, back };
  }
  const edges = [[place, i, j]];
  const found = [[`d${weight}`, i, j]];
  if (layer.needs_dx) {
    edges.push([place, i, -1]);
    found.push([`d${source}`, s, i]);
  }
  return { nodes: [[place, i], [place + 1, j]], edges, cells: found, back };
}

const touches = (wanted, own) => wanted.some((key) => key.every((part, k) => part === -1 || part === own[k]));
