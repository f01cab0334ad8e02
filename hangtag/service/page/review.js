// The tab "Review": questions about the library's tags. An answer is on disk before the page shows it
// as saved; other reviewers' answers are never overwritten.

import { $, addTab, authorization, request, send } from "./request.js";
import { normaliseTag } from "./tags.js";

const state = { order: "design", design: null, grid: null, index: 0, answered: new Map(), answers: [] };
// A reviewer without a name gets one: otherwise Undo could undo another reviewer's answers.
const own = localStorage.getItem("own") ?? `reviewer ${Math.random().toString(36).slice(2, 6)}`;
localStorage.setItem("own", own);
const reviewer = () => $("#reviewer").value.trim() || own;
const picture = image => `/review/image?image=${encodeURIComponent(image)}`;
const say = text => { $("#review-status").textContent = text; };

// An <img> cannot send the token, so pictures are fetched and shown from memory.
const MOST_PICTURES = 300;  // far more than fit on the page
const shown = new Map();

function pictureOf(image) {
  if (!shown.has(image)) {
    // Low: questions and answers go first when a person is faster than the pictures.
    const url = fetch(picture(image), { headers: authorization(), priority: "low" }).then(async answer => {
      if (answer.ok) return URL.createObjectURL(await answer.blob());
      const { message } = await answer.json().catch(() => ({}));
      throw new Error(message ?? `${image}: the server answered ${answer.status}`);
    });
    url.catch(() => shown.delete(image));  // tried again next time
    shown.set(image, url);
    if (shown.size > MOST_PICTURES) {
      const [oldest, old] = shown.entries().next().value;
      shown.delete(oldest);
      old.then(URL.revokeObjectURL, () => {});
    }
  }
  return shown.get(image);
}

// Returns false for a picture that cannot be shown.
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
    why.textContent = `Cannot be shown: ${error.message}`;
    return false;
  }
  return true;
}

function progress({ open, answered }) {
  $("#progress").textContent = `${answered} answered, ${open} open`;
}

// ---------- what the answers have brought ----------

const percent = value => `${(100 * value).toFixed(1)} %`;

function showGain(gain) {
  $("#gain").hidden = !gain;
  if (!gain) return;
  const { before, after } = gain, change = 100 * (after - before);
  $(".gain-bar").classList.toggle("less", after < before);
  $(".gain-bar .before").style.width = `${100 * before}%`;
  $(".gain-bar .after").style.width = `${100 * after}%`;
  const sign = change.toFixed(2).startsWith("-") ? "−" : "+";
  $("#gain-text").textContent =
    `Macro mAP ${percent(before)} without the answers, ${percent(after)} with them (${sign}${Math.abs(change).toFixed(2)})`;
}

// The server learns after it has answered, and at its start for some seconds.
const FIRST_LOOK = 1000, LAST_LOOK = 30_000;  // milliseconds
let nextLook = 0;

function lookAtGain(wait = FIRST_LOOK) {
  clearTimeout(nextLook);
  nextLook = setTimeout(async () => {
    const { gain } = await request("/review").catch(() => ({}));
    showGain(gain);
    if (!gain && !$("#review").hidden) lookAtGain(Math.min(2 * wait, LAST_LOOK));
  }, wait);
}

async function sayNone() {
  const { open, answered } = await request("/review");
  progress({ open, answered });
  say(open ? "Other reviewers are answering the remaining questions; try again in a minute." : "No questions are left.");
}

async function save(answers) {
  if (!answers.length) return;
  const saved = await send("/review/answers", { reviewer: reviewer(), answers });
  progress(saved);
  lookAtGain();
  say(saved.conflicts.length
    ? conflictsOf(saved) : `${answers.length} saved.`);
}

const conflictsOf = saved => saved.conflicts
  .map(one => `not saved: ${one.reviewer} already answered ${one.answer} to ${one.tag}`).join("; ");

// ---------- by design ----------

// `after`: a design to postpone.
async function nextDesign(after = "") {
  const design = await send("/review/design", { reviewer: reviewer(), after });
  Object.assign(state, { design, index: 0, answered: new Map() });
  $("#one").hidden = !design;
  if (!design) return sayNone();
  showPicture($("#one .picture"), design.image);
  $("#one h2").textContent = design.image;
  drawOwn();
  drawQuestions();
}

const drawOwn = () => { $("#one .own").textContent = state.design.tags.join(", ") || "nothing"; };

