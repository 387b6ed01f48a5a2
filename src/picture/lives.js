// Tells lives: of a piece and of a peer, in sentences, each with the rule that decided and the module
// of the documentation that has it. A sentence is a list of strings and of `{ lane }`, which is shown
// as a name with its colour. All text is set as text, never as HTML.

// The rules, by the reason that the trace gives for a grant.
const GRANT_RULES = {
  finish: ["a begun piece is finished before another is begun", "picker"],
  random: ["the first pieces are chosen at random: to have something to give soon counts more than rarity", "picker"],
  rarest: ["of what the peer has, take the piece that the fewest have", "rarity"],
  neighbour: ["the piece beside one just begun comes along, so that the disk writes longer runs", "picker"],
  order: ["pieces in order, for watching while it loads", "picker"],
  alone: ["after a false hash one peer alone gives the whole piece", "torrent::blame"],
  "taken over": ["a peer that has nothing left to do takes work from a slow one", "picker"],
};

// What came of a request, by its number: in words, with the rule.
const ENDS = [
  null,
  ["choked you, and gave back", ["a peer that chokes us keeps nothing on order", "peer::session"]],
  ["refused", ["what a peer refuses is asked of others", "peer::session"]],
  ["was too slow, and gave back", ["work goes back when others could do it sooner", "picker"]],
  ["sent nothing for too long, and gave back", ["a snubbed peer keeps one request, the rest is free", "peer::session"]],
  ["was told to stop:", ["blocks that came from another peer are cancelled", "picker"]],
  ["left, owing", ["what a lost connection had on order is free again", "torrent"]],
  ["still had on order at the end of the trace:", null],
  ["gave back", ["a peer that chokes us or is too slow keeps nothing on order", "picker"]],
];

function begunSentence(row) {
  const text = ["Begun at ", { lane: rows.lane[row] }];
  if (rows.copies[row] >= 0) {
    text.push(`: ${plural(rows.copies[row], "copy", "copies")} around you`);
    if (rows.commonest[row] >= 0) text.push(`; of the pieces left the rarest had ${rows.rarest[row]}, the commonest ${rows.commonest[row]}`);
  }
  return { at: rows.from[row], text: [...text, "."], rule: GRANT_RULES[WHY[rows.why[row]]] };
}

