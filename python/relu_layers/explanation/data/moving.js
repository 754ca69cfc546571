// Following a unit or a weight, and moving numbers: every change is a new setting, computed at once.

// --- following ---

// Another unit than a hidden one can be on the path only where the page computes paths by itself.
function followUnit(column, unit) {
  const change = { followed: { column, unit } };
  if (isHidden(column)) {
    if (data.units.includes(unit)) Object.assign(change, { unit, pins: {} });
  } else if (data.live) change.pins = { ...state.pins, [origin(column)]: unit };
  choose(change);
}

function followWeight(place, from, to) {
  const change = { followed: { place, from, to } };
  for (const [column, unit] of [[place, from], [place + 1, to]]) {
    if (isHidden(column)) {
      if (data.units.includes(unit)) change.unit = unit;
    } else if (data.live) change.pins = { ...(change.pins || {}), [origin(column)]: unit };
  }
  choose(change);
}

function showFollowed(numbersOf) {
  const { followed } = state;
  byId("followed").hidden = followed === null;
  if (followed === null) return;
  if ("column" in followed) {
    const name = `${net.columns[followed.column].symbol}[${followed.unit}]`;
    const { value, gradient } = numbersOf.node(followed.column, followed.unit);
    const parts = { value: `${name} = ${value}`, gradient: gradient && `d${name} = ${gradient}` };
    const words = gradient ? filled(labels.page_follow_unit, parts) : parts.value;
    byId("followed").textContent = filled(labels.page_follow, { what: words });
    return;
  }
  const { weight } = net.layers[followed.place];
  const entry = (name) => numbersOf.entry(name, followed.from, followed.to);
  const name = `${weight}[${followed.from},${followed.to}]`;
  const mark = numbersOf.mark(`d${weight}`, followed.from, followed.to);
  const parts = {
    value: `${name} = ${entry(weight)}`,
    gradient: `d${name} = ${entry(`d${weight}`)}${mark && ` ${mark}`}`,
    after: data.live ? entry(`${weight}'`) : "",
  };
  const words = filled(data.live ? labels.page_follow_weight : labels.page_follow_unit, parts);
  byId("followed").textContent = filled(labels.page_follow, { what: words });
}

// The weights into the followed units, and the one that is followed, for those who use no pointer.
function listWeights(view, path) {
  const places = net.layers.flatMap((layer, k) => {
    if (!isProduct(layer)) return [];
    return view[k].map((i) => [k, i, path.outputs[k]]);
  });
  const first = net.layers.findIndex(isProduct);
  const { followed } = state;
  const chosen = followed && "place" in followed ? [followed.place, followed.from, followed.to] : null;
  const onPath = [first, path.inputs[first], path.outputs[first]];
  if (chosen && !places.some((one) => one.join() === chosen.join())) places.push(chosen);
  const options = places.map(([k, i, j]) => {
    return make("option", { value: `${k},${i},${j}` }, `${net.layers[k].weight}[${i},${j}]`);
  });
  byId("weight").replaceChildren(...options);
  byId("weight").value = (chosen || onPath).join();
}

const chosenWeight = () => byId("weight").value.split(",").map(Number);

// --- moving ---

const recordedSetting = () => structuredClone(data.live.setting);
const knobs = [];

// A slider and a field for the same number: the slider for a quick hand, the field for exact values.
function numberKnob(label, { low, high, step }, read, write) {
  const slider = make("input", { type: "range", min: low, max: high, step });
  const field = make("input", { type: "number", step: "any" });
  const name = make("span", { class: "knob-name" }, label());
  const moved = (event) => {
    const value = Number(event.target.value);
    if (event.target.value === "" || !Number.isFinite(value)) return;
    write(value);
    state.moved = true;
    show();
  };
  slider.addEventListener("input", moved);
  field.addEventListener("input", moved);
  const update = () => {
    name.textContent = label();
    slider.setAttribute("aria-label", label());
    field.setAttribute("aria-label", `${label()} ${labels.page_value}`);
    slider.value = String(read());
    // What is being typed stays as it is.
    if (document.activeElement !== field) field.value = general(read(), 6);
  };
  knobs.push(update);
  return make("div", { class: "knob" }, name, slider, field);
}

