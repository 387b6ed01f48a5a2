// What the page knows, unpacked from the data element: flat lists of numbers become columns, one
// typed array each, so that tens of thousands of dashes can be drawn in a few milliseconds. All
// times are milliseconds since the start; -1 is "not known".

const data = JSON.parse(document.getElementById("data").textContent);
const END = Math.max(1, data.end);
const lanes = data.lanes;
const BLOCKS = Math.max(1, Math.ceil(data.pieceLength / 16384));

// What came of a request, as the Rust side numbers it (`End` in work.rs).
const STORED = 0;

// Dashes: runs of blocks that a peer was asked for. Seven numbers each: time since the grant
// before, how long it took, lane, row, first block, the one after the last, end * 8 + why.
const dashes = (() => {
  const flat = data.dashes, n = flat.length / 7;
  const d = {
    n, from: new Float64Array(n), to: new Float64Array(n), lane: new Uint16Array(n), row: new Uint32Array(n),
    first: new Uint32Array(n), last: new Uint32Array(n), end: new Uint8Array(n), why: new Uint8Array(n),
  };
  let at = 0;
  for (let i = 0, k = 0; i < n; i++, k += 7) {
    at += flat[k];
    d.from[i] = at; d.to[i] = at + flat[k + 1]; d.lane[i] = flat[k + 2]; d.row[i] = flat[k + 3];
    d.first[i] = flat[k + 4]; d.last[i] = flat[k + 5]; d.end[i] = flat[k + 6] >> 3; d.why[i] = flat[k + 6] & 7;
  }
  return d;
})();

// Rows: pieces, in the order in which they were begun, then those that never were. Eight numbers
// each: piece, begun, lane, its copies then, those of the rarest and of the commonest piece that
// was left, why it was chosen, verified.
const rows = (() => {
  const flat = data.rows, begun = flat.length / 8, n = begun + data.idle.length;
  const r = {
    n, begun, piece: new Uint32Array(n), from: new Float64Array(n).fill(Infinity), lane: new Int16Array(n).fill(-1),
    copies: new Int32Array(n).fill(-1), rarest: new Int32Array(n).fill(-1), commonest: new Int32Array(n).fill(-1),
    why: new Uint8Array(n), done: new Float64Array(n).fill(Infinity),
  };
  for (let i = 0, k = 0; i < begun; i++, k += 8) {
    r.piece[i] = flat[k]; r.from[i] = flat[k + 1]; r.lane[i] = flat[k + 2]; r.copies[i] = flat[k + 3];
    r.rarest[i] = flat[k + 4]; r.commonest[i] = flat[k + 5]; r.why[i] = flat[k + 6];
    if (flat[k + 7] >= 0) r.done[i] = flat[k + 7];
  }
  data.idle.forEach((piece, i) => { r.piece[begun + i] = piece; });
  return r;
})();

const rowOfPiece = new Map(Array.from(rows.piece, (piece, row) => [piece, row]));

// The dashes of each row: those of row r are `dashesOf.list[dashesOf.start[r] .. start[r + 1]]`.
const dashesOf = (() => {
  const start = new Uint32Array(rows.n + 1), list = new Uint32Array(dashes.n);
  for (let i = 0; i < dashes.n; i++) start[dashes.row[i] + 1]++;
  for (let r = 0; r < rows.n; r++) start[r + 1] += start[r];
  const next = start.slice();
  for (let i = 0; i < dashes.n; i++) list[next[dashes.row[i]]++] = i;
  return { start, list };
})();

// All dashes, lane by lane: a brush changes its colour once a lane.
const dashesByLane = Uint32Array.from({ length: dashes.n }, (_, i) => i)
  .sort((a, b) => dashes.lane[a] - dashes.lane[b] || a - b);

// Each order of the rows: a list of them from the top.
const orders = {
  begun: Uint32Array.from({ length: rows.n }, (_, i) => i),
  end: Uint32Array.from({ length: rows.n }, (_, i) => i)
    .sort((a, b) => (rows.done[a] === rows.done[b] ? a - b : rows.done[a] - rows.done[b])),
  number: Uint32Array.from({ length: rows.n }, (_, i) => i).sort((a, b) => rows.piece[a] - rows.piece[b]),
};

