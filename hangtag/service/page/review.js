// The second tab: questions about the library's own tags. Every answer is on disk before it is shown
// as kept; what others answered is never overwritten.

import { $, ask, authorization } from "./ask.js";

const state = { way: "design", design: null, grid: null, place: 0, turned: new Set(), said: new Map() };
// Whoever gives no name has one of their own all the same: else Undo would take back another's answer.
const own = localStorage.getItem("own") ?? `somebody ${Math.random().toString(36).slice(2, 6)}`;
localStorage.setItem("own", own);
const reviewer = () => $("#reviewer").value.trim() || own;
const picture = image => `/review/image?image=${encodeURIComponent(image)}`;
const say = text => { $("#review-status").textContent = text; };
const send = (path, content) => ask(path, {
  method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } });

// An <img> cannot send the token: pictures are fetched, and shown from memory.
const shown = new Map();
async function showPicture(img, image) {
  img.dataset.image = image;
  if (!shown.has(image)) {
    shown.set(image, fetch(picture(image), { headers: authorization() })
      .then(answer => answer.ok ? answer.blob() : Promise.reject(new Error("no picture")))
      .then(blob => URL.createObjectURL(blob)));
  }
  try {
    const url = await shown.get(image);
    if (img.dataset.image === image) img.src = url;
  } catch {
    img.alt = "cannot be shown";
  }
}

function progress({ open, answered }) {
  $("#progress").textContent = `${answered} answered, ${open} open`;
}

async function keep(answers) {
  if (!answers.length) return;
  const kept = await send("/review/answers", { reviewer: reviewer(), answers });
  progress(kept);
  say(kept.conflicts.length
    ? kept.conflicts.map(one => `${one.reviewer} had already said ${one.answer} to ${one.tag}`).join("; ")
    : `${answers.length} kept.`);
}

// ---------- by design ----------

// `after`: a design that is left for later.
async function nextDesign(after = "") {
  const design = await ask(
    `/review/design?reviewer=${encodeURIComponent(reviewer())}&after=${encodeURIComponent(after)}`);
  Object.assign(state, { design, place: 0, said: new Map() });
  $("#one").hidden = !design;
  if (!design) { say("No questions are left."); return; }
  showPicture($("#one img"), design.image);
  $("#one img").alt = design.image;
  $("#one h2").textContent = design.image;
  $("#one .own").textContent = design.tags.join(", ") || "nothing";
  drawQuestions();
}

const WHY = { wrong: "given, but unlikely", missing: "likely missing", uncertain: "uncertain" };

function drawQuestions() {
  $("#one .questions").replaceChildren(...state.design.questions.map((one, place) => {
    const item = document.createElement("li");
    item.classList.toggle("now", place === state.place);
    const text = document.createElement("span");
    text.className = "text";
    const name = document.createElement("strong");
    name.textContent = one.tag;
    text.append(name, `? ${WHY[one.kind]}, ${Math.round(100 * one.score)} %`);
    item.append(text, ...["yes", "no"].map(answer => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = answer;
      button.textContent = answer;
      button.setAttribute("aria-label", `${one.tag}: ${answer}`);
      button.setAttribute("aria-pressed", String(state.said.get(one.tag) === answer));
      button.addEventListener("click", () => answerOne(place, answer));
      return button;
    }));
    return item;
  }));
}

async function answerOne(place, answer) {
  const { image } = state.design, { tag } = state.design.questions[place];
  if (state.said.has(tag)) { say("Already kept; U takes it back."); return; }
  state.said.set(tag, answer);
  state.place = Math.min(place + 1, state.design.questions.length - 1);
  drawQuestions();
  try {
    await keep([{ image, tag, answer }]);
  } catch (error) {  // not on disk: as if it had not been given
    if (state.design.image === image) {
      state.said.delete(tag);
      state.place = place;
      drawQuestions();
    }
    throw error;
  }
  if (state.said.size === state.design.questions.length && state.design.image === image) await nextDesign();
}

// ---------- by tag ----------

async function nextGrid(tag = null) {
  const chosen = tag === null ? "" : `&tag=${encodeURIComponent(tag)}`;
  const grid = await ask(`/review/grid?reviewer=${encodeURIComponent(reviewer())}${chosen}`);
  if (tag !== null && !grid.questions.length) return nextGrid();
  Object.assign(state, { grid, place: 0, turned: new Set() });
  $("#many").hidden = !grid.questions.length;
  if (!grid.questions.length) { say("No questions are left."); return; }
  const mean = grid.questions.reduce((sum, one) => sum + one.score, 0) / grid.questions.length;
  grid.usual = grid.questions[0].kind === "wrong" || mean < 0.5 ? "no" : "yes";
  $("#many h2").textContent = `Is this ${grid.tag}?`;
  $("#rule").textContent = `Enter says “${grid.usual}” to all; click those that are different.`;
  drawGrid();
  $(".cells button").focus();
}

