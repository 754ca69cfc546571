// The page: which step, row, unit and weight are shown, with which numbers. What is recorded comes as text; what was
// moved or chosen beside it is computed by engine.js and written by sentences.js.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const svgNames = "http://www.w3.org/2000/svg";
const labels = data.labels;

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

function tableElement(header, rows, lit) {
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

function blockElement([kind, content, rows, marked]) {
  if (kind === "table") return tableElement(content, rows, marked);
  if (kind === "text") return make("p", {}, content);
  if (kind === "note") return make("p", { class: "note" }, content);
  return make("pre", { class: kind }, content);
}

// --- what is shown ---

// followed is { column, unit } or { place, from, to }; pins hold chosen units of other columns than the hidden one.
const state = { sample: 0, unit: 0, step: 0, pins: {}, followed: null, setting: null, moved: false };

const cells = (place) => (data.words[place] === "" ? [] : data.words[place].split("\t"));

function recordedSteps(pair) {
  return data.pairs[pair].map((place) => {
    const [key, title, blocks] = data.steps[place];
    const expanded = blocks.map((block) => {
      const [kind, content, rows, marked] = data.blocks[block];
      return kind === "table" ? [kind, cells(content), rows.map(cells), marked] : [kind, data.words[content]];
    });
    return { key, title: data.words[title], blocks: expanded };
  });
}

// Returns the steps with the path that they follow, and the engine's result where it computes this network.
function current() {
  const pair = `${state.sample},${state.unit}`;
  const recorded = recordedSteps(data.pairs[pair] ? pair : data.start.join(","));
  if (!data.live) return { steps: recorded, path: data.paths[pair], result: null };
  const result = trainingStep(state.setting);
  const { live } = data;
  const written = writer(live, state.setting, result, state.sample, state.unit, state.pins, state.moved);
  if (!state.moved && !Object.keys(state.pins).length && data.pairs[pair]) {
    return { steps: recorded, path: written.path, result };
  }
  const { before, after } = { before: number(live.before), after: number(live.after) };
  const moved = ["note", filled(labels.page_moved, { before, after })];
  const steps = recorded.map(({ key, title, blocks }) => {
    const found = written.blocks(key, blocks);
    if (found) return { key, title, blocks: state.moved ? [moved, ...found] : found };
    return { key, title, blocks: state.moved ? [["note", labels.page_recorded], ...blocks] : blocks };
  });
  return { steps, path: written.path, result };
}

const heading = (step, place) => (place ? `${place}. ` : "") + step.title;
const stepElements = (step, place) => [make("h2", {}, heading(step, place)), ...step.blocks.map(blockElement)];

function showButtons(all) {
  const buttons = all.map((one, k) => {
    const button = make("button", { type: "button", title: heading(one, k), "aria-label": heading(one, k) }, String(k));
    if (k === state.step) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => choose({ step: k }));
    return make("li", {}, button);
  });
  const focused = byId("steps").contains(document.activeElement);
  byId("steps").replaceChildren(...buttons);
  if (focused) byId("steps").querySelector("[aria-current]").focus();
}

function show() {
  const now = current();
  const all = now.steps;
  state.step = Math.min(Math.max(state.step, 0), all.length - 1);
  const step = all[state.step];
  byId("step").replaceChildren(...stepElements(step, state.step));
  byId("counter").textContent = `${state.step} / ${all.length - 1}`;
  byId("previous").disabled = state.step === 0;
  byId("next").disabled = state.step === all.length - 1;
  showButtons(all);
  byId("sample").value = String(state.sample);
  byId("unit").value = String(state.unit);
  if (window.location.hash !== `#step${state.step}`) window.history.replaceState(null, "", `#step${state.step}`);
  const focus = focusOf(step.key, now.path);
  const view = viewOf(now.path);
  const numbersOf = shownNumbers(now.result);
  drawNetwork(view, focus, now.path, numbersOf);
  showMatrices(view, focus, numbersOf);
  showFollowed(numbersOf);
  listWeights(view, now.path);
  showKnobs(now.result);
}

function choose(change) {
  Object.assign(state, change);
  show();
}

function neighbour(list, at, by) {
  const place = list.indexOf(at) + by;
  return list[Math.min(Math.max(place, 0), list.length - 1)];
}

const stepBy = (by) => choose({ step: state.step + by });
const rowBy = (by) => choose({ sample: neighbour(data.samples, state.sample, by) });
const keys = { n: () => stepBy(1), p: () => stepBy(-1), "]": () => rowBy(1), "[": () => rowBy(-1) };
const stepArrows = { ArrowRight: () => stepBy(1), ArrowLeft: () => stepBy(-1) };

// Arrow keys scroll the page, except left and right while a step's button has the focus, and within the drawing.
function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("select, input")) return;
  const inNav = event.target.closest("nav") !== null;
  const inDrawing = event.target.closest("#drawing") !== null;
  const act = keys[event.key] || (inNav && stepArrows[event.key]) || (inDrawing && drawingKey(event));
  if (!act) return;
  event.preventDefault();
  act();
}

function stepOfAddress() {
  const found = /^#step(\d+)$/.exec(window.location.hash);
  return found ? Number(found[1]) : 0;
}

function fillStatic() {
  const sections = current().steps.map((step, k) => make("section", {}, ...stepElements(step, k)));
  byId("static").replaceChildren(...sections);
}

function changeTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function startStepper() {
  document.documentElement.classList.add("script");
  byId("stepper").hidden = false;
  [state.sample, state.unit] = data.start;
  state.step = stepOfAddress();
  for (const [id, list] of [["sample", data.samples], ["unit", data.units]]) {
    byId(id).append(...list.map((value) => make("option", { value: String(value) }, String(value))));
    byId(id).addEventListener("change", (event) => {
      choose({ [id]: Number(event.target.value), pins: {}, followed: null });
    });
  }
  byId("shown").textContent = data.shown;
  byId("previous").addEventListener("click", () => stepBy(-1));
  byId("next").addEventListener("click", () => stepBy(1));
  document.addEventListener("keydown", onKey);
  window.addEventListener("beforeprint", fillStatic);
  window.addEventListener("resize", show);
  window.addEventListener("hashchange", () => choose({ step: stepOfAddress() }));
  startMoving();
  show();
}

byId("theme").addEventListener("click", changeTheme);
