"use strict";

// The panel that teaches. It shows what the server says is taught, and asks for
// changes; what comes of them comes back as a state.

const enough = 8; // photographs of a label to begin with
const patience = 10000; // ms for the server to answer
const holdAgain = 1000; // ms between two words about a button that is held
const shortPress = 1000; // ms that a press lasts at least, unless it has got its photograph
const retry = 3000; // ms until a photograph that did not come is asked for again

let taught = null; // the server's TeachState
let held = null; // what is being collected by this page: {label, since, from, ending, again}
let orders = Promise.resolve(); // to the server, one behind the other
let waiting = 0; // of them
const cards = new Map(); // of labels

// --- Talking to the server ---

// wish asks the server for a change, and shows what it says against it.
function wish(name, body = {}) {
  waiting++;
  const order = orders.then(async () => {
    const response = await fetch("api/teach/" + name, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
      keepalive: true, signal: AbortSignal.timeout(patience),
    }).catch(() => { throw new Error("There is no connection to the program."); });
    if (response.status === 401) throw new Error("The token is needed again: load the page anew.");
    if (!response.ok) throw new Error((await response.text()).replace(/^([a-z]+: )+/, "").trim());
    return true;
  }).catch(error => {
    tell(error.message, true);
    return false;
  }).finally(() => waiting--);
  orders = order;
  return order;
}

// tell shows and speaks a message.
function tell(text, bad = false) {
  say("teach-said", text);
  $("teach-said").classList.toggle("warning", bad);
}

const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
const photographs = n => count(n, "photograph");

// --- What is shown ---

function showTaught(now) {
  const before = taught;
  taught = now;
  taught.labels ??= [];
  $("teach").hidden = false;
  document.body.classList.add("teaching");
  const focused = document.activeElement, inControls = $("teach-controls").contains(focused);
  showCards();
  showTraining(before);
  showUse(before);
  const failed = $("teach-said").classList.contains("warning"); // which is still to be read
  if (before?.collecting && !taught.collecting && !failed) tell(`${before.collecting}: ${photographs(countOf(before.collecting))}`);
  say("teach-full", taught.full ?? "");
  if (taught.full && taught.full !== before?.full) tell(taught.full, true);
  if (focused !== document.body && !usable(document.activeElement)) {
    const next = inControls ? ["teach-cancel", "teach-use", "teach-train", "teach-undo"].map($).find(usable) ?? $("teach-title") : $("teach-name");
    next.focus();
  }
}

// usable tells whether an element can have the focus, which moves on to what there is
// to do next from one that is gone.
const usable = e => e !== document.body && !e.disabled && !e.closest("[hidden]");

function showCards() {
  const names = taught.labels.map(label => label.name);
  const gone = [...cards.keys()].filter(name => !names.includes(name)), come = names.filter(name => !cards.has(name));
  if (gone.length === 1 && come.length === 1) renameCard(...gone, ...come);
  else gone.forEach(dropCard);
  taught.labels.forEach((label, i) => {
    if (!cards.has(label.name)) cards.set(label.name, newCard(label.name));
    const card = cards.get(label.name);
    if ($("taught").children[i] !== card.box) $("taught").insertBefore(card.box, $("taught").children[i] ?? null);
    showCard(card, label);
  });
  if (held && !names.includes(held.label)) release(true);
  if (held?.ending && countOf(held.label) > held.from) release(true);
}

const countOf = name => taught.labels.find(label => label.name === name)?.count ?? 0;

function dropCard(name) {
  cards.get(name).box.remove();
  cards.delete(name);
}

// rename keeps the card, and with it the focus.
function renameCard(from, to) {
  const card = cards.get(from);
  cards.delete(from);
  cards.set(to, card);
  card.name = to;
  card.list.replaceChildren();
  card.thumbs.clear();
  nameCard(card);
}

function newButton(className, text, click) {
  const button = element("button", className, text);
  button.type = "button";
  if (click) button.addEventListener("click", click);
  return button;
}

function newCard(name) {
  const card = {
    name, thumbs: new Map(), title: element("h3", "label"), count: element("span", "note"), hint: element("p", "note"),
    list: element("ol", "thumbs"), hold: newButton("hold", ""),
    rename: newButton("", "Rename", () => askRename(card.name)), remove: newButton("", "Remove", () => askRemove(card.name)),
  };
  card.box = element("li", "card", element("div", "about", card.title, card.count), element("div", "buttons", card.hold, card.rename, card.remove), card.hint, card.list);
  listenHold(card);
  card.list.addEventListener("keydown", event => moveAlong(card.list, event));
  nameCard(card);
  return card;
}

function nameCard(card) {
  card.title.textContent = card.name;
  card.hold.textContent = "Hold to collect";
  card.hold.setAttribute("aria-label", `Hold to collect ${card.name}`);
  card.rename.setAttribute("aria-label", `Rename ${card.name}`);
  card.remove.setAttribute("aria-label", `Remove ${card.name}`);
  card.list.setAttribute("aria-label", `Photographs of ${card.name}, newest first`);
}

