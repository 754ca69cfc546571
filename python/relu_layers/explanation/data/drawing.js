// The network drawn: units, weights, and the way a step goes.
const [NARROWEST, WIDEST] = [84, 190];
const TOP = 40;
// Room at the sides for the names of columns and classes.
const NAME = 120;

function measures(view) {
  const tallest = Math.max(...view.map((units) => units.length));
  const dense = tallest > 12;
  const [down, radius] = dense ? [27, 11] : [46, 15];
  const left = net.names.features.length ? NAME + 24 : 44;
  const right = net.names.classes.length ? NAME + 60 : dense ? 92 : 44;
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
