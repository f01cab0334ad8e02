// The tab "Tag": designs dropped on the page, and their suggested tags. No build step, no library.

import { $, request } from "./request.js";
import { normaliseTag } from "./tags.js";

const designs = [];        // {name, file, url, tags: [{tag, score, threshold, mark}], answers: Map, item}
let vocabulary = new Set();
let levels = new Map();  // of the tags that are paths
let names = new Map();   // of tags in the chosen language
let current = -1;

const named = tag => names.get(tag) ?? tag;
const kindOf = file => file.type.startsWith("image/") ? file.type : "application/x-image";

// ---------- files ----------

const waiting = [];
let working = 0;

function take(files) {
  const images = [...files].filter(file =>
    file.type.startsWith("image/") || /\.(png|jpe?g|webp|gif|svg|tiff?|bmp|avif)$/i.test(file.name));
  for (const file of images) {
    const design = { name: file.webkitRelativePath || file.name, file, url: URL.createObjectURL(file),
      tags: null, answers: new Map(), problem: "" };
    designs.push(design);
    addItem(design);
    waiting.push(design);
  }
  if (!images.length) say("None of these files is an image.");
  $("#tools").hidden = designs.length === 0;
  if (current < 0 && designs.length) focusOn(0, false);
  while (working < 2 && waiting.length) work();
}

async function work() {
  working++;
  while (waiting.length) {
    const design = waiting.shift();
    try {
      const form = new FormData();
      form.append("image", design.file, design.name);
      const answer = (await request("/tag?all=true", { method: "POST", body: form })).images[0];
      if (answer.problem) design.problem = answer.problem.message;
      else design.tags = answer.tags;
    } catch (error) {
      design.problem = error.message;
    }
    show(design);
    const done = designs.filter(one => one.tags || one.problem).length;
    say(done < designs.length ? `${done} of ${designs.length} designs tagged …`
      : `${done} design${done === 1 ? "" : "s"} tagged.`);
  }
  working--;
}

async function filesOf(items) {
  const found = [];
  const walk = async entry => {
    if (entry.isFile) {
      found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
    } else if (entry.isDirectory) {
      const reader = entry.createReader();
      for (;;) {  // a reader returns a hundred at a time
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) break;
        for (const child of some) await walk(child);
      }
    }
  };
  const entries = [...items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  for (const entry of entries) await walk(entry);
  return found;
}

// ---------- designs and their tags ----------

const LEVELS = ["most confident only", "probable", "suggested", "more", "every tag"];

function visible(design) {
  const level = Number($("#few").value);
  const shown = design.tags.filter((one, rank) => {
    if (design.answers.has(one.tag)) return true;
    if (level === 0) return one.mark === "apply";
    if (level === 1) return one.mark && one.score >= 0.5 || one.mark === "apply";
    if (level === 2) return Boolean(one.mark);
    if (level === 3) return Boolean(one.mark) || rank < 10;
    return true;
  });
  const known = new Set(design.tags.map(one => one.tag));
  for (const [tag, yes] of design.answers)
    if (yes && !known.has(tag)) shown.push({ tag, score: null, mark: null, fresh: !vocabulary.has(tag) });
  return shown;
}

function addItem(design) {
  const item = $("#design").content.firstElementChild.cloneNode(true);
  design.item = item;
  $("img", item).src = design.url;
  $("img", item).alt = design.name;
  $("h2", item).textContent = design.name;
  item.addEventListener("focusin", () => { current = designs.indexOf(design); });
  $(".add", item).addEventListener("submit", event => {
    event.preventDefault();
    const field = $("input", item);
    const typed = normaliseTag(field.value);
    const tag = [...names].find(([, name]) => normaliseTag(name) === typed)?.[0] ?? typed;
    if (tag) { design.answers.set(tag, true); show(design); }
    field.value = "";
  });
  $("#designs").append(item);
}

function show(design) {
  const item = design.item, problem = $(".problem", item), list = $(".tags", item);
  problem.hidden = !design.problem;
  problem.textContent = design.problem ? `No tags: ${design.problem}` : "";
  const focused = list.contains(document.activeElement)
    ? [...list.children].findIndex(one => one.contains(document.activeElement)) : -1;
  list.replaceChildren();
  for (const one of design.tags ? visible(design) : []) list.append(tagItem(design, one));
  if (focused >= 0) $(".yes", list.children[Math.min(focused, list.children.length - 1)] ?? item)?.focus();
}

