// The training, played: a slider over recorded moments.
function startPlayer(training) {
  const size = 400;
  const slider = byId("slider");
  const play = byId("play");
  // The lines of many units would bury each other's numbers.
  const named = training.frames[0].folds.length <= 12;
  let timer = null;

  function colour(value) {
    // Light orange over white to blue: told apart without seeing red and green, and by lightness.
    const t = value / 255;
    const ends = t < 0.5 ? [[240, 170, 95], [252, 252, 250]] : [[252, 252, 250], [70, 130, 195]];
    const part = t < 0.5 ? t * 2 : t * 2 - 1;
    return ends[0].map((from, k) => Math.round(from + (ends[1][k] - from) * part));
  }

  function picture(encoded) {
    const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
    const canvas = make("canvas", { width: training.grid, height: training.grid });
    const context = canvas.getContext("2d");
    const image = context.createImageData(training.grid, training.grid);
    bytes.forEach((value, k) => image.data.set([...colour(value), 255], 4 * k));
    context.putImageData(image, 0, 0);
    return canvas.toDataURL();
  }

  function foldLine([x1, y1, x2, y2], unit, dead) {
    const ends = { x1: x1 * size, y1: y1 * size, x2: x2 * size, y2: y2 * size };
    const group = draw("g", {});
    group.append(draw("line", { ...ends, class: "fold-under" }));
    group.append(draw("line", { ...ends, class: dead ? "fold dead" : "fold" }));
    const at = { x: (ends.x1 * 0.86 + ends.x2 * 0.14), y: (ends.y1 * 0.86 + ends.y2 * 0.14) + 4 };
    if (dead || named) group.append(draw("text", { ...at, "text-anchor": "middle" }, dead ? `${unit} x` : unit));
    return group;
  }

  function showFrame(place) {
    const frame = training.frames[place];
    byId("answers").setAttribute("href", picture(frame.surface));
    const died = (unit) => training.can_die && frame.dead.includes(unit);
    const lines = frame.folds.map((line, unit) => line && foldLine(line, unit, died(unit)));
    byId("folds").replaceChildren(...lines.filter(Boolean));
    const units = frame.dead.length ? frame.dead.join(data.comma) : "0";
    const off = training.can_die ? labels.page_dead : labels.page_below;
    byId("moment").textContent = filled(labels.page_moment, { step: frame.step, loss: frame.loss, off, units });
    byId("cursor").setAttribute("x1", frame.at);
    byId("cursor").setAttribute("x2", frame.at);
    slider.value = String(place);
    slider.setAttribute("aria-valuetext", `${frame.step}`);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = labels.page_play;
  }

  function toggle() {
    if (timer !== null) {
      stop();
      return;
    }
    if (Number(slider.value) >= training.frames.length - 1) showFrame(0);
    play.textContent = labels.page_pause;
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      if (next >= training.frames.length) stop();
      else showFrame(next);
    }, 250);
  }

  const [width, height] = training.curve_size;
  const [left, below] = [46, 22];
  const curve = byId("curve");
  curve.setAttribute("viewBox", `${-left} -12 ${width + left + 12} ${height + below + 12}`);
  for (const [text, y] of training.ticks) {
    curve.append(draw("line", { x1: 0, x2: width, y1: y, y2: y, class: "grid" }));
    curve.append(draw("text", { x: -5, y: y + 4, "text-anchor": "end" }, text));
  }
  for (const [step, x] of training.steps) {
    curve.append(draw("line", { x1: x, x2: x, y1: height, y2: height + 5, class: "tick" }));
    curve.append(draw("text", { x, y: height + 18, "text-anchor": "middle" }, step));
  }
  curve.append(draw("polyline", { points: training.curve }));
  curve.append(draw("line", { id: "cursor", y1: 0, y2: height }));
  for (const [x, y, kind] of training.points) {
    const [cx, cy] = [x * size, y * size];
    const shape = kind
      ? draw("rect", { x: cx - 6, y: cy - 6, width: 12, height: 12, class: "point one" })
      : draw("circle", { cx, cy, r: 6, class: "point" });
    byId("points").append(shape);
  }
  slider.max = String(training.frames.length - 1);
  slider.addEventListener("input", () => {
    stop();
    showFrame(Number(slider.value));
  });
  play.addEventListener("click", toggle);
  byId("training").hidden = false;
  showFrame(0);
}

if (data.training) startPlayer(data.training);
