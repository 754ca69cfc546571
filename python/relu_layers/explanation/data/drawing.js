// The network drawn, and the arrays that a step points into. Columns are x and the output of every layer.
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

// --- the picture ---

const [NARROWEST, WIDEST] = [84, 190];
const TOP = 40;
// Room at the sides for the names of columns and classes.
const NAME = 120;

function measures(view) {
  const tallest = Math.max(...view.map((units) => units.length));
  const dense = tallest > 12;
  const [down, radius] = dense ? [27, 11] : [46, 15];
  const left = net.names.features.length ? NAME + 24 : 36;
  const right = net.names.classes.length ? NAME + 60 : dense ? 72 : 40;
  const height = TOP + down * tallest + 14;
  const room = (byId("network").clientWidth - left - right) / Math.max(view.length - 1, 1);
  const across = Math.floor(Math.min(Math.max(room, NARROWEST), WIDEST));
  const width = left + across * (view.length - 1) + right;
  const x = (place) => left + across * place;
  const y = (place, k) => TOP + down * (k + 0.5 + (tallest - view[place].length) / 2);
  return { dense, radius, width, height, x, y };
}

const shortened = (name) => (name.length > 17 ? `${name.slice(0, 16)}…` : name);

function arrowHead(id) {
  const marker = draw("marker", {
    id, viewBox: "0 0 10 10", refX: 5, refY: 5, markerWidth: 15, markerHeight: 15,
    markerUnits: "userSpaceOnUse", orient: "auto",
  });
  marker.append(draw("path", { d: "M0 0 L10 5 L0 10 z", class: `head ${id}` }));
  return marker;
}

function drawEdges(view, at, focus, numbersOf) {
  const [lines, hits] = [draw("g", {}), draw("g", {})];
  const where = view.map((units, place) => new Map(units.map((u, k) => [u, [at.x(place), at.y(place, k)]])));
  const lit = [];
  for (const [place, from, to, share, weightSign] of numbersOf.edges(view)) {
    const [a, b] = [where[place].get(from), where[place + 1].get(to)];
    const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
    const [ux, uy] = [((b[0] - a[0]) / length) * at.radius, ((b[1] - a[1]) / length) * at.radius];
    const [start, end] = [[a[0] + ux, a[1] + uy], [b[0] - ux, b[1] - uy]];
    // Through the middle, where the arrow's head is; backward, the gradient travels from the loss to the input.
    const middle = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
    const points = focus.back ? [end, middle, start] : [start, middle, end];
    const track = { points: points.map((one) => one.map((value) => value.toFixed(1)).join(",")).join(" ") };
    const line = draw("polyline", { ...track, class: weightSign === "-" ? "edge negative" : "edge" });
    line.setAttribute("stroke-width", (0.6 + 2.6 * share).toFixed(2));
    const followed = state.followed && state.followed.place === place;
    if (followed && state.followed.from === from && state.followed.to === to) line.classList.add("followed");
    if (touches(focus.edges, [place, from, to])) {
      line.classList.add("lit", focus.back ? "back" : "on");
      line.setAttribute("marker-mid", `url(#arrow${weightSign === "-" ? "-negative" : ""})`);
      lit.push(line);
    } else lines.append(line);
    if (!isProduct(net.layers[place])) continue;
    const hit = draw("polyline", { ...track, class: "hit", "data-edge": `${place},${from},${to}` });
    hit.addEventListener("click", () => followWeight(place, from, to));
    hit.append(draw("title", {}, `${net.layers[place].weight}[${from},${to}] = ${numbersOf.entry(net.layers[place].weight, from, to)}`));
    hits.append(hit);
  }
  // What is lit lies on top.
  lines.append(...lit);
  return [lines, hits];
}

function nodeElement(place, unit, at, y, focus, path, numbersOf) {
  const column = net.columns[place];
  const own = numbersOf.node(place, unit);
  const value = focus.back ? own.gradient : own.value;
  const name = `${focus.back ? "d" : ""}${column.symbol}[${unit}]`;
  const onPath = unit === (place ? path.outputs[place - 1] : path.inputs[0]);
  const group = draw("g", {
    class: "node", transform: `translate(${at.x(place)} ${y})`, role: "button",
    tabindex: onPath ? 0 : -1, "aria-label": `${name} = ${value}`, "data-node": `${place},${unit}`,
  });
  group.classList.toggle("closed", column.gated && own.sign !== "+");
  const lit = touches(focus.nodes, [place, unit]);
  group.classList.toggle("lit", lit);
  group.classList.toggle("stopped", lit && focus.back && own.closed);
  group.classList.toggle("followed", state.followed?.column === place && state.followed.unit === unit);
  group.append(draw("circle", { r: at.radius }));
  const inside = column.gated && !at.dense ? `${unit} ${own.sign}` : String(unit);
  group.append(draw("text", { y: 4, class: "inside" }, inside));
  const beside = at.dense ? { x: at.radius + 3, y: 4, class: "value halo start" } : { y: at.radius + 12, class: "value halo" };
  group.append(draw("text", beside, value));
  if (place === 0 && net.names.features.length) {
    const title = net.names.features[unit];
    group.append(draw("text", { x: -at.radius - 5, y: 4, class: "name end" }, shortened(title)), draw("title", {}, title));
  }
  if (place === net.columns.length - 1 && net.names.classes.length) {
    const title = net.names.classes[unit];
    const shift = at.dense ? at.radius + 62 : at.radius + 5;
    group.append(draw("text", { x: shift, y: 4, class: "name start" }, shortened(title)), draw("title", {}, title));
  }
  group.addEventListener("click", () => followUnit(place, unit));
  return group;
}