async function addTag(text) {
  const { design } = state;
  if (!normaliseTag(text)) return;
  const added = await send("/tags", { reviewer: reviewer(), tag: text, images: [design.image] });
  progress(added);
  lookAtGain();
  if (added.conflicts.length) { say(conflictsOf(added)); return; }
  say(`${added.tag}: ${added.examples} design${added.examples === 1 ? "" : "s"} have it.` + (added.examples < added.needed
    ? ` From ${added.needed} on, questions about other designs are asked.` : ""));
  if (!design.tags.some(tag => normaliseTag(tag) === added.tag)) design.tags.push(added.tag);
  if (design !== state.design) return;  // the reviewer was faster
  drawOwn();
  if (design.questions.some(one => one.tag === added.tag)) state.answered.set(added.tag, "yes");
  drawQuestions();
}

const WHY = { wrong: "likely wrong", missing: "likely missing", uncertain: "uncertain" };

function drawQuestions() {
  $("#one .questions").replaceChildren(...state.design.questions.map((one, index) => {
    const item = document.createElement("li");
    item.classList.toggle("now", index === state.index);
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
      button.setAttribute("aria-pressed", String(state.answered.get(one.tag) === answer));
      button.addEventListener("click", () => answerOne(index, answer));
      return button;
    }));
    return item;
  }));
}

async function answerOne(index, answer) {
  const { image } = state.design, { tag } = state.design.questions[index];
  if (state.answered.has(tag)) { say("Saved already; press U to undo."); return; }
  state.answered.set(tag, answer);
  state.index = Math.min(index + 1, state.design.questions.length - 1);
  drawQuestions();
  try {
    await save([{ image, tag, answer }]);
  } catch (error) {  // not saved: show the question as open again
    if (state.design.image === image) {
      state.answered.delete(tag);
      state.index = index;
      drawQuestions();
    }
    throw error;
  }
  if (state.answered.size === state.design.questions.length && state.design.image === image) await nextDesign();
}

// ---------- by tag ----------

// `left`: questions to postpone; they come again when there are no others.
async function nextGrid(tag = null, left = []) {
  const grid = await send("/review/grid", { reviewer: reviewer(), tag, left });
  if (tag !== null && !grid.questions.length) return nextGrid();
  // Every tile starts with the model's guess; null (in doubt) is not saved.
  Object.assign(state, { grid, index: 0, answers: grid.questions.map(one => one.guess) });
  $("#many").hidden = !grid.questions.length;
  if (!grid.questions.length) return sayNone();
  $("#many h2").textContent = `Is this ${grid.tag}?`;
  $("#rule").textContent = grid.questions[0].kind === "wrong"
    ? "These designs have the tag, and the model doubts it. Correct its answers."
    : "These designs do not have the tag. Correct the model's answers; open ones are not saved.";
  drawGrid();
  $(".cells button").focus();
}

const LOOK = { yes: ["✓", "yes", "true"], no: ["✗", "no", "false"], null: ["?", "open", "mixed"] };
// What a click changes an answer to, by the model's guess.
const CYCLE = { yes: { yes: "no", no: null, null: "yes" }, no: { no: "yes", yes: null, null: "no" } };

function drawGrid() {
  $(".cells").replaceChildren(...state.grid.questions.map((one, index) => {
    const item = $("#cell").content.firstElementChild.cloneNode(true), button = $("button", item);
    showPicture($(".picture", item), one.image).then(visible => visible || leaveUnseen(one));
    button.addEventListener("click", () => turn(index));
    button.addEventListener("focus", () => { state.index = index; });
    return item;
  }));
  state.grid.questions.forEach((_, index) => drawCell(index));
  drawCount();
}

