// Requests to the server: the token typed in once, a full queue waited for, errors as exceptions.

export const $ = (selector, root = document) => root.querySelector(selector);

export function authorization() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

export async function ask(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...authorization() };
    const answer = await fetch(path, { ...options, headers });
    const content = await answer.json().catch(() => ({}));  // a proxy's error page is no JSON
    if (answer.status === 401) {
      await askForToken();
    } else if (answer.status === 503 && content.reason === "busy") {
      await new Promise(done => setTimeout(done, 1000 * (Number(answer.headers.get("Retry-After")) || 1)));
    } else {
      if (!answer.ok) throw new Error(content.message ?? `the server answered ${answer.status}`);
      return content;
    }
  }
}

function askForToken() {
  const dialog = $("#token");
  return new Promise(done => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem("token", $("#token-text").value);
      done();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}