function drawNetwork(view, focus, path, numbersOf) {
  const svg = byId("drawing");
  const focused = svg.contains(document.activeElement) ? document.activeElement.dataset.node : null;
  const at = measures(view);
  svg.setAttribute("viewBox", `0 0 ${at.width} ${at.height}`);
  // As large as drawn: a drawing that shrinks with the window has text that cannot be read.
  svg.style.width = `${at.width}px`;
  const markers = draw("defs", {});
  markers.append(arrowHead("arrow"), arrowHead("arrow-negative"));
  const nodes = draw("g", {});
  net.columns.forEach((column, place) => {
    const more = column.total - view[place].length;
    const symbol = (focus.back ? "d" : "") + column.symbol + (more ? ` (+${more})` : "");
    nodes.append(draw("text", { x: at.x(place), y: 14, "text-anchor": "middle", class: "symbol" }, symbol));
    nodes.append(draw("text", { x: at.x(place), y: 28, "text-anchor": "middle" }, column.kind));
    view[place].forEach((unit, k) => nodes.append(nodeElement(place, unit, at, at.y(place, k), focus, path, numbersOf)));
  });
  svg.replaceChildren(markers, ...drawEdges(view, at, focus, numbersOf), nodes);
  if (focused) svg.querySelector(`[data-node="${focused}"]`)?.focus();
}

// In the drawing the arrows go from unit to unit; Enter and the space bar choose.
function drawingKey(event) {
  const [place, unit] = event.target.closest("[data-node]").dataset.node.split(",").map(Number);
  const of = (column) => [...byId("drawing").querySelectorAll(`[data-node^="${column},"]`)];
  const here = of(place).findIndex((node) => node.dataset.node === `${place},${unit}`);
  const focusOn = (column, k) => () => of(column)[Math.min(Math.max(k, 0), of(column).length - 1)]?.focus();
  return {
    ArrowUp: focusOn(place, here - 1),
    ArrowDown: focusOn(place, here + 1),
    ArrowLeft: focusOn(place - 1, here),
    ArrowRight: focusOn(place + 1, here),
    Enter: () => followUnit(place, unit),
    " ": () => followUnit(place, unit),
  }[event.key];
}

// --- the arrays a step points into ---

const entryName = (names, place) => (names.length ? `${place} ${names[place]}` : String(place));

function matrixElement(name, marked, view, numbersOf) {
  const bare = name.replace(/^d(?=[A-Z])/, "");
  const layer = net.layers.findIndex((one) => one.weight === bare);
  const column = net.columns.findIndex((one) => one.symbol === name || `d${one.symbol}` === name);
  const last = net.columns.length - 1;
  const { features, classes } = net.names;
  const namesOf = (place) => (place === 0 ? features : place === last ? classes : []);
  const weights = layer >= 0;
  const rows = weights ? view[layer] : [...new Set([...data.samples.slice(0, 8), state.sample])];
  const columns = weights ? view[layer + 1] : view[column];
  const head = make("tr", {}, make("th"));
  const across = namesOf(weights ? layer + 1 : column);
  columns.forEach((j) => head.append(make("th", { scope: "col" }, entryName(across, j))));
  const body = make("tbody");
  for (const i of rows) {
    const line = make("tr", {}, make("th", { scope: "row" }, entryName(weights ? namesOf(layer) : [], i)));
    for (const j of columns) {
      const mark = numbersOf.mark(name, i, j);
      const text = numbersOf.entry(name, i, j) + (mark ? ` ${mark}` : "");
      const cell = make("td", touches(marked, [i, j]) ? { class: "lit" } : {}, text);
      if (weights) cell.addEventListener("click", () => followWeight(layer, i, j));
      line.append(cell);
    }
    body.append(line);
  }
  const size = weights ? `(${net.columns[layer].total}, ${net.columns[layer + 1].total})` : "";
  const legend = name.startsWith("dW") && !state.moved ? `. ${labels.page_marks}` : "";
  const whole = make("table", weights ? { class: "weights" } : {}, make("thead", {}, head), body);
  const caption = make("figcaption", { class: "note" }, `${name} ${size}${legend}`);
  return make("figure", {}, caption, make("div", { class: "scroll" }, whole));
}

function showMatrices(view, focus, numbersOf) {
  const wanted = new Map();
  for (const [name, row, column] of focus.cells) wanted.set(name, [...(wanted.get(name) || []), [row, column]]);
  const shown = [...wanted].map(([name, marked]) => matrixElement(name, marked, view, numbersOf));
  byId("matrices").replaceChildren(...shown);
  for (const pane of byId("matrices").querySelectorAll(".scroll")) {
    const lit = pane.querySelector(".lit");
    if (lit) pane.scrollLeft = lit.offsetLeft - pane.clientWidth / 2;
  }
}