function lifeOfRow(row) {
  const life = [];
  if (rows.from[row] < Infinity) life.push(begunSentence(row));
  const list = Array.from(dashesOf.list.subarray(dashesOf.start[row], dashesOf.start[row + 1]));
  const came = [];
  for (const i of list) {
    const lane = { lane: dashes.lane[i] }, blocks = blockWords(dashes.first[i], dashes.last[i]);
    const why = WHY[dashes.why[i]], end = ENDS[dashes.end[i]];
    if (end) {
      life.push({ at: dashes.to[i], text: [lane, ` ${end[0]} ${blocks}, after ${seconds(dashes.to[i] - dashes.from[i])}.`], rule: end[1] });
      continue;
    }
    // Runs that came from the same peer at the same time are one sentence.
    const same = came.find(c => c.lane === lane.lane && Math.abs(c.at - dashes.to[i]) < 5 && (c.last === dashes.first[i] || c.first === dashes.last[i]));
    if (same) {
      same.first = Math.min(same.first, dashes.first[i]);
      same.last = Math.max(same.last, dashes.last[i]);
      same.from = Math.min(same.from, dashes.from[i]);
    } else {
      came.push({ lane: lane.lane, first: dashes.first[i], last: dashes.last[i], from: dashes.from[i], at: dashes.to[i], why });
    }
  }
  for (const c of came) {
    const blocks = c.last - c.first >= BLOCKS && c.first === 0 ? "All blocks" : blockWords(c.first, c.last).replace(/^b/, "B");
    const waited = c.at - c.from;
    const text = [`${data.aRow > 1 ? "Blocks" : blocks} from `, { lane: c.lane }, waited > 0 ? `, ${seconds(waited)} after it was asked.` : "."];
    const isFirst = c.from === rows.from[row];
    life.push({ at: c.at, text, rule: isFirst || c.why === "finish" ? null : GRANT_RULES[c.why] });
  }
  for (const m of moves) {
    if (m.row !== row) continue;
    const blocks = blockWords(m.first, m.last), loser = m.loser < 0 ? "another peer" : { lane: m.loser };
    life.push(m.too
      ? { at: m.at, text: [{ lane: m.by }, ` is asked for ${blocks} as well.`], rule: ["endgame: at the end a block is asked of more than one peer, and the first one wins", "picker"] }
      : { at: m.at, text: [{ lane: m.by }, ` takes ${blocks} over from `, loser, "."], rule: GRANT_RULES["taken over"] });
  }
  for (const lie of lies) {
    if (lie.row === row) {
      life.push({ at: lie.at, strong: "The hash is wrong.", text: [" All blocks are fetched again, from one peer alone."],
        rule: ["blocks are hashed and kept; when the piece is right, whoever gave another block lied", "torrent::blame"] });
    }
  }
  for (const ban of bans) {
    if (ban.row !== row) continue;
    const proof = ban.blocks.length ? `: ${ban.blocks.length === 1 ? "block " + ban.blocks[0] : "blocks " + ban.blocks.join(", ")} differed` : ban.why ? `: ${ban.why}` : "";
    life.push({ at: ban.at, text: [{ lane: ban.lane }, ` is banned${proof}.`], rule: ["who gave false data is not talked to again", "torrent::blame"] });
  }
  if (rows.done[row] < Infinity) {
    life.push({ at: rows.done[row], strong: data.aRow > 1 ? "All hashes are right." : "The hash is right:", text: [data.aRow > 1 ? "" : " the piece is yours, and all who lack it hear so."],
      rule: ["a piece is verified when all its blocks are stored and nobody may write to it", "checker"], last: true });
  } else {
    life.push({ at: END, text: [rows.from[row] < Infinity ? "Not complete when the trace ended." : "Never begun."], last: true });
  }
  return { title: rowName(row), life: sorted(life) };
}

// By time; what concludes a piece comes last.
const sorted = life => life.sort((a, b) => a.at - b.at || Boolean(a.last) - Boolean(b.last));

function lifeOfLane(lane) {
  const peer = lanes[lane], life = peer.events.map(([at, text]) => ({ at, text: [text] }));
  const kind = peer.others ? "Many peers in one lane." : peer.web ? "A web seed: a server that has the files." : peer.seed ? "A seed: it came with every piece." : "A leech: it lacked something when it came.";
  const about = [kind];
  if (peer.client) about.push(`Its client calls itself ${peer.client}.`);
  if (peer.addr) about.push(peer.addr);
  const all = lanes.reduce((sum, l) => sum + l.gave, 0);
  about.push(`It gave ${bytes(peer.gave)}${all ? `, ${((100 * peer.gave) / all).toFixed(1)} % of all` : ""}, and took ${bytes(peer.took)}.`);
  const unchokes = unchokesUs[lane];
  if (unchokes.length) {
    life.push({ at: unchokes[0][0], text: ["It unchokes you: now you may ask."], rule: ["a peer is asked only while it unchokes us", "peer::session"] });
    for (const [from, to] of unchokes.slice(0, 6)) {
      if (to < END - 1) life.push({ at: to, text: [`It unchokes you no longer, after ${seconds(to - from)}.`] });
    }
    for (const [from] of unchokes.slice(1, 6)) life.push({ at: from, text: ["It unchokes you again."] });
    if (unchokes.length > 6) about.push(`It unchoked you ${unchokes.length} times; the first 6 are told.`);
  } else if (!peer.others) {
    about.push("It never unchoked you.");
  }
  for (const round of rounds.slice(0, 60)) life.push(...roundSentence(round, lane));
  const began = [];
  for (let i = 0; i < rows.begun; i++) if (rows.lane[i] === lane) began.push(i);
  if (began.length) {
    const most = began.reduce((best, i) => (rows.commonest[i] - rows.copies[i] > rows.commonest[best] - rows.copies[best] ? i : best), began[0]);
    about.push(`${plural(began.length, "piece")} of yours began with it.`);
    life.push({ ...begunSentence(most), text: [`${rowName(most)} began here: ${plural(Math.max(0, rows.copies[most]), "copy", "copies")}, the commonest had ${Math.max(0, rows.commonest[most])}.`] });
  }
  for (const m of moves) {
    if (m.too || life.length > 120) continue;
    if (m.loser === lane) life.push({ at: m.at, text: [{ lane: m.by }, ` takes ${blockWords(m.first, m.last)} of ${rowName(m.row).toLowerCase()} over from it.`], rule: GRANT_RULES["taken over"] });
    if (m.by === lane) life.push({ at: m.at, text: [`It takes ${blockWords(m.first, m.last)} of ${rowName(m.row).toLowerCase()} over`, ...(m.loser < 0 ? ["."] : [" from ", { lane: m.loser }, "."])] });
  }
  for (const ban of bans) {
    if (ban.lane !== lane) continue;
    const piece = ban.row === null ? "" : ` of ${rowName(ban.row).toLowerCase()}`;
    life.push({ at: ban.at, strong: "Banned.", text: [` It gave false blocks${piece}.`], rule: ["who gave false data is not talked to again", "torrent::blame"] });
  }
  if (peer.more) about.push("More happened to it than is told here.");
  return { title: peer.name, lane, about, life: sorted(life) };
}

