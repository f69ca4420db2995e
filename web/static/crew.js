// A crew's phone on a bad connection: what was reported is kept on the phone and sent as soon as
// the site answers, in order, once. Without this script the forms work as plain forms.

const token = document.body.dataset.crew;
const $ = (selector) => document.querySelector(selector);
const DATABASE = "forewatt-crew", STORE = "kept", RETRY_MS = 5000, PHOTO_PX = 1600, ANSWER_MS = 15000;

// -- what is kept ------------------------------------------------------------------------------

function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "n", autoIncrement: true });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

async function store(mode, act) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const asked = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

const mine = async () => (await store("readonly", (s) => s.getAll())).filter((x) => x.token === token);
const keep = (item) => store("readwrite", (s) => s.add({ ...item, token, at: Date.now() }));
const drop = (n) => store("readwrite", (s) => s.delete(n));

// -- sending -----------------------------------------------------------------------------------

function send(item) {
  const headers = { accept: "application/json" };
  let body;
  if (item.photo) {
    body = item.photo;
    headers["content-type"] = "image/jpeg";
  } else {
    const waited = ((Date.now() - item.at) / 1000).toFixed(1);
    body = new URLSearchParams({ ...item.fields, waited_s: waited });
  }
  return fetch(`/crew/${token}/${item.act}`, { method: "POST", headers, body, signal: AbortSignal.timeout(ANSWER_MS) });
}

let busy = false;

async function sendAll() {
  if (busy) return;
  busy = true;
  let sent = 0;
  try {
    for (const item of await mine()) {
      let answer;
      try {
        answer = await send(item);
      } catch {
        break; // no connection: it stays, and is tried again
      }
      if (answer.status >= 500 || answer.status === 429) break;
      if (!answer.ok) complain((await answer.json().catch(() => ({}))).detail ?? String(answer.status));
      await drop(item.n);
      sent += answer.ok ? 1 : 0;
    }
  } finally {
    busy = false;
    await show();
  }
  if (sent) await refresh();
}

function complain(text) {
  const box = $("#trouble");
  box.textContent = text;
  box.hidden = false;
  box.scrollIntoView({ block: "center" });
}

async function show() {
  const waiting = await mine();
  const bar = $("#kept");
  bar.hidden = waiting.length === 0;
  bar.textContent = waiting.length === 1 ? bar.dataset.one : bar.dataset.many.replace("#", waiting.length);
  document.body.dataset.waiting = waiting.length;
  // What is on its way need not be pressed twice.
  for (const form of document.querySelectorAll("form[data-act]")) {
    if (form.dataset.act === "note") continue;
    const kept = waiting.some((x) => x.act === form.dataset.act);
    for (const button of form.querySelectorAll("button")) button.disabled = kept;
  }
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const trouble = $("#trouble"), text = trouble.hidden ? "" : trouble.textContent;
    $("#main").replaceWith(document.adoptNode(fresh.querySelector("#main")));
    if (text) complain(text);
    prepare();
    await show();
  } catch {
    // the page stays as it is; the bar says what waits
  }
}

// -- forms -------------------------------------------------------------------------------------

async function smaller(file) {
  // Turned upright, scaled and written anew: small enough for a bad connection, and without
  // the position that the camera has noted in it.
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, PHOTO_PX / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
}

async function submitted(event) {
  const form = event.target;
  event.preventDefault();
  try {
    if (form.dataset.act) {
      const fields = Object.fromEntries(new FormData(form));
      fields.key = crypto.getRandomValues(new Uint32Array(4)).join("-");
      await keep({ act: form.dataset.act, fields });
    } else {
      await keep({ act: "photo", photo: await smaller(form.querySelector("input[type=file]").files[0]) });
    }
    form.reset();
  } catch {
    form.submit(); // nothing can be kept here (private window): as a plain form, then
    return;
  }
  await show();
  await sendAll();
}

function prepare() {
  for (const form of document.querySelectorAll("form[data-act], form[data-photo]")) form.onsubmit = submitted;
}

prepare();
show().then(sendAll);
addEventListener("online", sendAll);
setInterval(sendAll, RETRY_MS);

// The page itself opens without connection once it has been seen; gone when the work is over.
if ("serviceWorker" in navigator) {
  if (document.body.dataset.over) caches.delete("forewatt-crew");
  else navigator.serviceWorker.register("/crew-worker.js", { scope: "/crew/" }).catch(() => {});
}
