// The tab "Library": a grid that loads what is seen of it, search, and the neighbours of a design.

import { $, addTab, authorization, request, send } from "./request.js";
import { drawMark, setMark, setUpTeaching, teaches, turnMark } from "./teach.js";

const CHUNK = 100;         // designs in one answer of the server
const MOST_PICTURES = 600; // kept in memory
const PASSING = 60;        // milliseconds that a design is in sight before its picture is fetched
const state = { query: "", only: "", tag: "", total: 0, chunks: new Map(), near: null, current: -1, run: 0 };
const say = text => { $("#library-status").textContent = text; };

// ---------- designs, in chunks ----------

const designAt = place => state.near ? state.near[place]
  : state.chunks.get(Math.floor(place / CHUNK))?.designs?.[place % CHUNK];

async function load(chunk) {
  if (state.near || state.chunks.has(chunk)) return;
  const run = state.run;
  state.chunks.set(chunk, {});
  try {
    const found = await ask(chunk);
    if (run !== state.run) return;
    state.chunks.set(chunk, found);
    draw();
  } catch (error) {
    if (run !== state.run) return;
    state.chunks.delete(chunk);
    say(error.message);
  }
}

const ask = chunk => send("/search", {
  query: state.query, only: state.only || null, tag: state.tag || null, start: chunk * CHUNK, count: CHUNK });

async function search() {
  const run = ++state.run;
  Object.assign(state, {
    query: $("#query").value, only: $("#only").value, tag: $("#of-tag").value.trim(), near: null, current: -1 });
  say("Searching …");
  try {
    const first = await ask(0);
    if (run !== state.run) return;
    state.chunks = new Map([[0, first]]);
    state.total = first.total;
    const reasons = first.designs.flatMap(one => one.reasons);
    const meant = new Set(reasons.filter(one => one.by === "meaning").map(one => one.name));
    const near = meant.size ? ` of near meaning: ${[...meant].join(", ")}` : "";
    say(`${first.total.toLocaleString("en")} design${first.total === 1 ? "" : "s"}${near}`);
  } catch (error) {
    if (run !== state.run) return;
    state.chunks = new Map([[0, { designs: [] }]]);
    state.total = 0;
    say(error.message);
  }
  $("#back").hidden = true;
  $("#chosen").hidden = true;
  $("#scroller").scrollTop = 0;
  draw();
}

async function similar(by) {
  const design = designAt(state.current);
  if (!design) return;
  const run = ++state.run;
  const { designs } = await send("/similar", { ids: [design.id], by, top: 100 });
  if (run !== state.run) return;
  await list([{ ...design, score: 1, reasons: [] }, ...designs],
    by === "style" ? `Drawn like ${design.image}` : `Most like ${design.image}`, "similarity");
}

// Shows a list in place of the search. `score`: what the designs' scores are.
async function list(designs, text, score) {
  ++state.run;
  Object.assign(state, { near: designs, total: designs.length, scored: score, current: -1 });
  say(text);
  $("#back").hidden = false;
  $("#scroller").scrollTop = 0;
  draw();
  if (designs.length) await choose(0, true);
}

// What teaching a tag has found: the most informative designs first, then the most likely ones.
async function showTaught({ tag, yes, no, questions, likely }) {
  const asked = new Set(questions.map(one => one.id));
  const designs = [...questions, ...likely.filter(one => !asked.has(one.id))];
  await list(designs, `The model knows ${tag} from ${yes} designs with it and ${no} without.`
    + (designs.length ? ` Its ${questions.length} most uncertain designs come first: mark them and teach again.` : ""), tag);
  shown.get(0)?.firstElementChild.focus({ preventScroll: true });
}

// ---------- the grid: only what is seen of it ----------

const pictures = new Map();
const shown = new Map();   // place -> item

// An <img> cannot send the token, so pictures are fetched and shown from memory.
function pictureOf(id, large = false) {
  const path = `/library/image?id=${id}${large ? "&large=true" : ""}`;
  if (!pictures.has(path)) {
    const url = fetch(path, { headers: authorization() }).then(async answer => {
      if (!answer.ok) throw new Error("cannot be shown");
      return URL.createObjectURL(await answer.blob());
    });
    url.catch(() => pictures.delete(path));
    pictures.set(path, url);
    if (pictures.size > MOST_PICTURES) {
      const [oldest, old] = pictures.entries().next().value;
      pictures.delete(oldest);
      old.then(URL.revokeObjectURL, () => {});
    }
  }
  return pictures.get(path);
}

function layout() {
  const size = 8.5 * parseFloat(getComputedStyle(document.documentElement).fontSize);
  return { size, columns: Math.max(1, Math.floor($("#scroller").clientWidth / size)) };
}

function draw() {
  const { size, columns } = layout(), scroller = $("#scroller"), grid = $("#grid");
  grid.style.height = `${Math.ceil(state.total / columns) * size}px`;
  const first = Math.max(0, Math.floor(scroller.scrollTop / size) - 1) * columns;
  const rows = Math.ceil(scroller.clientHeight / size) + 3;
  const last = Math.min(state.total, first + rows * columns);
  const focused = grid.contains(document.activeElement);
  for (const [place, item] of shown)
    if (place < first || place >= last || item.dataset.run !== String(state.run)) { item.remove(); shown.delete(place); }
  for (let place = first; place < last; place++) {
    const design = designAt(place);
    if (!design) { load(Math.floor(place / CHUNK)); continue; }
    const item = shown.get(place) ?? cell(place, design);
    drawMark(item.firstElementChild, design.id);
    item.style.left = `${place % columns * size}px`;
    item.style.top = `${Math.floor(place / columns) * size}px`;
  }
  if (focused) shown.get(state.current)?.firstElementChild.focus({ preventScroll: true });
}