// What a choke round meant for a peer. Nothing, if it wanted nothing.
function roundSentence(round, lane) {
  const rank = round.wanting.findIndex(([l]) => l === lane);
  const got = round.unchoked.includes(lane);
  if (rank < 0 && !got && round.chance !== lane) return [];
  const measure = round.seeding ? "took" : "gave you";
  const rate = rank < 0 ? "" : `: place ${rank + 1} of ${round.wanting.length}, it ${measure} ${bytes(round.wanting[rank][1])}/s`;
  if (round.chance === lane) return [{ at: round.at, text: [`It is served by chance${rate}.`], rule: ["one place goes round, so that somebody new can show what he gives", "choker"] }];
  if (got) return [{ at: round.at, text: [`It is served${rate}.`], rule: ["places go to those who gave most lately", "choker"] }];
  return [{ at: round.at, strong: "Not served", text: [`${rate}${round.slots === null ? "" : `; there are ${plural(round.slots, "place")}`}.`], rule: ["who gives less than others waits", "choker"] }];
}

// Shows a life. `now` decides what is still to come.
function tell(told) {
  const home = $("life");
  home.replaceChildren();
  if (!told) return;
  const title = document.createElement("h3");
  title.append(told.lane === undefined ? told.title : nameOf(told.lane));
  home.append(title);
  for (const text of told.about || []) {
    const p = document.createElement("p");
    p.textContent = text;
    home.append(p);
  }
  const list = document.createElement("ol");
  for (const step of told.life.slice(0, 200)) {
    const item = document.createElement("li"), time = document.createElement("time"), words = document.createElement("div");
    time.textContent = seconds(step.at);
    item.dataset.at = step.at;
    if (step.strong) {
      const strong = document.createElement("b");
      strong.textContent = step.strong;
      words.append(strong);
    }
    for (const part of step.text) words.append(typeof part === "string" ? part : nameOf(part.lane));
    if (step.rule) {
      const rule = document.createElement("span"), where = document.createElement("code");
      rule.className = "rule";
      where.textContent = `storrent::${step.rule[1]}`;
      rule.append(`rule: ${step.rule[0]} (`, where, ")");
      words.append(rule);
    }
    item.append(time, words);
    list.append(item);
  }
  home.append(list);
  fade();
}

function nameOf(lane) {
  const name = document.createElement("span"), swatch = document.createElement("i");
  name.className = "who";
  if (!lanes[lane]) { name.textContent = "a peer"; return name; }
  swatch.className = lanes[lane].colour;
  name.append(swatch, lanes[lane].name);
  return name;
}

// What is still to come is pale.
function fade() {
  for (const item of $("life").querySelectorAll("li")) item.classList.toggle("later", Number(item.dataset.at) > view.now);
}
