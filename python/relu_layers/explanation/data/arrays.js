// The arrays that a step points into.
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
