// Keeps what a page shows of what moves up to date, by an event stream while it can.
const root = document.querySelector("[data-topics]");
const topics = root?.dataset.topics ?? "";
const query = `topics=${encodeURIComponent(topics)}`;
const POLL_MIN = 10_000;
const POLL_MAX = 60_000;
const quarters = new Map();
let source = null;
let poll = 0;
let wait = POLL_MIN;

function say(text) {
  const place = root.querySelector("[data-announce]");
  if (place) place.textContent = text;
}

function note(text) {
  const place = root.querySelector("[data-live-note] span");
  if (place) place.textContent = text;
}

function showState(cell, value) {
  const template = document.querySelector(`template[data-state="${CSS.escape(value)}"]`);
  if (template) cell.replaceChildren(template.content.cloneNode(true));
}

// Puts a part of the page as it is now in the place of what is shown. A document is parsed for us:
// no text becomes HTML here, which the policy forbids.
function renew(part, version) {
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document";
  request.addEventListener("load", () => {
    const found = request.response?.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
    if (!found) return;
    // Somebody who is at a link of it would lose the place; it is renewed when they leave it.
    if (part.contains(document.activeElement)) return late.set(part, version);
    part.replaceChildren(...found.childNodes);
    part.dataset.version = found.dataset.version;
    say(`New ${part.dataset.part}.`);
  });
  request.send();
}

const late = new Map();
addEventListener("focusout", () => {
  setTimeout(() => {
    for (const [part, version] of late) {
      if (part.contains(document.activeElement)) continue;
      late.delete(part);
      renew(part, version);
    }
  });
});

function apply(topic, value) {
  for (const row of root.querySelectorAll(`[data-topic="${CSS.escape(topic)}"]`)) {
    if ("part" in row.dataset) {
      if (value !== null && row.dataset.version !== value) renew(row, value);
      continue;
    }
    if (value === null) {
      row.remove();
      continue;
    }
    const before = row.querySelector('[data-value="state"]')?.textContent.trim();
    for (const cell of row.querySelectorAll("[data-value]")) {
      const name = cell.dataset.value;
      if (name === "state") {
        if (before !== value.state) showState(cell, value.state);
      } else if (cell.textContent !== String(value[name])) {
        cell.textContent = value[name];
      }
    }
    const bar = row.querySelector("progress");
    if (bar) bar.value = value.percent;
    if (before !== value.state) {
      say(`${row.dataset.name} export: ${value.state}`);
      if ("reload" in row.dataset && before) location.reload();
    }
    const quarter = Math.floor(value.percent / 25);
    if (quarters.has(topic) && quarters.get(topic) < quarter) {
      say(`${row.dataset.name} export: ${value.percent} %`);
    }
    quarters.set(topic, quarter);
  }
  note(`As of ${new Date().toLocaleTimeString("en-GB")}.`);
}

async function ask() {
  const answer = await fetch(`/console/live?${query}`).catch(() => null);
  if (answer?.status === 204) return signedOut();
  if (answer?.ok) {
    for (const [topic, value] of Object.entries(await answer.json())) apply(topic, value);
    wait = POLL_MIN;
  } else {
    note("The server does not answer now.");
    wait = Math.min(POLL_MAX, wait * 2);
  }
  poll = setTimeout(ask, wait);
}

function signedOut() {
  note("Signed out.");
  const link = root.querySelector("[data-live-note] a");
  if (link) link.textContent = "Sign in";
}

function open() {
  if (source || poll) return;
  source = new EventSource(`/console/events?${query}`);
  const take = (event) => {
    const { topic, value } = JSON.parse(event.data);
    apply(topic, value);
  };
  source.addEventListener("state", take);
  source.addEventListener("gone", take);
  source.addEventListener("error", () => {
    // A stream that ended comes back by itself; one that was refused does not.
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      ask();
    }
  });
}

function close() {
  source?.close();
  source = null;
  clearTimeout(poll);
  poll = 0;
}

if (topics) {
  // A tab that nobody sees holds no connection: a browser has six for a server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
