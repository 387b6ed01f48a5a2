// Hands and eyes: what a click, a key, the slider and the wheel do. `draw.js` draws, `lives.js` tells.

const slider = $("time");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// --- Now -------------------------------------------------------------------------------------------

function setNow(time) {
  view.now = Math.min(END, Math.max(0, time));
  const at = String(Math.round((view.now / END) * 10000));
  if (slider.value !== at) slider.value = at;
  soon();
}

// Draws "now" once before the next frame, whatever happens until then.
let asked = false;
function soon() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; showNow(); });
}

function showNow() {
  drawAbove();
  drawMatrix();
  const line = statusLine();
  $("line").textContent = line;
  slider.setAttribute("aria-valuetext", line);
  fade();
}

// "31.0 s: 151 of 288 pieces · 13 unchoke you · you unchoke 8 · rarest: 25 with 4 copies"
function statusLine() {
  const now = view.now, parts = [];
  let done = data.had, rarest = Infinity, times = 0;
  const all = copies.known ? copies.to(now) : 0;
  for (let row = 0; row < rows.n; row++) {
    if (rows.done[row] <= now) { done += data.aRow; continue; }
    if (!copies.known || rows.from[row] <= now) continue;
    const n = all + copies.single[row];
    if (n < rarest) { rarest = n; times = 0; }
    if (n === rarest) times++;
  }
  parts.push(`${seconds(now)}: ${Math.min(done, data.pieces)} of ${plural(data.pieces, "piece")}`);
  const count = spans => spans.filter(list => holds(list, now)).length;
  parts.push(`${count(unchokesUs)} unchoke you`, `you unchoke ${count(weUnchoke)}`);
  if (times > 0 && data.aRow === 1) parts.push(`rarest: ${times} with ${plural(rarest, "copy", "copies")}`);
  return parts.join(" · ");
}

// --- Who unchokes whom -----------------------------------------------------------------------------

const people = data.people, severalNodes = people.filter(p => p[1]).length > 1;
const takers = severalNodes ? people.map((_, i) => i) : people.map((_, i) => i).slice(1);
const cellsLeft = 58, cell = Math.max(2.5, Math.min(15, (272 - cellsLeft) / Math.max(1, takers.length)));
const cellsTop = cell >= 8 ? 50 : 4;