function cell(place, design) {
  const item = document.createElement("li"), button = document.createElement("button");
  const box = document.createElement("span"), image = document.createElement("img");
  item.dataset.run = state.run;
  item.setAttribute("aria-setsize", state.total);
  item.setAttribute("aria-posinset", place + 1);
  button.type = "button";
  button.tabIndex = place === Math.max(0, state.current) ? 0 : -1;
  if (place === state.current) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => choose(place));
  box.className = "picture";
  image.alt = design.image;
  // What is scrolled past at once is not fetched.
  setTimeout(() => item.isConnected && pictureOf(design.id).then(url => { image.src = url; }, () => {}), PASSING);
  const mark = document.createElement("span");
  mark.className = "mark";
  box.append(image, mark);
  button.append(box);
  item.append(button);
  $("#grid").append(item);
  shown.set(place, item);
  return item;
}

// ---------- one design ----------

async function choose(place, quiet = false) {
  const design = designAt(place);
  if (!design) return;
  state.current = place;
  for (const [other, item] of shown) {
    const button = item.firstElementChild;
    button.tabIndex = other === place ? 0 : -1;
    if (other === place) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  }
  const { size, columns } = layout(), top = Math.floor(place / columns) * size, scroller = $("#scroller");
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  if (top + size > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + size - scroller.clientHeight;
  draw();
  if (!quiet) shown.get(place)?.firstElementChild.focus({ preventScroll: true });
  const run = state.run, found = await request(`/library/design?id=${design.id}`);
  if (run !== state.run || place !== state.current) return;
  show(found, design);
}

function show(found, design) {
  const box = $("#chosen"), image = $("img", box), list = $("dl", box);
  const wasHidden = box.hidden;
  box.hidden = false;
  image.alt = found.image;
  pictureOf(found.id, true).then(url => { if (image.alt === found.image) image.src = url; }, () => {});
  $("h2", box).textContent = found.image;
  $(".score-line", box).textContent = state.near ? `${state.scored} ${design.score.toFixed(2)}`
    : design.reasons.map(one => `${one.name} ${one.score.toFixed(2)} by ${one.by}`).join(", ");
  list.replaceChildren();
  const percent = score => `${Math.round(100 * score)} %`;
  for (const [title, texts] of [
    ["Tags", found.tags], ["Suggested", found.suggestions.map(one => `${one.tag} (${percent(one.score)})`)],
    ["Doubtful", found.doubtful], ["Colours", found.colours]])
    if (texts.length) {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = title;
      text.textContent = texts.join(", ");
      list.append(term, text);
    }
  if (wasHidden) { draw(); shown.get(state.current)?.firstElementChild.focus({ preventScroll: true }); }
}

async function listTags() {
  const tags = await request("/library/tags");
  $("#library-tags").replaceChildren(...tags.map(({ tag, designs }) => {
    const option = document.createElement("option");
    option.value = tag;
    option.label = `${tag} (${designs})`;
    return option;
  }));
}

// ---------- keyboard and start ----------

function mark(answer) {
  const design = designAt(state.current);
  if (!design || !teaches()) return;
  if (answer === "turn") turnMark(design.id); else setMark(design.id, answer);
  draw();
  if (answer !== "turn") return step(1);
}

const step = by => choose(Math.max(0, Math.min(state.total - 1, state.current + by)));
const keys = {
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  ArrowDown: () => step(layout().columns), ArrowUp: () => step(-layout().columns),
  s: () => similar("content"), d: () => similar("style"),
  Escape: () => state.near && search(), "/": () => $("#query").focus(),
  y: () => mark("yes"), n: () => mark("no"), o: () => mark(null),
};
const doing = action => Promise.resolve(action()).catch(error => say(error.message));

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#token").open || $("#library").hidden) return;
  if (event.target.matches("input, select, a")) return;
  const onGrid = event.key === " " && event.target.matches("#grid button");
  const key = onGrid ? () => mark("turn") : keys[event.key];
  if (key) { event.preventDefault(); doing(key); }
});
$("#search").addEventListener("submit", event => { event.preventDefault(); doing(search); });
$("#only").addEventListener("change", () => doing(search));
$("#of-tag").addEventListener("change", () => doing(search));
$("#back").addEventListener("click", () => doing(search));
$("#by-content").addEventListener("click", () => doing(() => similar("content")));
$("#by-style").addEventListener("click", () => doing(() => similar("style")));
$("#scroller").addEventListener("scroll", () => requestAnimationFrame(draw));
window.addEventListener("resize", () => { if (!$("#library").hidden) draw(); });

const health = await request("/healthz");
if (health.library) {
  const about = await request("/library");
  $("#only").closest("label").hidden = !about.scored;
  if (about.teaches) Object.assign(keys, setUpTeaching({ taught: about.taught, show: showTaught, redraw: draw, doing, say }));
  let started = false;
  await addTab("library", () => {
    if (started) return draw();
    started = true;
    doing(listTags);
    return search();
  });
}
