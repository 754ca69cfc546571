"use strict";
// Shows what the data holds: which texts, which marks. Nothing is computed here but places on the screen.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const svgNames = "http://www.w3.org/2000/svg";

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes, text) {
  const element = document.createElementNS(svgNames, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function table(header, rows, lit) {
  const body = make("tbody");
  rows.forEach((row, r) => {
    const line = make("tr", lit === r ? { class: "marked" } : {});
    row.forEach((cell) => line.append(make("td", {}, cell)));
    body.append(line);
  });
  const result = make("table");
  if (header.length) {
    const line = make("tr");
    header.forEach((cell) => line.append(make("th", { scope: "col" }, cell)));
    result.append(make("thead", {}, line));
  }
  result.append(body);
  return make("div", { class: "scroll" }, result);
}

const word = (place) => data.words[place];
const cells = (place) => (word(place) === "" ? [] : word(place).split("\t"));

function blockElement(place) {
  const [kind, content, rows, marked] = data.blocks[place];
  if (kind === "table") return table(cells(content), rows.map(cells), marked);
  if (kind === "text") return make("p", {}, word(content));
  if (kind === "note") return make("p", { class: "note" }, word(content));
  return make("pre", { class: kind }, word(content));
}

const state = { sample: 0, unit: 0, step: 0 };
const told = ([step, focus]) => {
  const [key, title, blocks] = data.steps[step];
  return { key, title, blocks, focus: data.focuses[focus] };
};
const steps = () => data.pairs[`${state.sample},${state.unit}`].map(told);
const heading = (step, place) => (place ? `${place}. ` : "") + word(step.title);

function stepElements(step, place) {
  return [make("h2", {}, heading(step, place)), ...step.blocks.map(blockElement)];
}

// --- the drawing ---

const edgeLines = new Map();
const nodeGroups = new Map();

function drawNetwork() {
  const net = data.net;
  const svg = byId("drawing");
  svg.setAttribute("viewBox", `0 0 ${net.width} ${net.height}`);
  const where = net.columns.map((column) => new Map(column.units.map((u, k) => [u, [column.x, column.y[k]]])));
  const lines = draw("g", {});
  svg.append(lines);
  for (const [column, from, to, width, sign] of net.edges) {
    const [x1, y1] = where[column].get(from);
    const [x2, y2] = where[column + 1].get(to);
    const line = draw("line", { x1, y1, x2, y2, class: sign === "-" ? "edge negative" : "edge", "stroke-width": width });
    edgeLines.set(`${column},${from},${to}`, line);
    lines.append(line);
  }
  net.columns.forEach((column, place) => {
    svg.append(draw("text", { x: column.x, y: 16, "text-anchor": "middle", class: "symbol" }));
    svg.append(draw("text", { x: column.x, y: 30, "text-anchor": "middle" }, column.kind));
    column.units.forEach((unit, k) => {
      const group = draw("g", { class: "node", transform: `translate(${column.x} ${column.y[k]})` });
      group.append(draw("circle", { r: net.radius }));
      group.append(draw("text", { y: 4, class: "inside" }));
      group.append(draw("text", { y: net.radius + 11, class: "value halo" }));
      if (column.gated && data.units.includes(unit)) {
        group.classList.add("choice");
        group.addEventListener("click", () => choose({ unit }));
      }
      nodeGroups.set(`${place},${unit}`, group);
      svg.append(group);
    });
  });
}

// In a wanted key -1 stands for every unit of that side.
function light(elements, wanted, name) {
  for (const key of wanted) {
    for (const [own, element] of elements) {
      if (own.split(",").every((part, k) => key[k] === -1 || Number(part) === key[k])) element.classList.add(name);
    }
  }
}

function lightNetwork(focus) {
  for (const line of edgeLines.values()) line.classList.remove("lit");
  const symbols = byId("drawing").querySelectorAll(".symbol");
  data.net.columns.forEach((column, place) => {
    const back = focus.back && column.gradients !== null;
    const values = (back ? column.gradients : column.values)[state.sample];
    symbols[place].textContent = (back ? "d" : "") + column.symbol + (column.more ? ` (+${column.more})` : "");
    column.units.forEach((unit, k) => {
      const group = nodeGroups.get(`${place},${unit}`);
      const sign = column.signs[state.sample][k];
      group.classList.remove("lit", "stopped");
      group.classList.toggle("closed", column.gated && sign !== "+");
      group.children[1].textContent = column.gated ? `${unit} ${sign}` : String(unit);
      group.children[2].textContent = values[k];
    });
  });
  light(nodeGroups, focus.nodes, "lit");
  light(nodeGroups, focus.stops, "stopped");
  light(edgeLines, focus.edges, "lit");
  // What is lit lies on top.
  for (const line of edgeLines.values()) if (line.classList.contains("lit")) line.parentNode.append(line);
}

// --- the arrays a step points into ---

function matrixElement(name, entries) {
  const matrix = data.matrices[name];
  const head = make("tr", {}, make("th"));
  matrix.columns.forEach((column) => head.append(make("th", { scope: "col" }, String(column))));
  const body = make("tbody");
  matrix.rows.forEach((row, r) => {
    const line = make("tr", {}, make("th", { scope: "row" }, String(row)));
    matrix.columns.forEach((column, c) => {
      const lit = entries.some(([i, j]) => (i === -1 || i === row) && j === column);
      const mark = matrix.marks ? ` ${matrix.marks[r][c]}` : "";
      line.append(make("td", lit ? { class: "lit" } : {}, matrix.cells[r][c] + mark));
    });
    body.append(line);
  });
  const legend = matrix.marks ? `. ${data.labels.page_marks}` : "";
  const caption = make("figcaption", { class: "note" }, `${name} ${matrix.shape}${legend}`);
  const whole = make("table", {}, make("thead", {}, head), body);
  return make("figure", {}, caption, make("div", { class: "scroll" }, whole));
}

function showMatrices(focus) {
  const wanted = new Map();
  for (const [name, row, column] of focus.cells) {
    if (!data.matrices[name]) continue;
    if (!wanted.has(name)) wanted.set(name, []);
    wanted.get(name).push([row, column]);
  }
  byId("matrices").replaceChildren(...[...wanted].map(([name, entries]) => matrixElement(name, entries)));
  for (const pane of byId("matrices").querySelectorAll(".scroll")) {
    const lit = pane.querySelector(".lit");
    if (lit) pane.scrollLeft = lit.offsetLeft - pane.clientWidth / 2;
  }
}

// --- stepping and choosing ---

function show() {
  const all = steps();
  state.step = Math.min(Math.max(state.step, 0), all.length - 1);
  const step = all[state.step];
  byId("step").replaceChildren(...stepElements(step, state.step));
  byId("counter").textContent = `${state.step} / ${all.length - 1}`;
  byId("previous").disabled = state.step === 0;
  byId("next").disabled = state.step === all.length - 1;
  const buttons = all.map((one, k) => {
    const button = make("button", { type: "button", title: heading(one, k), "aria-label": heading(one, k) }, String(k));
    if (k === state.step) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => choose({ step: k }));
    return make("li", {}, button);
  });
  const focused = document.activeElement?.closest("#steps") !== null && document.activeElement !== document.body;
  byId("steps").replaceChildren(...buttons);
  if (focused) byId("steps").querySelector("[aria-current]").focus();
  byId("sample").value = String(state.sample);
  byId("unit").value = String(state.unit);
  lightNetwork(step.focus);
  showMatrices(step.focus);
}

function choose(change) {
  Object.assign(state, change);
  show();
}

function neighbour(list, current, by) {
  const place = list.indexOf(current) + by;
  return list[Math.min(Math.max(place, 0), list.length - 1)];
}

const keys = {
  ArrowRight: () => choose({ step: state.step + 1 }),
  ArrowLeft: () => choose({ step: state.step - 1 }),
  ArrowDown: () => choose({ unit: neighbour(data.units, state.unit, 1) }),
  ArrowUp: () => choose({ unit: neighbour(data.units, state.unit, -1) }),
  "]": () => choose({ sample: neighbour(data.samples, state.sample, 1) }),
  "[": () => choose({ sample: neighbour(data.samples, state.sample, -1) }),
};

function onKey(event) {
  const inField = event.target.closest("select, input") !== null;
  if (inField || event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

function fillStatic() {
  const sections = steps().map((step, k) => make("section", {}, ...stepElements(step, k)));
  byId("static").replaceChildren(...sections);
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

byId("theme").addEventListener("click", changeTheme);
if (data.net) {
  document.documentElement.classList.add("script");
  byId("stepper").hidden = false;
  [state.sample, state.unit] = data.start;
  for (const [id, list] of [["sample", data.samples], ["unit", data.units]]) {
    byId(id).append(...list.map((value) => make("option", { value: String(value) }, String(value))));
    byId(id).addEventListener("change", (event) => choose({ [id]: Number(event.target.value) }));
  }
  byId("shown").textContent = data.shown;
  byId("previous").addEventListener("click", keys.ArrowLeft);
  byId("next").addEventListener("click", keys.ArrowRight);
  document.addEventListener("keydown", onKey);
  window.addEventListener("beforeprint", fillStatic);
  drawNetwork();
  show();
}