function showCard(card, label) {
  const collecting = taught.collecting === label.name || held?.label === label.name;
  card.box.classList.toggle("collecting", collecting);
  card.hold.setAttribute("aria-pressed", collecting);
  const older = label.count - (label.ids ?? []).length;
  write(card.count, photographs(label.count) + (older > 0 ? `, ${older} older ones are not shown` : ""));
  write(card.hint, hint(label.count));
  showThumbs(card, label.ids ?? []);
}

const write = (e, text) => { if (e.textContent !== text) e.textContent = text; };

function hint(n) {
  if (n === 0) return "Hold the button while the camera sees it.";
  if (n < enough) return `${enough} or more of each work best. Press several times, with it at different angles.`;
  return "Enough to begin with. Other angles, distances and backgrounds make it surer.";
}

function showThumbs(card, ids) {
  const {list, thumbs} = card, wanted = new Set(ids);
  let focused = -1; // place of the focus, if that is on one that is gone
  [...list.children].forEach((thumb, i) => {
    if (wanted.has(thumb.dataset.id)) return;
    if (thumb.contains(document.activeElement)) focused = i;
    thumbs.delete(thumb.dataset.id);
    thumb.remove();
  });
  let next = list.firstChild;
  for (const id of ids) {
    if (next?.dataset.id === id) {
      next = next.nextSibling;
      continue;
    }
    if (!thumbs.has(id)) thumbs.set(id, newThumb(card.name, id));
    list.insertBefore(thumbs.get(id), next);
  }
  list.hidden = ids.length === 0;
  if (focused >= 0) (stopAt(list, Math.min(focused, ids.length - 1)) ?? card.hold).focus();
  else if (!list.contains(document.activeElement)) stopAt(list, 0);
}

function newThumb(label, id) {
  const picture = element("img", "");
  picture.loading = "lazy";
  picture.decoding = "async";
  picture.alt = "";
  picture.width = 112;
  picture.height = 84;
  const source = `api/teach/sample.jpg?label=${encodeURIComponent(label)}&id=${encodeURIComponent(id)}`;
  picture.src = source;
  picture.addEventListener("error", () => setTimeout(() => { if (picture.isConnected) picture.src = source; }, retry));
  const thumb = element("li", "", picture);
  thumb.dataset.id = id;
  const remove = newButton("delete", "×", async () => {
    if (thumb.classList.contains("old")) return; // asked already
    thumb.classList.add("old");
    if (await wish("delete", {label, id})) tell(`Photograph of ${label} deleted`);
    else thumb.classList.remove("old");
  });
  remove.setAttribute("aria-label", `Delete photograph of ${label}`);
  remove.tabIndex = -1; // one of them is a stop of Tab, arrow keys go to the others
  thumb.append(remove);
  return thumb;
}

// stopAt makes a photograph's button the stop of Tab, and returns it if there is one.
function stopAt(list, i) {
  const button = list.children[i]?.querySelector("button");
  if (!button || button.tabIndex === 0) return button;
  list.querySelectorAll("button[tabindex='0']").forEach(other => { other.tabIndex = -1; });
  button.tabIndex = 0;
  return button;
}

function moveAlong(list, event) {
  const all = [...list.children], at = all.findIndex(thumb => thumb.contains(event.target));
  const to = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1}[event.key];
  if (to === undefined) return;
  event.preventDefault();
  stopAt(list, between(0, to, all.length - 1)).focus();
}

// --- Press and hold ---

function press(label) {
  if (held?.label === label) {
    held.ending = false;
    return;
  }
  release(true);
  tell("");
  const mine = held = {label, since: now(), from: countOf(label), ending: false};
  const hold = async () => { if (!await wish("collect", {label, on: true}) && held === mine) stop(); };
  mine.again = setInterval(() => { if (waiting === 0) hold(); }, holdAgain);
  hold();
  showCards();
}

// release ends collecting, at once or when the press has got a photograph.
function release(atOnce = false) {
  if (!held) return;
  const rest = shortPress - (now() - held.since);
  if (!atOnce && rest > 0 && countOf(held.label) === held.from) {
    const mine = held;
    mine.ending = true;
    setTimeout(() => { if (held === mine && mine.ending) release(true); }, rest);
    return;
  }
  const {label} = held;
  stop();
  wish("collect", {label, on: false});
}

function stop() {
  clearInterval(held.again);
  held = null;
  showCards();
}

// listenHold takes a pointer or a key that is held. A click that comes of neither,
// such as a screen reader's, begins, and a second one ends.
function listenHold(card) {
  const button = card.hold;
  let by = null; // pointer or key that holds the button
  button.addEventListener("pointerdown", event => {
    if (!event.isPrimary || event.button !== 0) return;
    by = event.pointerId;
    press(card.name);
    try {
      button.setPointerCapture(event.pointerId);
    } catch {} // a pointer that a screen reader makes up
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    button.addEventListener(end, event => {
      if (by !== event.pointerId) return;
      by = null;
      release(end === "pointercancel");
    });
  }
  button.addEventListener("keydown", event => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault(); // no click, no scrolling
    if (event.repeat) return;
    by = event.key;
    press(card.name);
  });
  button.addEventListener("keyup", event => {
    if (by !== event.key) return;
    event.preventDefault();
    by = null;
    release();
  });
  button.addEventListener("click", event => {
    if (event.detail !== 0) return; // a pointer's
    if (held?.label === card.name) release();
    else press(card.name);
  });
  button.addEventListener("blur", () => {
    by = null;
    if (held?.label === card.name) release(true);
  });
  button.addEventListener("contextmenu", event => event.preventDefault());
}