function choiceKnob(label, options, read, write) {
  const list = make("select", { "aria-label": label });
  list.append(...options.map((text, k) => make("option", { value: String(k) }, text)));
  list.addEventListener("change", () => write(Number(list.value)));
  knobs.push(() => {
    list.value = String(read());
  });
  return make("div", { class: "knob" }, make("span", { class: "knob-name" }, label), list);
}

function around(values) {
  const largest = Math.max(2, ...values.map(Math.abs));
  return { low: -Math.ceil(1.5 * largest), high: Math.ceil(1.5 * largest), step: 0.05 };
}

const MOST_INPUTS = 4;
let input = 0;

function inputKnobs() {
  const x = state.setting.x;
  const wide = x[0].length > MOST_INPUTS;
  const range = around(x.flat());
  const name = (i) => `${labels.page_move_input} ${entryName(net.names.features, i)}`;
  const knob = (place) => {
    const read = () => state.setting.x[state.sample][place()];
    const write = (value) => {
      state.setting.x[state.sample][place()] = value;
    };
    return numberKnob(() => name(place()), range, read, write);
  };
  if (!wide) return x[0].map((_, i) => knob(() => i));
  const all = x[0].map((_, i) => entryName(net.names.features, i));
  const pick = choiceKnob(labels.page_move_input, all, () => input, (value) => {
    input = value;
    show();
  });
  return [pick, knob(() => input)];
}

function targetKnob() {
  const { setting } = state;
  if (setting.loss.kind === "softmax") {
    const classes = data.live.setting.layers.findLast(isDense).weight[0].map((_, k) => entryName(net.names.classes, k));
    return choiceKnob(labels.page_move_target, classes, () => state.setting.target[state.sample], (value) => {
      state.setting.target[state.sample] = value;
      state.moved = true;
      show();
    });
  }
  const read = () => state.setting.target[state.sample][0];
  return numberKnob(() => labels.page_move_target, around(setting.target.flat()), read, (value) => {
    state.setting.target[state.sample][0] = value;
  });
}

function startMoving() {
  byId("weight").addEventListener("change", () => followWeight(...chosenWeight()));
  byId("fixed").hidden = data.live !== null;
  if (!data.live) return;
  state.setting = recordedSetting();
  const recorded = trainingStep(state.setting);
  Object.assign(data.live, { before: recorded.loss.value, after: recorded.after });
  const weightName = () => `${labels.page_move_weight} ${byId("weight").selectedOptions[0]?.textContent ?? ""}`;
  const weightOf = () => {
    const [k, i, j] = chosenWeight();
    return [state.setting.layers[k].weight[i], j];
  };
  const everyWeight = state.setting.layers.filter(isDense).flatMap((layer) => layer.weight.flat());
  const readWeight = () => {
    const [row, j] = weightOf();
    return row[j];
  };
  const writeWeight = (value) => {
    const [row, j] = weightOf();
    // From now on it is followed: by its value another one may come onto the path, and would be moved next.
    const [place, from, to] = chosenWeight();
    state.followed = { place, from, to };
    row[j] = value;
  };
  const rectifiers = () => state.setting.layers.filter((layer) => layer.kind === "relu");
  const made = [...inputKnobs(), numberKnob(weightName, around(everyWeight), readWeight, writeWeight)];
  if (rectifiers().length) {
    const write = (value) => rectifiers().forEach((layer) => Object.assign(layer, { slope: value }));
    const range = { low: 0, high: 1.5, step: 0.01 };
    made.push(numberKnob(() => labels.page_move_slope, range, () => rectifiers()[0].slope, write));
  }
  made.push(targetKnob());
  const rates = { low: 0, high: Math.max(1, 4 * state.setting.rate), step: 0.001 };
  made.push(numberKnob(() => labels.page_move_rate, rates, () => state.setting.rate, (value) => {
    state.setting.rate = value;
  }));
  byId("knobs").replaceChildren(...made);
  byId("move").hidden = false;
  byId("move").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => choose({ setting: recordedSetting(), moved: false }));
}

function showKnobs(result) {
  if (!data.live) return;
  for (const update of knobs) update();
  const values = { before: number(result.loss.value), after: number(result.after) };
  byId("losses").textContent = filled(labels.page_losses, values);
  byId("reset").disabled = !state.moved;
}

if (data.net) startStepper();
