// The second tab: questions about the library's own tags. Every answer is on disk before it is shown
// as kept; what others answered is never overwritten.

import { $, ask, authorization } from "./ask.js";

const state = { way: "design", design: null, grid: null, place: 0, said: new Map(), answers: [] };
// Whoever gives no name has one of their own all the same: else Undo would take back another's answer.
const own = localStorage.getItem("own") ?? `somebody ${Math.random().toString(36).slice(2, 6)}`;
localStorage.setItem("own", own);
const reviewer = () => $("#reviewer").value.trim() || own;
const picture = image => `/review/image?image=${encodeURIComponent(image)}`;
const say = text => { $("#review-status").textContent = text; };
const send = (path, content) => ask(path, {
  method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } });

// An <img> cannot send the token: pictures are fetched, and shown from memory.
const MOST_PICTURES = 300;  // far more than are on the page
const shown = new Map();

function pictureOf(image) {
  if (!shown.has(image)) {
    // Low: the questions and answers of a person who is quicker than the pictures go first.
    const url = fetch(picture(image), { headers: authorization(), priority: "low" }).then(async answer => {
      if (answer.ok) return URL.createObjectURL(await answer.blob());
      const { message } = await answer.json().catch(() => ({}));
      throw new Error(message ?? `${image}: the server answered ${answer.status}`);
    });
    url.catch(() => shown.delete(image));  // next time it is tried again
    shown.set(image, url);
    if (shown.size > MOST_PICTURES) {
      const [oldest, old] = shown.entries().next().value;
      shown.delete(oldest);
      old.then(URL.revokeObjectURL, () => {});
    }
  }
  return shown.get(image);
}

// False where there is nothing to see.
async function showPicture(box, image) {
  const img = $("img", box), why = $(".unshown", box);
  img.dataset.image = image;
  img.alt = image;
  img.removeAttribute("src");
  img.hidden = false;
  why.textContent = "";
  try {
    const url = await pictureOf(image);
    if (img.dataset.image === image) img.src = url;
  } catch (error) {
    if (img.dataset.image !== image) return true;
    img.hidden = true;
    why.textContent = `Cannot be shown. ${error.message}`;
    return false;
  }
  return true;
}

function progress({ open, answered }) {
  $("#progress").textContent = `${answered} answered, ${open} open`;
}

async function sayNone() {
  const { open, answered } = await ask("/review");
  progress({ open, answered });
  say(open ? "Other reviewers are shown what is left; try again in a minute." : "No questions are left.");
}

async function keep(answers) {
  if (!answers.length) return;
  const kept = await send("/review/answers", { reviewer: reviewer(), answers });
  progress(kept);
  say(kept.conflicts.length
    ? kept.conflicts.map(one => `${one.reviewer} had already said ${one.answer} to ${one.tag}`).join("; ")
    : `${answers.length} saved.`);
}

// ---------- by design ----------

// `after`: a design that is left for later.
async function nextDesign(after = "") {
  const design = await send("/review/design", { reviewer: reviewer(), after });
  Object.assign(state, { design, place: 0, said: new Map() });
  $("#one").hidden = !design;
  if (!design) return sayNone();
  showPicture($("#one .picture"), design.image);
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

// `left`: questions that were left open, which come again when there are no others.
async function nextGrid(tag = null, left = []) {
  const grid = await send("/review/grid", { reviewer: reviewer(), tag, left });
  if (tag !== null && !grid.questions.length) return nextGrid();
  // The model's own guess is where each tile starts; one in doubt (null) is not sent.
  Object.assign(state, { grid, place: 0, answers: grid.questions.map(one => one.guess) });
  $("#many").hidden = !grid.questions.length;
  if (!grid.questions.length) return sayNone();
  $("#many h2").textContent = `Is this ${grid.tag}?`;
  $("#rule").textContent = grid.questions[0].kind === "wrong"
    ? "People gave these the tag, and the model doubts it. Correct what it got wrong."
    : "The model's guess; correct what it got wrong. Open ones are not saved.";
  drawGrid();
  $(".cells button").focus();
}

const LOOK = { yes: ["✓", "yes", "true"], no: ["✗", "no", "false"], null: ["?", "open", "mixed"] };
// A click: the other answer first; an open one becomes a yes.
const CYCLE = { yes: { yes: "no", no: null, null: "yes" }, no: { no: "yes", yes: null, null: "no" } };

function drawGrid() {
  $(".cells").replaceChildren(...state.grid.questions.map((one, place) => {
    const item = $("#cell").content.firstElementChild.cloneNode(true), button = $("button", item);
    showPicture($(".picture", item), one.image).then(visible => visible || leaveUnseen(one));
    button.addEventListener("click", () => turn(place));
    button.addEventListener("focus", () => { state.place = place; });
    return item;
  }));
  state.grid.questions.forEach((_, place) => drawCell(place));
  drawCount();
}

function drawCell(place) {
  const button = $(".cells").children[place].firstElementChild, one = state.grid.questions[place];
  const [sign, word, pressed] = LOOK[state.answers[place]];
  button.className = word;
  button.setAttribute("aria-pressed", pressed);
  $(".sign", button).textContent = sign;
  $(".word", button).textContent = word;
  $(".score", button).textContent = `${Math.round(100 * one.score)} %`;
}

function drawCount() {
  const count = answer => state.answers.filter(one => one === answer).length;
  const open = count(null), answers = state.answers.length - open;
  $("#counts").textContent = `${count("yes")} yes, ${count("no")} no, ${open} open`;
  $("#keep-text").textContent = answers
    ? `Save ${answers} answer${answers === 1 ? "" : "s"}${open ? `, ${open} left open` : ""}`
    : `Leave ${open} open`;
}

function set(place, answer) {
  state.answers[place] = answer;
  drawCell(place);
  drawCount();
}

const turn = place => set(place, CYCLE[state.grid.questions[place].guess ?? "yes"][state.answers[place]]);

// Nobody can confirm a guess about what cannot be seen.
function leaveUnseen(one) {
  const place = state.grid.questions.indexOf(one);
  if (place >= 0 && state.answers[place] === one.guess) set(place, null);
}

function decide(answer) {
  set(state.place, answer);
  step(1);
}

async function keepGrid() {
  const { tag, questions } = state.grid;
  if (state.busy) return;
  state.busy = true;
  try {
    const answers = questions.map((one, place) => ({ image: one.image, tag, answer: state.answers[place] }));
    await keep(answers.filter(one => one.answer !== null));
    const left = answers.filter(one => one.answer === null).map(({ image }) => ({ image, tag }));
    if (left.length === answers.length) say("Nothing saved.");
    await nextGrid($("#which").value || null, left);
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

// Tiles in a row, as the page is wide.
function columns() {
  const cells = [...$(".cells").children];
  return state.way === "design" ? 1 : cells.filter(one => one.offsetTop === cells[0].offsetTop).length;
}

const keys = {
  y: () => state.way === "design" ? answerOne(state.place, "yes") : decide("yes"),
  n: () => state.way === "design" ? answerOne(state.place, "no") : decide("no"),
  o: () => state.way === "tag" && decide(null),
  ArrowDown: () => step(columns()), ArrowUp: () => step(-columns()),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
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
