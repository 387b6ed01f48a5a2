// Draws. Two canvases lie one above the other:
// - below: all marks. Drawn when the zoom, the size, the order or the choice changes.
// - above: what depends on "now": the time line, a veil over the future, the margin. Moving the
//   slider draws only this.
// While a large picture is zoomed, the last drawing is stretched, and drawn anew at rest.

const $ = id => document.getElementById(id);
const below = $("below"), above = $("above");
const LEFT = 112, RIGHT = 128, LANE = 19, PIECES = 300, STRIP = 58, SHOWN = 15, NEAR = 22;

// What is shown. `row` and `lane`: what is selected, -1 for nothing.
const view = { from: 0, to: END, now: 0, order: "begun", row: -1, lane: -1, near: false, open: false };

// Where things stand, in CSS pixels, and the colours. Set by `measure`.
let box = { w: 0, h: 0, x0: LEFT, x1: 0, pieces: 0, strip: 0, lanes: 0, scale: 1 };
let shown = [];                                  // the lanes that are shown, from the top
let laneAt = new Int16Array(lanes.length);       // the place of a lane among them, -1: folded
let place = new Float32Array(rows.n);            // the place of a row from the top, -1: not shown
let rowHeight = 1, visible = [];
let colour = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const of = name => style.getPropertyValue("--" + name).trim();
  for (const name of ["ground", "ink", "grey", "line", "plot", "now", "not-begun", "on-way", "ours"]) colour[name] = of(name);
  colour.lane = lanes.map(lane => of(lane.colour));
}

// Which lanes are shown: all, or the ones with the most to show, liars, and the selected one.
function chooseLanes() {
  const all = lanes.map((_, i) => i);
  const weight = i => (lanes[i].lied || i === view.lane ? Infinity : lanes[i].gave + lanes[i].took);
  shown = all;
  if (!view.open && lanes.length > SHOWN) {
    shown = all.sort((a, b) => (weight(a) === weight(b) ? a - b : weight(b) - weight(a))).slice(0, SHOWN).sort((a, b) => a - b);
  }
  laneAt.fill(-1);
  shown.forEach((lane, i) => { laneAt[lane] = i; });
  $("fold").hidden = lanes.length <= SHOWN;
  $("fold").textContent = view.open ? `the ${SHOWN} most important only` : `${lanes.length - SHOWN} more lanes`;
}

// Finds the place of everything for the width that there is.
function measure() {
  chooseLanes();
  const w = Math.max(420, $("plots").clientWidth);
  const pieces = 42, strip = pieces + PIECES + 60, top = strip + STRIP + 46;
  const h = top + shown.length * LANE + 22 + (lanes.length > SHOWN ? 24 : 0);
  box = { w, h, x0: LEFT, x1: w - RIGHT, pieces, strip, lanes: top, scale: Math.min(3, window.devicePixelRatio || 1) };
  if (!copies.known) box.x1 = w - 104;
  $("plots").style.height = h + "px";
  $("q-pieces").style.top = "2px";
  $("q-rarest").style.top = strip - 38 + "px";
  $("q-lanes").style.top = top - 38 + "px";
  $("fold").style.top = h - 24 + "px";
  for (const canvas of [below, above]) {
    canvas.width = Math.round(w * box.scale);
    canvas.height = Math.round(h * box.scale);
  }
  readColours();
}

const x = time => box.x0 + ((time - view.from) / (view.to - view.from)) * (box.x1 - box.x0);
const timeAt = px => view.from + ((px - box.x0) / (box.x1 - box.x0)) * (view.to - view.from);
const isWhole = () => view.from <= 0 && view.to >= wholeTo();
const wholeTo = () => data.stops[0].to || END;

