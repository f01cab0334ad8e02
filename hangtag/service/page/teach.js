// Designs marked in the tab "Library" as examples of a new tag, and the form that teaches it.

import { $, request, send } from "./request.js";

const LOOK = { yes: ["✓", "has the tag"], no: ["✗", "does not have the tag"] };
const marks = new Map();   // design id -> "yes" or "no"
const order = [];          // ids as they were marked, for undo
let offered = false;

export const teaches = () => offered;

export function drawMark(button, id) {
  const mark = marks.get(id), sign = $(".mark", button);
  button.classList.toggle("yes", mark === "yes");
  button.classList.toggle("no", mark === "no");
  sign.textContent = mark ? LOOK[mark][0] : "";
  if (mark) sign.setAttribute("aria-label", LOOK[mark][1]); else sign.removeAttribute("aria-label");
  if (mark) sign.setAttribute("role", "img"); else sign.removeAttribute("role");
}

export function setMark(id, mark) {
  if (mark) { marks.set(id, mark); order.push(id); } else marks.delete(id);
  count();
}

const NEXT = { yes: "no", no: null };
export const turnMark = id => setMark(id, marks.has(id) ? NEXT[marks.get(id)] : "yes");

export function undoMark() {
  for (let id = order.pop(); id !== undefined; id = order.pop())
    if (marks.has(id)) { setMark(id, null); return; }
}

export function clearMarks() {
  marks.clear();
  order.length = 0;
  count();
}

const marked = mark => [...marks].filter(([, one]) => one === mark).map(([id]) => id);

function count() {
  const yes = marked("yes").length, no = marked("no").length;
  $("#marked").textContent = `${yes} marked with it, ${no} without`;
  $("#unmark").disabled = !marks.size;
}

// Sends what changes the model, and returns the answer; the list of taught tags is then another.
async function change(path, content, action) {
  const tag = $("#new-tag").value.trim();
  if (!tag) { $("#new-tag").focus(); throw new Error(`Name the tag to ${action}.`); }
  const buttons = document.querySelectorAll("#teach button");
  for (const one of buttons) one.disabled = true;
  try {
    const found = await send(path, { tag, ...content });
    listTaught((await request("/library")).taught);
    return found;
  } finally {
    for (const one of buttons) one.disabled = false;
    count();
  }
}

// Returns what the model has learned; the marks are its examples from then on.
async function teach() {
  const found = await change("/teach", { yes: marked("yes"), no: marked("no") }, "teach");
  clearMarks();
  return found;
}

// The examples are marks again, so that the tag can be taught again.
async function forget() {
  const { tag, yes, no, missing } = await change("/teach/forget", {}, "forget");
  for (const id of yes) setMark(id, "yes");
  for (const id of no) setMark(id, "no");
  return `The model has forgotten ${tag}. ${yes.length} designs with it and ${no.length} without are marked again`
    + (missing ? `; ${missing} of its examples are not in this library.` : ".");
}

function listTaught(tags) {
  $("#taught").replaceChildren(...tags.map(tag => {
    const option = document.createElement("option");
    option.value = tag;
    return option;
  }));
}

// `taught`: the tags that the model was taught. `show` gets what was learned, `redraw` draws the marks anew, `doing`
// reports an action's errors.
export function setUpTeaching({ taught, show, redraw, doing, say }) {
  offered = true;
  listTaught(taught);
  $("#teach").hidden = false;
  for (const one of document.querySelectorAll("#library .teaching")) one.hidden = false;
  count();
  const start = () => doing(async () => {
    say("Teaching …");
    await show(await teach());
  });
  $("#teach").addEventListener("submit", event => { event.preventDefault(); start(); });
  $("#forget").addEventListener("click", () => doing(async () => {
    say("Forgetting …");
    say(await forget());
    redraw();
  }));
  $("#unmark").addEventListener("click", () => { clearMarks(); redraw(); });
  return { t: start, a: () => $("#new-tag").focus(), u: () => { undoMark(); redraw(); } };
}