window.addEventListener("blur", () => release(true));
window.addEventListener("pagehide", () => release(true));
document.addEventListener("visibilitychange", () => { if (document.hidden) release(true); });

// --- Labels ---

$("teach-add").addEventListener("submit", async event => {
  event.preventDefault();
  const label = $("teach-name").value.trim();
  if (!label || !await wish("add", {label})) return;
  $("teach-name").value = "";
  tell(`${label} added`);
});

// ask opens the dialog, and returns what was entered, or null.
function ask(question, action, text) {
  say("teach-question", question);
  say("teach-do", action);
  const dialog = $("teach-ask"), input = $("teach-to"), naming = text !== undefined;
  input.hidden = !naming;
  input.required = naming;
  input.value = text ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  if (naming) input.select();
  (naming ? input : $("teach-keep")).focus();
  return new Promise(done => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "do" ? input.value.trim() : null), {once: true});
  });
}

$("teach-ask").addEventListener("submit", event => {
  event.preventDefault();
  $("teach-ask").close("do");
});
$("teach-keep").addEventListener("click", () => $("teach-ask").close());

async function askRename(label) {
  const to = await ask(`What should ${label} be called?`, "Rename", label);
  if (to && to !== label && await wish("rename", {label, to})) tell(`${label} is called ${to}`);
}

async function askRemove(label) {
  const n = countOf(label);
  const yes = await ask(`Remove ${label}${n ? ` and its ${photographs(n)}` : ""}? This cannot be undone.`, "Remove");
  if (yes !== null && await wish("remove", {label})) tell(`${label} removed`);
}

// --- Training and use ---

function showTraining(before) {
  const {training: t} = taught, progress = $("teach-progress");
  say("teach-missing", taught.missing ? "Before training: " + taught.missing + "." : "");
  $("teach-missing").hidden = !taught.missing;
  $("teach-train").hidden = t.running;
  $("teach-train").disabled = Boolean(taught.missing);
  $("teach-cancel").hidden = $("teach-training").hidden = !t.running;
  say("teach-step", "Training" + (t.step ? ": " + t.step : ""));
  if (t.total > 0) {
    progress.max = t.total;
    progress.value = t.done;
  } else progress.removeAttribute("value");
  if (before && before.training.running !== t.running) tell(...outcome(t));
  else if (!before && t.error) tell(...outcome(t));
  showOutcome(t);
}

function outcome(t) {
  if (t.running) return ["Training has begun"];
  if (t.error) return ["Training failed: " + t.error.replace(/^([a-z]+: )+/, ""), true];
  return ["Training has ended"];
}

// showOutcome says how well it went, in words.
function showOutcome(t) {
  const lines = [...t.warnings ?? []], suspects = t.suspects ?? [];
  $("teach-result").hidden = t.running || !(taught.trained || t.of > 0 || lines.length);
  say("teach-accuracy", t.of > 0
    ? `${Math.round(t.accuracy * t.of)} of ${photographs(t.of)} were recognized by what was learnt from the others. Of 100 further ones like them, expect ${range(t.low, t.high)}.`
    : "How well it works can be told where each label has photographs of several presses.");
  if (suspects.length) lines.push(`${photographs(suspects.length)} may be under the wrong label: see the ones with a dashed frame.`);
  $("teach-warnings").replaceChildren(...lines.map(line => element("li", "", line)));
  document.querySelectorAll(".thumbs .suspect").forEach(thumb => thumb.classList.remove("suspect"));
  for (const {label, id} of suspects) cards.get(label)?.thumbs.get(id)?.classList.add("suspect");
}

const range = (low, high) => `${Math.floor(low * 100)} to ${Math.ceil(high * 100)}`;

function showUse(before) {
  $("teach-use").hidden = !taught.trained || taught.training.running;
  $("teach-undo").hidden = !taught.can_undo;
  $("teach-export").hidden = !taught.labels.some(label => label.count > 0);
  const what = taught.in_use ? `taught classifier ${taught.in_use}` : "the model's own labels";
  say("teach-in-use", `In use: ${what}.` + (taught.base_changed ? " What was taught is for another model: train again to use it with this one." : ""));
  if (before && before.in_use !== taught.in_use) tell(`In use: ${what}`);
}

$("teach-train").addEventListener("click", () => wish("train"));
$("teach-cancel").addEventListener("click", () => wish("cancel"));
$("teach-use").addEventListener("click", () => wish("use"));
$("teach-undo").addEventListener("click", () => wish("undo"));