// The rows that are shown: all, or, when time is zoomed, those that live in that window.
function chooseRows() {
  const order = orders[view.order], all = isWhole();
  visible = [];
  place.fill(-1);
  for (const row of order) {
    if (all || (rows.from[row] <= view.to && rows.done[row] >= view.from)) {
      place[row] = visible.length;
      visible.push(row);
    }
  }
  if (view.near && place[view.row] >= 0) {
    // A stop about one piece: only its neighbours, so that its blocks are seen.
    const first = Math.max(0, Math.min(place[view.row] - NEAR / 2, visible.length - NEAR));
    visible = visible.slice(first, first + NEAR);
    place.fill(-1);
    visible.forEach((row, i) => { place[row] = i; });
  }
  rowHeight = visible.length ? Math.min(PIECES / visible.length, 40) : PIECES;
}
const y = row => box.pieces + place[row] * rowHeight;
const laneY = lane => box.lanes + laneAt[lane] * LANE;

// Steps of the axis: 1, 2, 5 times a power of ten seconds, then of minutes and hours.
function ticks() {
  const wanted = (view.to - view.from) / Math.max(3, (box.x1 - box.x0) / 110) / 1000;
  const steps = [60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 432000, 864000, 8640000, 86400000];
  let step = steps.find(s => s >= wanted) || 864000000;
  if (wanted < 60) {
    const power = 10 ** Math.floor(Math.log10(wanted));
    step = [1, 2, 5, 10].map(f => f * power).find(s => s >= wanted);
    if (step > 20) step = 60;
  }
  const unit = step >= 86400 ? [86400, "d"] : step >= 3600 ? [3600, "h"] : step >= 60 ? [60, "min"] : [1, "s"];
  const digits = unit[0] > 1 ? 0 : Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const list = [];
  for (let i = Math.ceil(view.from / 1000 / step - 1e-6); i * step * 1000 <= view.to && list.length < 40; i++) {
    const text = ((i * step) / unit[0]).toFixed(digits);
    list.push([i * step * 1000, list.length ? text : `${text} ${unit[1]}`]);
  }
  return list;
}

function begin(canvas) {
  const ctx = canvas.getContext("2d");
  ctx.setTransform(box.scale, 0, 0, box.scale, 0, 0);
  ctx.clearRect(0, 0, box.w, box.h);
  ctx.globalAlpha = 1;
  ctx.textBaseline = "middle";
  return ctx;
}
const font = px => `${px}px system-ui, "DejaVu Sans", sans-serif`;

// Draws within the plot only.
function clipped(ctx, top, height, draw) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.x0 - 1, top, box.x1 - box.x0 + 2, height);
  ctx.clip();
  draw();
  ctx.restore();
}

function cut(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  let chars = [...text];
  while (chars.length > 1 && ctx.measureText(chars.join("") + "…").width > width) chars = chars.slice(0, -1);
  return chars.join("") + "…";
}

function cross(ctx, px, py, size, stroke) {
  for (const [width, style] of [[4.5, colour.ground], [2, stroke]]) {
    ctx.lineWidth = width;
    ctx.strokeStyle = style;
    ctx.beginPath();
    ctx.moveTo(px - size, py - size); ctx.lineTo(px + size, py + size);
    ctx.moveTo(px + size, py - size); ctx.lineTo(px - size, py + size);
    ctx.stroke();
  }
}

function drawBelow() {
  chooseRows();
  const ctx = begin(below);
  drawAxis(ctx);
  clipped(ctx, box.pieces - 1, PIECES + 2, () => drawPieces(ctx));
  clipped(ctx, box.strip - 4, STRIP + 8, () => drawStrip(ctx));
  drawLanes(ctx);
  drawNumbers(ctx);
  drawn = { from: view.from, to: view.to };
}