function drawCell(index) {
  const button = $(".cells").children[index].firstElementChild, one = state.grid.questions[index];
  const [sign, word, pressed] = LOOK[state.answers[index]];
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

function set(index, answer) {
  state.answers[index] = answer;
  drawCell(index);
  drawCount();
}

const turn = index => set(index, CYCLE[state.grid.questions[index].guess ?? "yes"][state.answers[index]]);

// A guess about an invisible design cannot be confirmed, so it starts open.
function leaveUnseen(one) {
  const index = state.grid.questions.indexOf(one);
  if (index >= 0 && state.answers[index] === one.guess) set(index, null);
}

function decide(answer) {
  set(state.index, answer);
  step(1);
}

async function saveGrid() {
  const { tag, questions } = state.grid;
  if (state.busy) return;
  state.busy = true;
  try {
    const answers = questions.map((one, index) => ({ image: one.image, tag, answer: state.answers[index] }));
    await save(answers.filter(one => one.answer !== null));
    const left = answers.filter(one => one.answer === null).map(({ image }) => ({ image, tag }));
    if (left.length === answers.length) say("Nothing saved.");
    await nextGrid($("#which").value || null, left);
  } finally { state.busy = false; }
}

// ---------- both ----------

const postpone = () => nextDesign(state.design?.image);
const next = () => state.order === "design" ? nextDesign() : nextGrid($("#which").value || null);

function show(order) {
  state.order = order;
  $("#by-design").setAttribute("aria-pressed", String(order === "design"));
  $("#by-tag").setAttribute("aria-pressed", String(order === "tag"));
  $("#one").hidden = order !== "design";
  $("#many").hidden = order !== "tag";
  return next();
}

async function undo() {
  const back = await send("/review/undo", { reviewer: reviewer() });
  progress(back);
  lookAtGain();
  say(back.undone.length ? `${back.undone.length} undone.` : "There is nothing to undo.");
  await next();
}

function step(by) {
  if (state.order === "design") {
    state.index = Math.max(0, Math.min(state.design.questions.length - 1, state.index + by));
    drawQuestions();
  } else {
    const cells = $(".cells").children;
    cells[Math.max(0, Math.min(cells.length - 1, state.index + by))].firstElementChild.focus();
  }
}

// Tiles in a row at the page's present width.
function columns() {
  const cells = [...$(".cells").children];
  return state.order === "design" ? 1 : cells.filter(one => one.offsetTop === cells[0].offsetTop).length;
}

const keys = {
  y: () => state.order === "design" ? answerOne(state.index, "yes") : decide("yes"),
  n: () => state.order === "design" ? answerOne(state.index, "no") : decide("no"),
  o: () => state.order === "tag" && decide(null),
  ArrowDown: () => step(columns()), ArrowUp: () => step(-columns()),
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  Enter: () => state.order === "design" ? postpone() : saveGrid(),
  a: () => state.order === "design" && $("#add-tag input").focus(),
  u: undo, d: () => show("design"), t: () => show("tag"),
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#token").open || $("#review").hidden) return;
  if (event.target.matches("#add-tag input") && event.key === "Escape") event.target.blur();
  if (event.target.matches("input, select, a")) return;
  const key = keys[event.key];
  const ready = state.order === "design" ? state.design : state.grid?.questions.length;
  if (key && (ready || "udt".includes(event.key))) {
    event.preventDefault();
    Promise.resolve(key()).catch(error => say(error.message));
  }
});

const doing = action => () => Promise.resolve(action()).catch(error => say(error.message));
$("#by-design").addEventListener("click", doing(() => show("design")));
$("#by-tag").addEventListener("click", doing(() => show("tag")));
$("#which").addEventListener("change", doing(() => show("tag")));
$("#which").addEventListener("focus", doing(listTags));
$("#next").addEventListener("click", doing(postpone));
$("#keep").addEventListener("click", doing(saveGrid));
$("#undo").addEventListener("click", doing(undo));
$("#add-tag").addEventListener("submit", event => {
  event.preventDefault();
  const field = $("#add-tag input");
  doing(async () => { await addTag(field.value); field.value = ""; })();
});
$("#reviewer").value = localStorage.getItem("reviewer") ?? "";
$("#reviewer").addEventListener("change", () => localStorage.setItem("reviewer", $("#reviewer").value.trim()));

async function tab() {
  if (!state.design && !state.grid) await show("design");
}

// Again whenever the list is about to be opened: a tag may be new.
async function listTags() {
  const which = $("#which"), chosen = which.value, any = document.createElement("option");
  any.value = "";
  any.textContent = "most helpful first";
  const options = (await request("/review/tags")).map(one => {
    const option = document.createElement("option");
    option.value = one.tag;
    option.textContent = `${one.tag} (${one.open})`;
    return option;
  });
  which.replaceChildren(any, ...options);
  which.value = options.some(option => option.value === chosen) ? chosen : "";
}

const health = await request("/healthz");
if (health.review) {
  await listTags();
  await addTab("review", tab);
  const now = await request("/review");
  showGain(now.gain);
  if (!now.gain) lookAtGain();
  progress(now);  // last: the page is ready, keys included
}