// Samples: what a lane did in a step of time. Six numbers each: lane, step, bytes that it gave, bytes
// that it took, blocks on order, the most that might have been.
const samples = lanes.map(() => ({ at: [], gave: [], took: [], order: [], window: [], sum: [] }));
for (let k = 0; k < data.samples.length; k += 6) {
  const s = samples[data.samples[k]];
  s.at.push(data.samples[k + 1] * data.step);
  s.gave.push(data.samples[k + 2]);
  s.took.push(data.samples[k + 3]);
  s.order.push(data.samples[k + 4]);
  s.window.push(data.samples[k + 5]);
  s.sum.push((s.sum.at(-1) || 0) + data.samples[k + 2]);
}

// The last place in a sorted list that holds at most `value`; -1: none does.
function lastUpTo(list, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= value) low = middle + 1; else high = middle;
  }
  return low - 1;
}

// The bytes that a lane had given at a time.
function gaveUpTo(lane, time) {
  const s = samples[lane], i = lastUpTo(s.at, time - data.step);
  const before = i < 0 ? 0 : s.sum[i];
  if (i + 1 >= s.at.length || s.at[i + 1] > time) return before;
  return before + s.gave[i + 1] * Math.min(1, (time - s.at[i + 1]) / data.step);
}

// Edges: who unchokes whom. Four numbers each: giver, taker, from, how long. 0 is we, lane i is i + 1.
const edges = [];
const unchokesUs = lanes.map(() => []), weUnchoke = lanes.map(() => []);
for (let k = 0; k < data.edges.length; k += 4) {
  const [giver, taker, from, length] = data.edges.slice(k, k + 4);
  edges.push({ giver, taker, from, to: from + length });
  if (taker === 0 && giver > 0 && giver <= lanes.length) unchokesUs[giver - 1].push([from, from + length]);
  if (giver === 0 && taker > 0 && taker <= lanes.length) weUnchoke[taker - 1].push([from, from + length]);
}
const holds = (spans, time) => spans.some(([from, to]) => from <= time && time < to);

// Moves: work that went from one peer to another. Seven numbers each: time, row, first block, the one
// after the last, who lost it, who took it, whether it is now asked of both.
const moves = [];
for (let k = 0; k < data.moves.length; k += 7) {
  const [at, row, first, last, loser, by, too] = data.moves.slice(k, k + 7);
  moves.push({ at, row, first, last, loser, by, too: too === 1 });
}

const rounds = data.rounds.map(([at, unchoked, chance, flat, slots, seeding]) => {
  const wanting = [];
  for (let k = 0; k < flat.length; k += 2) wanting.push([flat[k], flat[k + 1]]);
  return { at, unchoked, chance, wanting, slots, seeding };
});
const lies = data.lies.map(([at, row]) => ({ at, row }));
const bans = data.bans.map(([at, lane, row, blocks, why]) => ({ at, lane, row, blocks, why }));

// The copies of each row at a time. Kept between calls: moving on in time costs only what is new.
const copies = (() => {
  const times = [], row = [], by = [];
  let at = 0;
  for (let k = 0; k < data.copies.length; k += 3) {
    at += data.copies[k];
    times.push(at); row.push(data.copies[k + 1]); by.push(data.copies[k + 2]);
  }
  const single = new Int32Array(rows.n);
  let next = 0, nextAll = 0, all = 0, last = -1;
  return {
    known: data.allCopies.length + times.length > 0,
    single,
    // Moves to `time`, and returns how many have all pieces.
    to(time) {
      if (time < last) { single.fill(0); next = nextAll = all = 0; }
      last = time;
      for (; next < times.length && times[next] <= time; next++) single[row[next]] += by[next];
      for (; nextAll < data.allCopies.length && data.allCopies[nextAll] <= time; nextAll += 2) all += data.allCopies[nextAll + 1];
      return all * data.aRow;
    },
  };
})();

// Words. A time has the digits that it deserves; sizes are as storrent prints them.
function seconds(ms) {
  if (ms < 10000) return (ms / 1000).toFixed(2) + " s";
  if (ms < 120000) return (ms / 1000).toFixed(1) + " s";
  const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
  return d > 0 ? `${d} d ${h % 24} h` : h > 0 ? `${h} h ${m % 60} min` : `${m} min ${s % 60} s`;
}
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (n >= 1023.5 && unit < units.length - 1) { n /= 1024; unit++; }
  return n.toFixed(unit === 0 || n >= 99.95 ? 0 : n < 9.995 ? 2 : 1) + " " + units[unit];
}
const plural = (n, one, many = one + "s") => `${n} ${n === 1 ? one : many}`;
const blockWords = (first, last) => (last - first <= 1 ? `block ${first}` : `blocks ${first} to ${last - 1}`);
const rowName = row => (data.aRow === 1 ? `Piece ${rows.piece[row]}` : `Row ${row + 1}, ${data.aRow} pieces`);