function tagItem(design, one) {
  const item = $("#tag").content.firstElementChild.cloneNode(true);
  const tag = $(".hangtag", item), yes = $(".yes", item), no = $(".no", item);
  const answer = design.answers.get(one.tag);
  const score = one.score === null ? "" : `${Math.round(100 * one.score)} %`;
  tag.classList.toggle("apply", one.mark === "apply");
  tag.classList.toggle("accepted", answer === true);
  tag.classList.toggle("rejected", answer === false);
  tag.classList.toggle("new", Boolean(one.fresh));
  $(".name", item).textContent = named(one.tag);
  $(".score", item).textContent = score;
  $(".bar", item).hidden = one.score === null;
  $(".bar span", item).style.width = `${100 * (one.score ?? 0)}%`;
  const status = one.mark === "apply" ? "confident enough to apply automatically"
    : one.mark === "suggest" ? "suggested" : "unlikely";
  yes.title = one.score === null ? "added by you" : `${status}; threshold ${Math.round(100 * one.threshold)} %`;
  yes.setAttribute("aria-pressed", String(answer === true));
  no.setAttribute("aria-pressed", String(answer === false));
  no.setAttribute("aria-label", `reject ${named(one.tag)}`);
  yes.addEventListener("click", () => decide(design, one.tag, true));
  no.addEventListener("click", () => decide(design, one.tag, false));
  if (one.score !== null) {
    item.addEventListener("mouseenter", () => look(design, one.tag));
    item.addEventListener("mouseleave", () => look(design, null));
  }
  return item;
}

function decide(design, tag, yes) {
  if (design.answers.get(tag) === yes) design.answers.delete(tag);
  else design.answers.set(tag, yes);
  show(design);
}

// Where the model looked: how much of the score is lost when an area of the design is covered.
const looks = new Map();
let looking = null;

async function look(design, tag) {
  const canvas = $(".look", design.item), key = `${designs.indexOf(design)} ${tag}`;
  looking = tag === null ? null : key;
  canvas.width = canvas.width;  // clears it
  if (tag === null) return;
  await new Promise(resolve => setTimeout(resolve, 120));  // not when the mouse only passes
  if (looking !== key) return;
  if (!looks.has(key)) looks.set(key, request(`/look?tag=${encodeURIComponent(tag)}`, {
    method: "POST", body: design.file, headers: { "Content-Type": kindOf(design.file) } }));
  let map;
  try { map = await looks.get(key); } catch { looks.delete(key); return; }
  if (looking !== key) return;
  const side = map.weights.length;
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  map.weights.forEach((row, y) => row.forEach((weight, x) => {
    pen.fillStyle = `rgba(214, 51, 108, ${0.75 * weight})`;
    pen.fillRect(x, y, 1, 1);
  }));
}

// ---------- export ----------

const finalTags = design => {
  const level = visible(design).filter(one => design.answers.get(one.tag) !== false);
  // Two tags may have one name; the better one comes first.
  const best = [...new Map(level.toReversed().map(one => [named(one.tag), one])).entries()].toReversed();
  return best.map(([name, one]) => ({ tag: name, score: one.score, mark: one.mark,
    ...(design.answers.get(one.tag) ? { accepted: true } : {}) }));
};
const tagged = () => designs.filter(design => design.tags);
const joined = tags => tags.map(one => one.tag).join(";");
const quoted = text => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
const escaped = text => text.replace(/[<>&"']/g, sign => `&#${sign.charCodeAt(0)};`);

const writers = {
  // As `hangtag tag --out tags.csv`; a tag that a person accepted or added has no score.
  csv: () => ["image,tags,scores,apply", ...tagged().map(design => {
    const tags = finalTags(design);
    return [design.name, joined(tags), tags.map(one => one.accepted ? "" : one.score).join(";"),
      joined(tags.filter(one => one.mark === "apply"))].map(quoted).join(",");
  })].join("\n") + "\n",
  jsonl: () => tagged().map(design =>
    JSON.stringify({ image: design.name, tags: finalTags(design) }) + "\n").join(""),
  text: () => tagged().map(design =>
    (designs.length > 1 ? `${design.name}: ` : "") + finalTags(design).map(one => one.tag).join(", ")).join("\n"),
};

const list = items => items.length ? `<rdf:Bag>${items.join("")}</rdf:Bag>` : "";
const bag = texts => list(texts.map(text => `<rdf:li>${escaped(text)}</rdf:li>`));
const levelsOf = one => levels.get(one.tag) ?? [one.tag];

// The fields and marks of `hangtag tag --xmp`: what a person accepted or added has no mark.
function xmp(design) {
  const tags = finalTags(design), paths = tags.map(levelsOf);
  const subjects = [...new Set(paths.map(path => path.at(-1)))];
  // `hangtag import xmp` reads these whole, and not as several tags.
  const whole = subjects.filter(text => /[;；؛|&]/.test(text));
  const marks = tags.filter(one => !one.accepted).map(one => "<rdf:li"
    + ` hangtag:tag="${escaped(one.tag)}" hangtag:score="${one.score.toFixed(4)}"`
    + ` hangtag:model="${escaped(health.identity)}"`
    + (levels.has(one.tag) ? ` hangtag:subject="${escaped(levelsOf(one).at(-1))}"/>` : "/>"));
  const fields = [
    ["dc", "subject", "http://purl.org/dc/elements/1.1/", bag(subjects)],
    ["lr", "hierarchicalSubject", "http://ns.adobe.com/lightroom/1.0/", bag(paths.map(path => path.join("|")))],
    ["digiKam", "TagsList", "http://www.digikam.org/ns/1.0/", bag(paths.map(path => path.join("/")))],
    ["MicrosoftPhoto", "LastKeywordXMP", "http://ns.microsoft.com/photo/1.0/",
      bag(paths.map(path => path.join("/")))],
    ["hangtag", "whole", "urn:hangtag:xmp/1.0/", bag(whole)],
    ["hangtag", "tags", "urn:hangtag:xmp/1.0/", list(marks)],
  ].filter(([, , , content]) => content).map(([prefix, name, space, content]) =>
    ` <rdf:Description rdf:about="" xmlns:${prefix}="${space}">`
    + `<${prefix}:${name}>${content}</${prefix}:${name}></rdf:Description>\n`);
  return `<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n`
    + `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n${fields.join("")}`
    + `</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>\n`;
}

async function save(kind) {
  if (kind === "copy") {
    await navigator.clipboard.writeText(writers.text());
    say("Copied.");
  } else if (kind === "xmp") {
    for (const design of tagged())
      download(`${design.name.split("/").pop()}.xmp`, xmp(design), "application/rdf+xml");
  } else {
    download(`tags.${kind}`, writers[kind](), kind === "csv" ? "text/csv" : "application/x-ndjson");
  }
}

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// ---------- mouse and keyboard ----------

const say = text => { $("#status").textContent = text; };

function focusOn(index, really = true) {
  if (!designs.length) return;
  current = Math.max(0, Math.min(designs.length - 1, index));
  if (really) designs[current].item.focus();
}

function moveTag(step) {
  const buttons = [...designs[current].item.querySelectorAll(".yes")];
  if (!buttons.length) return;
  const index = buttons.findIndex(button => button.closest("li").contains(document.activeElement));
  buttons[Math.max(0, Math.min(buttons.length - 1, index + step))].focus();
}

function press(kind) {
  const item = document.activeElement.closest?.(".tags > li");
  if (item) $(kind, item).click();
}

const keys = {
  j: () => focusOn(current + 1), k: () => focusOn(current - 1),
  ArrowRight: () => moveTag(1), ArrowLeft: () => moveTag(-1),
  y: () => press(".yes"), n: () => press(".no"),
  a: () => $(".add input", designs[current].item).focus(),
  "+": () => setLevel(Number($("#few").value) + 1), "-": () => setLevel(Number($("#few").value) - 1),
  c: () => save("copy"), o: () => $("#files").click(),
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#token").open || $("#tagging").hidden) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") focusOn(current);
    return;
  }
  const key = keys[event.key];
  if (key && (designs.length || event.key === "o")) { event.preventDefault(); key(); }
});