function drawAxis(ctx) {
  const bottom = box.lanes + shown.length * LANE;
  if (data.endgame !== null) {
    const from = Math.max(box.x0, x(data.endgame)), to = Math.min(box.x1, x(data.complete ?? END));
    ctx.fillStyle = colour.plot;
    if (to > from) {
      ctx.fillRect(from, box.pieces, to - from, PIECES);
      ctx.fillRect(from, box.strip, to - from, STRIP);
    }
  }
  ctx.font = font(11);
  ctx.textAlign = "center";
  for (const [time, text] of ticks()) {
    const px = Math.round(x(time)) + 0.5;
    ctx.strokeStyle = colour.line;
    ctx.globalAlpha = 0.6;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(px, box.pieces); ctx.lineTo(px, box.pieces + PIECES);
    ctx.moveTo(px, box.strip); ctx.lineTo(px, box.strip + STRIP);
    ctx.moveTo(px, box.lanes); ctx.lineTo(px, bottom);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour.grey;
    ctx.fillText(text, px, box.pieces + PIECES + 11);
    ctx.fillText(text, px, bottom + 12);
  }
  ctx.textAlign = "right";
  const ends = { begun: ["begun first", "begun last"], end: ["done first", "done last"], number: ["piece 0", "last piece"] }[view.order];
  if (rowHeight < 11 && visible.length > 1) {
    ctx.fillText(ends[0], box.x0 - 8, box.pieces + 5);
    ctx.fillText(ends[1], box.x0 - 8, box.pieces + visible.length * rowHeight - 5);
  } else if (data.aRow === 1) {
    for (const row of visible) ctx.fillText(rows.piece[row], box.x0 - 8, y(row) + rowHeight / 2);
  }
}