function drawMatrix() {
  const canvas = $("cells"), givers = severalNodes ? people.length : 2;
  const w = cellsLeft + takers.length * cell + 2, h = cellsTop + givers * cell + 2, s = box.scale;
  if (canvas.width !== Math.round(w * s) || canvas.height !== Math.round(h * s)) {
    canvas.width = Math.round(w * s);
    canvas.height = Math.round(h * s);
    canvas.style.width = w + "px";
    canvas.style.height = h + "px";
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(s, 0, 0, s, 0, 0);
  ctx.clearRect(0, 0, w, h);
  const edge = cell > 5 ? 1 : 0.5;
  const paint = i => (i === 0 ? colour.now : i <= lanes.length ? colour.lane[i - 1] : colour.grey);
  const at = (row, column) => ctx.fillRect(cellsLeft + column * cell, cellsTop + row * cell, cell - edge, cell - edge);
  ctx.fillStyle = colour.plot;
  for (let row = 0; row < givers; row++) {
    for (let column = 0; column < takers.length; column++) if (!severalNodes || row !== column) at(row, column);
  }
  const you = { gives: [], gets: [] };
  for (const e of edges) {
    if (e.from > view.now || e.to <= view.now) continue;
    if (e.giver === 0) you.gives.push(e.taker);
    if (e.taker === 0) you.gets.push(e.giver);
    if (severalNodes) {
      ctx.fillStyle = paint(e.giver);
      at(e.giver, e.taker);
    } else if (e.giver === 0) {
      ctx.fillStyle = colour.now;
      at(0, e.taker - 1);
    } else if (e.taker === 0) {
      ctx.fillStyle = paint(e.giver);
      at(1, e.giver - 1);
    }
  }
  ctx.fillStyle = colour.ink;
  ctx.textBaseline = "middle";
  ctx.font = font(10);
  const labels = severalNodes ? people.map(p => p[0]) : ["you give", "give you"];
  ctx.textAlign = "right";
  if (cell >= 8 || !severalNodes) labels.forEach((name, i) => ctx.fillText(cut(ctx, name, cellsLeft - 8), cellsLeft - 5, cellsTop + i * cell + cell / 2));
  if (cell >= 8) {
    ctx.textAlign = "left";
    takers.forEach((person, i) => {
      ctx.save();
      ctx.translate(cellsLeft + i * cell + cell / 2, cellsTop - 4);
      ctx.rotate(-Math.PI / 2);
      ctx.fillText(cut(ctx, people[person][0], cellsTop - 6), 0, 0);
      ctx.restore();
    });
  }
  const list = who => {
    const names = [...new Set(who)].sort((a, b) => a - b).map(i => people[i][0]);
    return names.length > 8 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : names.join(", ") || "nobody";
  };
  const words = `You give to ${list(you.gives)}. You may ask ${list(you.gets)}.`;
  if ($("unchoked").textContent !== words) $("unchoked").textContent = words;
}

// --- The view --------------------------------------------------------------------------------------

function redraw() {
  drawBelow();
  snap = null;
  showNow();
}

let flight = 0;
// Moves to a view, in less than half a second, so that the eye can follow.
function fly(from, to, then) {
  cancelAnimationFrame(flight);
  [from, to] = bounded(from, to);
  const start = { from: view.from, to: view.to, time: performance.now() };
  const far = Math.abs(Math.log((to - from) / (start.to - start.from))) + Math.abs(from - start.from) / (to - from);
  if (calm.matches || far < 0.01) {
    view.from = from;
    view.to = to;
    redraw();
    then?.();
    return;
  }
  const step = time => {
    const part = Math.min(1, (time - start.time) / 420), eased = 1 - (1 - part) ** 3;
    // The width changes by factors, so that each part of the flight looks equally fast.
    const width = (start.to - start.from) * ((to - from) / (start.to - start.from)) ** eased;
    const share = Math.abs(to - from - (start.to - start.from)) < 1 ? eased : (width - (start.to - start.from)) / (to - from - (start.to - start.from));
    view.from = start.from + (from - start.from) * share;
    view.to = view.from + width;
    if (part < 1) {
      zoomed();
      drawAbove();
      flight = requestAnimationFrame(step);
    } else {
      clearTimeout(resting);
      view.from = from;
      view.to = to;
      redraw();
      then?.();
    }
  };
  flight = requestAnimationFrame(step);
}

function bounded(from, to) {
  const width = Math.min(END, Math.max(Math.min(END, 20), to - from));
  from = Math.min(Math.max(0, from), END - width);
  return [from, from + width];
}

// Zooms around a time.
function zoom(factor, around = view.now) {
  cancelAnimationFrame(flight);
  if (around < view.from || around > view.to) around = (view.from + view.to) / 2;
  [view.from, view.to] = bounded(around - (around - view.from) * factor, around + (view.to - around) * factor);
  view.near = false;
  noStop();
  zoomed();
  soon();
}

function setOrder(order) {
  view.order = order;
  $("order").value = order;
}

function select({ row = -1, lane = -1 }) {
  const folded = lane >= 0 && laneAt[lane] < 0;
  view.row = row;
  view.lane = lane;
  if (folded || lanes.length > SHOWN) measure();
  tell(row >= 0 ? lifeOfRow(row) : lane >= 0 ? lifeOfLane(lane) : null);
  redraw();
}

// --- Stops -----------------------------------------------------------------------------------------

const stopButtons = data.stops.map((stop, i) => {
  const button = document.createElement("button"), number = document.createElement("b");
  button.type = "button";
  number.textContent = i + 1;
  button.append(number, stop.title);
  button.addEventListener("click", () => visit(i));
  $("stops").append(button);
  return button;
});

function showStop(i) {
  stopButtons.forEach((button, k) => button.setAttribute("aria-pressed", k === i));
  data.stops.forEach((_, k) => $(`stop-${k}`).classList.toggle("here", k === i));
}
const noStop = () => stopButtons.forEach(button => button.setAttribute("aria-pressed", false));

function visit(i) {
  const stop = data.stops[i];
  if (!stop) return;
  pause();
  showStop(i);
  const row = stop.piece === null ? -1 : rowOfPiece.get(stop.piece) ?? -1;
  view.row = row;
  view.lane = -1;
  view.near = stop.near;
  setOrder(stop.order);
  tell(row >= 0 ? lifeOfRow(row) : null);
  setNow(stop.at);
  fly(stop.from, stop.to);
  document.querySelector("aside").scrollTop = 0;
}

// --- Play ------------------------------------------------------------------------------------------

let playing = 0;
function pause() {
  cancelAnimationFrame(playing);
  playing = 0;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-label", "Play");
}
function play() {
  if (playing) { pause(); return; }
  const end = Math.min(END, view.to);
  if (view.now >= end - 1 || view.now < view.from) setNow(view.from);
  let last = performance.now();
  $("play").textContent = "❚❚";
  $("play").setAttribute("aria-label", "Pause");
  const step = time => {
    const next = view.now + ((time - last) * (view.to - view.from)) / 15000;   // all that is shown, in 15 s
    last = time;
    setNow(Math.min(end, next));
    if (next >= end) pause(); else playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
}

// --- What is under the pointer ---------------------------------------------------------------------

function under(px, py) {
  const inPlot = px >= box.x0 - 2 && px <= box.x1 + 2;
  const number = numbers.find(n => Math.hypot(n.at - px, n.top - 12 - py) < 11);
  if (number) return { stop: number.i };
  if (py >= box.pieces && py < box.pieces + PIECES && visible.length) {
    const row = visible[Math.floor((py - box.pieces) / rowHeight)];
    return row === undefined ? {} : { row, inPlot };
  }
  if (py >= box.strip - 4 && py <= box.strip + STRIP + 4 && strip.known) {
    let best = -1, near = 12;
    for (let i = 0; i < rows.begun; i++) {
      if (rows.copies[i] < 0) continue;
      const far = Math.hypot(x(rows.from[i]) - px, stripY(rows.copies[i]) - py);
      if (far < near) { near = far; best = i; }
    }
    return best < 0 ? { inPlot } : { row: best, inPlot };
  }
  if (py >= box.lanes && py < box.lanes + shown.length * LANE) return { lane: shown[Math.floor((py - box.lanes) / LANE)], inPlot };
  return { inPlot };
}

// One line about what is under the pointer.
function hint(px, py) {
  const found = under(px, py), time = timeAt(px);
  if (found.stop !== undefined) return data.stops[found.stop].title;
  if (found.lane !== undefined) {
    const peer = lanes[found.lane], kind = peer.lied ? "liar" : peer.web ? "web seed" : peer.seed ? "seed" : "leech";
    if (!found.inPlot) return `${peer.name}, ${kind}, gave ${bytes(peer.gave)}`;
    const s = samples[found.lane], i = lastUpTo(s.at, time);
    const rate = list => (i >= 0 && time < s.at[i] + data.step ? (list[i] * 1000) / data.step : 0);
    const k = s.order.slice(0, i + 1).findLastIndex(n => n >= 0), took = rate(s.took);
    const order = k < 0 ? "" : `, ${s.order[k]} of ${plural(s.window[k], "block")} on order`;
    return `${peer.name}, ${kind}: ${bytes(rate(s.gave))}/s at ${seconds(time)}${order}${took > 0 ? `, takes ${bytes(took)}/s` : ""}`;
  }
  if (found.row === undefined) return "";
  const row = found.row;
  if (!found.inPlot) return rowName(row);
  for (let k = dashesOf.start[row]; k < dashesOf.start[row + 1]; k++) {
    const i = dashesOf.list[k];
    if (dashes.from[i] > time || dashes.to[i] < time) continue;
    const offset = (py - y(row)) / rowHeight * BLOCKS;
    if (rowHeight >= 8 && data.aRow === 1 && (offset < dashes.first[i] || offset >= dashes.last[i])) continue;
    const end = ENDS[dashes.end[i]] ? "did not come" : `came after ${seconds(dashes.to[i] - dashes.from[i])}`;
    return `${rowName(row)}, ${blockWords(dashes.first[i], dashes.last[i])}, ${lanes[dashes.lane[i]].name}: ${end}`;
  }
  return rows.from[row] < Infinity ? `${rowName(row)}: begun at ${seconds(rows.from[row])}` : `${rowName(row)}: never begun`;
}

function showTip(event) {
  const px = event.offsetX, py = event.offsetY, text = hint(px, py), tip = $("tip");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.top = Math.max(0, py - 28) + "px";
  tip.style.left = Math.max(0, Math.min(px + 12, box.w - tip.offsetWidth - 4)) + "px";
}

let down = null;
above.addEventListener("pointerdown", event => {
  if (event.button !== 0) return;
  down = { x: event.offsetX, y: event.offsetY, moved: false };
  above.setPointerCapture(event.pointerId);
});
above.addEventListener("pointermove", event => {
  if (down && (down.moved || Math.abs(event.offsetX - down.x) > 3)) {
    down.moved = true;
    $("tip").hidden = true;
    pause();
    setNow(Math.min(view.to, Math.max(view.from, timeAt(event.offsetX))));
  } else if (!down) {
    showTip(event);
  }
});
above.addEventListener("pointerup", event => {
  if (down && !down.moved) {
    const found = under(event.offsetX, event.offsetY);
    if (found.stop !== undefined) visit(found.stop);
    else if (found.row !== undefined && found.row !== view.row) select({ row: found.row });
    else if (found.lane !== undefined && found.lane !== view.lane) select({ lane: found.lane });
    else select({});
  }
  down = null;
});
above.addEventListener("pointercancel", () => { down = null; });
above.addEventListener("pointerleave", () => { $("tip").hidden = true; });
above.addEventListener("wheel", event => {
  if (!event.ctrlKey && !event.metaKey) return;         // else the page scrolls
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, timeAt(event.offsetX));
}, { passive: false });

// --- Keys and buttons ------------------------------------------------------------------------------

// The piece before or after the selected one.
function step(by) {
  if (!visible.length) return;
  const at = view.row >= 0 && place[view.row] >= 0 ? place[view.row] + by : by > 0 ? 0 : visible.length - 1;
  select({ row: visible[Math.min(visible.length - 1, Math.max(0, at))] });
}

const KEYS = {
  ArrowLeft: event => setNow(view.now - ((view.to - view.from) / 200) * (event.shiftKey ? 10 : 1)),
  ArrowRight: event => setNow(view.now + ((view.to - view.from) / 200) * (event.shiftKey ? 10 : 1)),
  ArrowUp: () => step(-1),
  ArrowDown: () => step(1),
  "+": () => zoom(1 / 1.5),
  "=": () => zoom(1 / 1.5),
  "-": () => zoom(1.5),
  "0": () => whole(),
  Escape: () => select({}),
  " ": () => play(),
};
document.addEventListener("keydown", event => {
  const on = event.target, key = event.key;
  if (event.ctrlKey || event.metaKey || event.altKey || on.matches("select, summary")) return;
  if (key === " " && on.matches("button")) return;      // the button's own
  if (on === slider && key.startsWith("Arrow")) return; // the slider's own
  const stop = /^[1-9]$/.test(key) ? Number(key) - 1 : -1;
  if (stop >= 0 && stop < data.stops.length) visit(stop);
  else if (KEYS[key]) KEYS[key](event);
  else return;
  event.preventDefault();
});

function whole() {
  view.near = false;
  noStop();
  fly(0, wholeTo());
}
$("in").addEventListener("click", () => zoom(1 / 1.5));
$("out").addEventListener("click", () => zoom(1.5));
$("whole").addEventListener("click", whole);
$("play").addEventListener("click", play);
$("order").addEventListener("change", event => { setOrder(event.target.value); redraw(); });
$("fold").addEventListener("click", () => { view.open = !view.open; measure(); redraw(); });
$("keys").addEventListener("click", () => {
  $("help").hidden = !$("help").hidden;
  $("keys").setAttribute("aria-expanded", !$("help").hidden);
});
slider.max = 10000;
slider.addEventListener("input", () => { pause(); setNow((Number(slider.value) / 10000) * END); });

// --- Start -----------------------------------------------------------------------------------------

function fit() {
  measure();
  redraw();
}
let width = 0;
new ResizeObserver(() => {
  if ($("plots").clientWidth === width) return;
  width = $("plots").clientWidth;
  fit();
}).observe($("plots"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fit);
// Paper is light.
addEventListener("beforeprint", () => { document.documentElement.classList.add("printing"); fit(); });
addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); fit(); });

document.documentElement.classList.add("live");
if (data.aRow > 1) {
  $("r-pieces").textContent = `row: ${data.aRow} pieces; dash: what a peer gave of them, pale while awaited`;
  $("order").querySelector("[value=number]").remove();
}
if (!severalNodes) $("matrix").querySelector("h3").textContent = "Who unchokes you, whom you unchoke, now";
$("figures").open = false;
measure();
showStop(0);
noStop();
stopButtons[0]?.setAttribute("aria-pressed", true);
view.from = data.stops[0].from;
view.to = data.stops[0].to;
view.now = data.stops[0].at;
fit();
setNow(view.now);