const gridAnswer = place => (state.grid.usual === "yes") !== state.turned.has(place) ? "yes" : "no";

function drawGrid() {
  $(".cells").replaceChildren(...state.grid.questions.map((one, place) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const box = document.createElement("div"), img = document.createElement("img");
    const what = document.createElement("span");
    button.type = "button";
    box.className = "picture";
    what.className = "what";
    img.alt = one.image;
    showPicture(img, one.image);
    box.append(img);
    button.append(box, what);
    button.addEventListener("click", () => turn(place));
    button.addEventListener("focus", () => { state.place = place; });
    item.append(button);
    return item;
  }));
  state.grid.questions.forEach((_, place) => drawCell(place));
}

function drawCell(place) {
  const button = $(".cells").children[place].firstElementChild;
  button.setAttribute("aria-pressed", String(state.turned.has(place)));
  $(".what", button).textContent = gridAnswer(place);
}

function turn(place) {
  if (!state.turned.delete(place)) state.turned.add(place);
  drawCell(place);
}

async function keepGrid() {
  const { tag, questions } = state.grid;
  if (state.busy) return;
  state.busy = true;
  try {
    await keep(questions.map((one, place) => ({ image: one.image, tag, answer: gridAnswer(place) })));
    await nextGrid($("#which").value || null);
  } finally { state.busy = false; }
}

// ---------- both ----------

const passOver = () => nextDesign(state.design?.image);
const next = () => state.way === "design" ? nextDesign() : nextGrid($("#which").value || null);

function go(way) {
  state.way = way;
  $("#by-design").setAttribute("aria-pressed", String(way === "design"));
  $("#by-tag").setAttribute("aria-pressed", String(way === "tag"));
  $("#one").hidden = way !== "design";
  $("#many").hidden = way !== "tag";
  return next();
}

async function undo() {
  const back = await send("/review/undo", { reviewer: reviewer() });
  progress(back);
  say(back.undone.length ? `${back.undone.length} taken back.` : "You have nothing to take back.");
  await next();
}

function step(by) {
  if (state.way === "design") {
    state.place = Math.max(0, Math.min(state.design.questions.length - 1, state.place + by));
    drawQuestions();
  } else {
    const cells = $(".cells").children;
    cells[Math.max(0, Math.min(cells.length - 1, state.place + by))].firstElementChild.focus();
  }
}

const keys = {
  y: () => state.way === "design" && answerOne(state.place, "yes"),
  n: () => state.way === "design" && answerOne(state.place, "no"),
  ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  Enter: () => state.way === "design" ? passOver() : keepGrid(),
  u: undo, d: () => go("design"), t: () => go("tag"),
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#token").open || $("#review").hidden) return;
  if (event.target.matches("input, select, a")) return;
  const key = keys[event.key];
  const ready = state.way === "design" ? state.design : state.grid?.questions.length;
  if (key && (ready || "udt".includes(event.key))) {
    event.preventDefault();
    Promise.resolve(key()).catch(error => say(error.message));
  }
});

const doing = action => () => Promise.resolve(action()).catch(error => say(error.message));
$("#by-design").addEventListener("click", doing(() => go("design")));
$("#by-tag").addEventListener("click", doing(() => go("tag")));
$("#which").addEventListener("change", doing(() => go("tag")));
$("#next").addEventListener("click", doing(passOver));
$("#keep").addEventListener("click", doing(keepGrid));
$("#undo").addEventListener("click", doing(undo));
$("#reviewer").value = localStorage.getItem("reviewer") ?? "";
$("#reviewer").addEventListener("change", () => localStorage.setItem("reviewer", $("#reviewer").value.trim()));

async function tab() {
  const review = location.hash === "#review";
  $("#review").hidden = !review;
  $("#tagging").hidden = review;
  for (const [link, here] of [["#to-review", review], ["#to-tag", !review]])
    if (here) $(link).setAttribute("aria-current", "page"); else $(link).removeAttribute("aria-current");
  if (review && !state.design && !state.grid) await go("design");
}

const health = await ask("/healthz");
if (health.review) {
  $("#tabs").hidden = false;
  const any = document.createElement("option");
  any.value = "";
  any.textContent = "the most helpful";
  $("#which").append(any, ...(await ask("/review/tags")).map(one => {
    const option = document.createElement("option");
    option.value = one.tag;
    option.textContent = `${one.tag} (${one.open})`;
    return option;
  }));
  window.addEventListener("hashchange", tab);
  await tab();
  progress(await ask("/review"));  // last: who sees it can go on, keys included
}