// The first picture. A dash is pale from the grant to its end, and full where blocks arrive.
function drawPieces(ctx) {
  const apart = rowHeight >= 4 && data.aRow === 1;      // blocks are seen apart
  const faint = lane => (view.lane >= 0 && view.lane !== lane ? 0.12 : 1);
  const gap = rowHeight >= 6 ? 1 : 0;
  ctx.strokeStyle = colour.grey;
  ctx.globalAlpha = 0.35;
  ctx.lineWidth = Math.min(1, Math.max(0.4, rowHeight / 3));
  ctx.beginPath();
  for (const row of visible) {                          // hairlines from begun to verified
    if (rows.from[row] === Infinity) continue;
    const middle = y(row) + rowHeight / 2;
    ctx.moveTo(Math.max(box.x0, x(rows.from[row])), middle);
    ctx.lineTo(Math.min(box.x1, x(Math.min(rows.done[row], END))), middle);
  }
  ctx.stroke();
  for (const pass of ["pale", "full"]) {
    let lane = -1;
    for (const i of dashesByLane) {
      const row = dashes.row[i];
      if (place[row] < 0 || dashes.to[i] < view.from || dashes.from[i] > view.to) continue;
      if (dashes.lane[i] !== lane) {
        lane = dashes.lane[i];
        ctx.fillStyle = ctx.strokeStyle = colour.lane[lane];
      }
      const came = dashes.end[i] === STORED;
      let top = y(row), height = rowHeight - gap;
      if (apart && BLOCKS > 1) {
        top += (height * dashes.first[i]) / BLOCKS;
        height = Math.max(1, (height * (Math.min(dashes.last[i], BLOCKS) - dashes.first[i])) / BLOCKS - (rowHeight >= 16 ? 0.5 : 0));
      }
      height = Math.max(height, 0.6);
      const left = x(dashes.from[i]), right = x(dashes.to[i]);
      if (pass === "full") {
        if (!came) continue;
        ctx.globalAlpha = faint(lane);
        ctx.fillRect(right - 1, top, rowHeight >= 6 ? 3 : 2, Math.max(1, height));
      } else if (came) {
        ctx.globalAlpha = 0.3 * faint(lane);
        ctx.fillRect(left, top, Math.max(0.5, right - left), height);
      } else if (height >= 3) {                         // work that did not come: hollow
        ctx.globalAlpha = 0.9 * faint(lane);
        ctx.lineWidth = 1;
        ctx.strokeRect(left + 0.5, top + 0.5, Math.max(1, right - left - 1), Math.max(1, height - 1));
      } else {
        ctx.globalAlpha = 0.5 * faint(lane);
        ctx.lineWidth = Math.max(0.7, Math.min(1.5, height));
        ctx.setLineDash([3, 2]);
        ctx.beginPath();
        ctx.moveTo(left, top + height / 2); ctx.lineTo(right, top + height / 2);
        ctx.stroke();
        ctx.setLineDash([]);
      }
    }
  }
  ctx.globalAlpha = view.lane >= 0 ? 0.3 : 1;
  if (rowHeight >= 3) {                                 // ticks: the hash is right
    ctx.fillStyle = colour.ink;
    for (const row of visible) {
      if (rows.done[row] < Infinity) ctx.fillRect(x(rows.done[row]) - 1, y(row), 1.6, Math.max(2, rowHeight - gap));
    }
  }
  const size = Math.min(7, Math.max(4, rowHeight / 2.4));
  ctx.strokeStyle = colour.ink;
  ctx.lineWidth = 1.2;
  for (const move of moves) {
    if (place[move.row] < 0 || move.too || move.at < view.from || move.at > view.to) continue;
    ctx.beginPath();
    ctx.arc(x(move.at), y(move.row) + rowHeight / 2, Math.min(4, size), 0, 7);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  for (const lie of lies) {
    if (place[lie.row] >= 0) cross(ctx, x(lie.at), y(lie.row) + rowHeight / 2, size, liarColour());
  }
  if (data.endgame !== null && x(data.complete ?? END) - x(data.endgame) > 24) {
    ctx.fillStyle = colour.grey;
    ctx.font = font(11);
    ctx.textAlign = "right";
    ctx.fillText("endgame", Math.min(box.x1, x(data.complete ?? END)) - 4, box.pieces + 9);
  }
}
const liarColour = () => { const i = lanes.findIndex(lane => lane.lied); return i < 0 ? colour.now : colour.lane[i]; };

// The second: how many copies the piece had that was begun, within those of all that were left.
const strip = (() => {
  let least = Infinity, most = 0;
  for (let i = 0; i < rows.begun; i++) {
    if (rows.copies[i] < 0) continue;
    least = Math.min(least, rows.rarest[i]);
    most = Math.max(most, rows.commonest[i], rows.copies[i]);
  }
  return { least, most, known: least < Infinity };
})();
const stripY = n => box.strip + STRIP - 5 - ((n - strip.least) / Math.max(1, strip.most - strip.least)) * (STRIP - 10);

function drawStrip(ctx) {
  if (!strip.known) {
    ctx.fillStyle = colour.grey;
    ctx.font = font(12);
    ctx.textAlign = "left";
    ctx.fillText("The trace does not say who had which piece.", box.x0, box.strip + STRIP / 2);
    return;
  }
  ctx.fillStyle = colour.plot;
  ctx.strokeStyle = colour.line;
  ctx.beginPath();
  for (let i = 0; i < rows.begun; i++) if (rows.copies[i] >= 0) ctx.lineTo(x(rows.from[i]), stripY(rows.commonest[i]) - 2);
  for (let i = rows.begun - 1; i >= 0; i--) if (rows.copies[i] >= 0) ctx.lineTo(x(rows.from[i]), stripY(rows.rarest[i]) + 2);
  ctx.closePath();
  ctx.fill();
  ctx.stroke();
  const radius = rows.begun > 600 && isWhole() ? 1.7 : 2.6;
  for (let i = 0; i < rows.begun; i++) {
    if (rows.copies[i] < 0 || rows.from[i] < view.from || rows.from[i] > view.to) continue;
    const lane = rows.lane[i];
    ctx.globalAlpha = view.lane >= 0 && view.lane !== lane ? 0.15 : 1;
    ctx.fillStyle = ctx.strokeStyle = colour.lane[lane];
    ctx.beginPath();
    ctx.arc(x(rows.from[i]), stripY(rows.copies[i]), radius, 0, 7);
    if (WHY[rows.why[i]] === "random") { ctx.lineWidth = 1.4; ctx.stroke(); } else ctx.fill();
  }
  ctx.globalAlpha = 1;
}
const WHY = ["finish", "random", "rarest", "neighbour", "order", "alone", "", "taken over"];

// The third: a lane for each peer.
const mostOrder = Math.max(1, ...samples.map(s => s.order.reduce((a, b) => Math.max(a, b), 0)));

function drawLanes(ctx) {
  ctx.fillStyle = colour.grey;
  ctx.font = font(11);
  ctx.textAlign = "right";
  if (strip.known) {
    ctx.fillText(strip.most, box.x0 - 8, box.strip + 5);
    ctx.fillText("copies", box.x0 - 8, box.strip + STRIP / 2);
    ctx.fillText(strip.least, box.x0 - 8, box.strip + STRIP - 5);
  }
  clipped(ctx, box.lanes - 4, shown.length * LANE + 6, () => {
    ctx.setLineDash([2, 3]);
    ctx.strokeStyle = colour.grey;
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.5;
    for (const round of rounds) {
      ctx.beginPath();
      ctx.moveTo(x(round.at), box.lanes); ctx.lineTo(x(round.at), box.lanes + shown.length * LANE);
      ctx.stroke();
    }
    ctx.setLineDash([]);
    const rates = shown.map(ratesOf), most = Math.max(1e-9, ...rates.map(r => r.reduce((a, b) => Math.max(a, b), 0)));
    shown.forEach((lane, i) => drawLane(ctx, lane, rates[i], most));
    ctx.globalAlpha = 1;
    for (const ban of bans) if (laneAt[ban.lane] >= 0) cross(ctx, x(ban.at), laneY(ban.lane) + 8, 5, colour.lane[ban.lane]);
  });
  ctx.font = font(12);
  ctx.textAlign = "right";
  for (const lane of shown) {
    const top = laneY(lane) + 8;
    ctx.globalAlpha = view.lane >= 0 && view.lane !== lane ? 0.4 : 1;
    ctx.fillStyle = colour.ink;
    ctx.fillText(cut(ctx, lanes[lane].name, LEFT - 24), box.x0 - 17, top);
    ctx.fillStyle = colour.lane[lane];
    ctx.beginPath();                                    // seeds are square, leeches round
    if (lanes[lane].seed || lanes[lane].lied) ctx.rect(box.x0 - 12, top - 4, 8, 8); else ctx.arc(box.x0 - 8, top, 4.3, 0, 7);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

// What a lane gave, for each pixel from x0 - PAD on, smoothed: a rate, up to a factor that all share.
const PAD = 12;
function ratesOf(lane) {
  const s = samples[lane], width = Math.ceil(box.x1 - box.x0) + 2 * PAD, list = new Float32Array(width);
  const perPixel = (view.to - view.from) / (box.x1 - box.x0);
  const first = Math.max(0, lastUpTo(s.at, timeAt(box.x0 - PAD) - data.step));
  for (let i = first; i < s.at.length; i++) {
    const left = x(s.at[i]) - box.x0 + PAD, right = left + data.step / perPixel;
    if (left > width) break;
    const from = Math.max(0, Math.floor(left)), to = Math.min(width, Math.max(Math.floor(left) + 1, Math.round(right)));
    for (let k = from; k < to; k++) list[k] += s.gave[i] / Math.max(1, right - left);
  }
  return blurred(blurred(list, 5), 5);
}
function blurred(list, radius) {
  const out = new Float32Array(list.length);
  let sum = 0;
  for (let k = -radius; k < list.length; k++) {
    if (k + radius < list.length) sum += list[k + radius];
    if (k - radius - 1 >= 0) sum -= list[k - radius - 1];
    if (k >= 0) out[k] = Math.max(0, sum) / (2 * radius + 1);
  }
  return out;
}

function drawLane(ctx, lane, rates, most) {
  const top = laneY(lane), base = top + 14, s = samples[lane];
  const faint = view.lane >= 0 && view.lane !== lane ? 0.15 : 1;
  const span = (from, to, at, height) => {
    const left = Math.max(box.x0, x(from)), right = Math.min(box.x1, x(to));
    if (right > left) ctx.fillRect(left, at, Math.max(1, right - left), height);
  };
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour.plot;
  for (const [from, to] of unchokesUs[lane]) span(from, to, top + 1, 13);
  ctx.globalAlpha = faint;
  ctx.fillStyle = colour.lane[lane];
  ctx.beginPath();                                      // rate: the square root, so that slow ones are seen
  ctx.moveTo(box.x0 - PAD, base);
  rates.forEach((rate, k) => ctx.lineTo(box.x0 - PAD + k, base - (rate > most / 4000 ? 13 * Math.sqrt(rate / most) : 0)));
  ctx.lineTo(box.x0 - PAD + rates.length, base);
  ctx.fill();
  ctx.strokeStyle = colour.ink;                         // blocks on order, as steps
  ctx.lineWidth = 0.8;
  ctx.globalAlpha = 0.75 * faint;
  ctx.beginPath();
  let height = 0, drawing = false;
  s.order.forEach((order, i) => {
    if (order < 0) return;
    const next = base - 13 * Math.sqrt(order / mostOrder);
    if (drawing) ctx.lineTo(x(s.at[i]), height); else ctx.moveTo(x(s.at[i]), next);
    ctx.lineTo(x(s.at[i]), next);
    height = next;
    drawing = true;
  });
  ctx.stroke();
  ctx.globalAlpha = faint;
  ctx.fillStyle = colour.ink;
  for (const [from, to] of weUnchoke[lane]) span(from, to, base + 1, 1.6);
  ctx.lineWidth = 1.2;
  for (const round of rounds) {
    if (round.at < view.from || round.at > view.to) continue;
    if (!round.unchoked.includes(lane) && round.chance !== lane) continue;
    ctx.beginPath();
    ctx.arc(x(round.at), base + 1.5, 3, 0, 7);
    ctx.fillStyle = round.chance === lane ? colour.ground : colour.ink;
    ctx.fill();
    if (round.chance === lane) ctx.stroke();
  }
}

// The numbers of the stops, each above its picture, with a line to what it is about.
let numbers = [];
function drawNumbers(ctx) {
  numbers = [];
  data.stops.forEach((stop, i) => {
    const top = { pieces: box.pieces, rarest: box.strip, lanes: box.lanes }[stop.place];
    if (top === undefined || stop.mark < view.from || stop.mark > view.to) return;
    numbers.push({ i, stop, top, x: x(stop.mark) });
  });
  numbers.sort((a, b) => a.top - b.top || a.x - b.x);
  numbers.forEach((n, k) => {
    const before = numbers[k - 1];
    n.at = before && before.top === n.top ? Math.max(n.x, before.at + 20) : n.x;
  });
  for (const n of numbers) {
    const middle = n.top - 12, row = n.stop.piece === null ? undefined : rowOfPiece.get(n.stop.piece);
    const end = n.stop.place === "pieces" && row !== undefined && place[row] >= 0 ? y(row) + rowHeight / 2 : n.top;
    ctx.strokeStyle = ctx.fillStyle = colour.ink;
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.55;
    ctx.beginPath();
    ctx.moveTo(n.at, middle + 9); ctx.lineTo(n.x, n.top); ctx.lineTo(n.x, end);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.arc(n.at, middle, 8.5, 0, 7);
    ctx.fill();
    ctx.fillStyle = colour.ground;
    ctx.font = "bold " + font(11);
    ctx.textAlign = "center";
    ctx.fillText(n.i + 1, n.at, middle + 0.5);
  }
}

// While zooming a large picture: stretches the last drawing of the plots. `snap` holds it.
let drawn = null, snap = null, resting = 0;
const isLarge = dashes.n > 5000;
function zoomed() {
  if (!isLarge || !drawn) { drawBelow(); return; }
  if (!snap || snap.width !== below.width || snap.height !== below.height) {
    snap = document.createElement("canvas");
    snap.width = below.width;
    snap.height = below.height;
    snap.getContext("2d").drawImage(below, 0, 0);
    snap.drawn = drawn;
  }
  const ctx = begin(below), s = box.scale, width = box.x1 - box.x0;
  const old = snap.drawn, px = time => box.x0 + ((time - old.from) / (old.to - old.from)) * width;
  const from = Math.max(view.from, old.from), to = Math.min(view.to, old.to);
  if (to > from) {
    ctx.drawImage(snap, px(from) * s, 0, (px(to) - px(from)) * s, snap.height, x(from), 0, x(to) - x(from), box.h);
  }
  ctx.drawImage(snap, 0, 0, box.x0 * s, snap.height, 0, 0, box.x0, box.h);
  clearTimeout(resting);
  resting = setTimeout(() => { snap = null; chooseRows(); drawBelow(); drawAbove(); }, 140);
}

function drawAbove() {
  const ctx = begin(above);
  const line = x(view.now), bottom = box.lanes + shown.length * LANE;
  const veil = Math.max(box.x0, line);
  if (veil < box.x1) {
    ctx.fillStyle = colour.ground;
    ctx.globalAlpha = 0.74;
    for (const [top, height] of [[box.pieces, PIECES], [box.strip - 4, STRIP + 8], [box.lanes - 2, shown.length * LANE + 3]]) {
      ctx.fillRect(veil, top, box.x1 - veil + 1, height);
    }
    ctx.globalAlpha = 1;
  }
  drawMargin(ctx);
  ctx.strokeStyle = colour.ink;
  ctx.lineWidth = 1.2;
  if (view.row >= 0 && place[view.row] >= 0) {
    const height = Math.max(4, rowHeight);
    ctx.strokeRect(box.x0 - 0.5, y(view.row) - (height - rowHeight) / 2 - 0.5, box.x1 - box.x0 + 1, height + 1);
    if (strip.known && rows.copies[view.row] >= 0 && rows.from[view.row] >= view.from && rows.from[view.row] <= view.to) {
      ctx.beginPath();
      ctx.arc(x(rows.from[view.row]), stripY(rows.copies[view.row]), 5.5, 0, 7);
      ctx.stroke();
    }
  }
  if (view.lane >= 0 && laneAt[view.lane] >= 0) ctx.strokeRect(2, laneY(view.lane) - 1.5, box.w - 4, LANE);
  if (line >= box.x0 - 1 && line <= box.x1 + 1) {
    ctx.fillStyle = colour.now;                         // not across the headings
    for (const [from, to] of [[box.pieces, box.pieces + PIECES], [box.strip, box.strip + STRIP], [box.lanes, bottom]]) {
      ctx.fillRect(Math.round(line) - 0.75, from - 5, 1.5, to - from + 9);
    }
  }
}

// The margin: now. The copies of each piece, and what each peer gave.
function drawMargin(ctx) {
  const left = box.x1 + 10, width = box.w - left - 2;
  ctx.font = font(12);
  ctx.textAlign = "right";
  ctx.fillStyle = colour.grey;
  ctx.fillText("gave you", box.w - 2, box.lanes - 10);
  if (copies.known) {
    ctx.fillText("copies now", box.w - 2, box.pieces - 12);
    const all = copies.to(view.now), single = copies.single;
    let least = Infinity, most = 0;
    for (const row of visible) {
      const n = all + single[row];
      least = Math.min(least, n);
      most = Math.max(most, n);
    }
    const floor = Math.max(0, least - 1), unit = width / Math.max(1, most - floor);
    const paint = ["not-begun", "on-way", "ours"].map(name => colour[name]);
    const lines = Math.min(PIECES, visible.length);
    // At most one bar a pixel: the rows in between are not seen.
    const gap = rowHeight >= 6 ? 1 : 0, top = i => box.pieces + Math.round((i * visible.length * rowHeight) / lines);
    for (let i = 0; i < lines; i++) {
      const row = visible[Math.floor((i * visible.length) / lines)];
      const state = rows.done[row] <= view.now ? 2 : rows.from[row] <= view.now ? 1 : 0;
      ctx.fillStyle = paint[state];
      ctx.fillRect(left, top(i), Math.max(1, (all + single[row] - floor) * unit), top(i + 1) - top(i) - gap);
    }
  }
  const most = Math.max(1, ...lanes.map(lane => lane.gave));
  ctx.font = font(11);
  for (const lane of shown) {
    const gave = gaveUpTo(lane, view.now), top = laneY(lane) + 8;
    ctx.globalAlpha = view.lane >= 0 && view.lane !== lane ? 0.4 : 1;
    ctx.fillStyle = colour.lane[lane];
    if (gave > 0) ctx.fillRect(left, top - 4, Math.max(2, (gave / most) * (width - 58)), 9);
    ctx.fillStyle = colour.grey;
    ctx.fillText(bytes(gave), box.w - 2, top + 1);
  }
  ctx.globalAlpha = 1;
}
