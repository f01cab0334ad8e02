// Requests to the server: asks once for the token, retries when the server is busy, throws errors.

export const $ = (selector, root = document) => root.querySelector(selector);

export function authorization() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...authorization() };
    const response = await fetch(path, { ...options, headers });
    const content = await response.json().catch(() => ({}));  // a proxy's error page is not JSON
    if (response.status === 401) {
      await askForToken();
    } else if (response.status === 503 && content.reason === "busy") {
      await new Promise(resolve => setTimeout(resolve, 1000 * (Number(response.headers.get("Retry-After")) || 1)));
    } else {
      if (!response.ok) throw new Error(content.message ?? `the server answered ${response.status}`);
      return content;
    }
  }
}

function askForToken() {
  const dialog = $("#token");
  return new Promise(resolve => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem("token", $("#token-text").value);
      resolve();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

export const send = (path, content) => request(path, {
  method: "POST", body: JSON.stringify(content), headers: { "Content-Type": "application/json" } });

// Shows the tab that the address names; `opened` are actions for the first time each is shown.
const TABS = { "#review": "#review", "#library": "#library" };
const opened = new Map();

export function addTab(name, action) {
  $(`#to-${name}`).hidden = false;
  $("#tabs").hidden = false;
  opened.set(`#${name}`, action);
  return showTab();
}

async function showTab() {
  const known = opened.has(location.hash) ? TABS[location.hash] : "#tagging";
  for (const [main, link] of [["#tagging", "#to-tag"], ["#review", "#to-review"], ["#library", "#to-library"]]) {
    $(main).hidden = main !== known;
    if (main === known) $(link).setAttribute("aria-current", "page"); else $(link).removeAttribute("aria-current");
  }
  await opened.get(location.hash)?.();
}

window.addEventListener("hashchange", showTab);