function setLevel(level) {
  $("#few").value = level;
  $("#level").textContent = LEVELS[Number($("#few").value)];
  for (const design of designs) show(design);
}

function setLanguage(language) {
  const own = tags.map(one => [one.tag, one.names[language]]).filter(([, name]) => name);
  names = new Map(own);
  levels = new Map(tags.filter(one => one.levels.length).map(one => {
    const name = named(one.tag);
    return [name, name === one.tag ? one.levels : name.split("/")];
  }).filter(([, parts]) => parts.length > 1));
  $("#vocabulary").replaceChildren(...tags.map(one => {
    const option = document.createElement("option");
    option.value = named(one.tag);
    return option;
  }));
  for (const design of designs) show(design);
}

const drop = $("#drop");
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, event => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
document.addEventListener("drop", async event => {
  const entries = await filesOf(event.dataTransfer.items);
  take(entries.length ? entries : event.dataTransfer.files);
});
document.addEventListener("paste", event => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
});
$("#choose").addEventListener("click", () => $("#files").click());
$("#choose-folder").addEventListener("click", () => $("#folder").click());
for (const field of [$("#files"), $("#folder")])
  field.addEventListener("change", () => { take(field.files); field.value = ""; });
$("#few").addEventListener("input", () => setLevel($("#few").value));
document.querySelectorAll("[data-save]").forEach(button =>
  button.addEventListener("click", () => save(button.dataset.save)));
$("#clear").addEventListener("click", () => {
  for (const design of designs) URL.revokeObjectURL(design.url);
  designs.length = waiting.length = 0;
  looks.clear();
  current = -1;
  $("#designs").replaceChildren();
  $("#tools").hidden = true;
  say("");
});

setLevel(2);
const [health, tags] = await Promise.all([request("/healthz"), request("/tags")]);
$("#model").textContent = `${health.model}, ${health.tags} tags`;
vocabulary = new Set(tags.map(one => one.tag));
const languages = [...new Set(tags.flatMap(one => Object.keys(one.names)))].sort();
const shown = new Intl.DisplayNames([navigator.language], { type: "language" });
$("#language").append(...languages.map(code => {
  const option = document.createElement("option");
  option.value = code;
  option.textContent = shown.of(code);
  return option;
}));
$("#languages").hidden = !languages.length;
$("#language").addEventListener("change", () => setLanguage($("#language").value));
setLanguage("");
