"use strict";

const connectionLost = 4000; // ms without a word from the server
const announceEvery = 2000; // ms: faster changes of label would only be noise to listeners
const leak = 0.001; // ms per ms: clocks drift apart by less

const now = () => performance.now();
const sleep = ms => new Promise(done => setTimeout(done, ms));
const percent = prob => (prob * 100).toFixed(prob < 0.1 ? 1 : 0) + " %";
const say = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

let state = null; // of the server
let stateAt = -Infinity; // when it came; all times are on the clock of now()
let capturedAt = null; // the picture that is shown
let paused = false;

const cameraStates = {starting: "starting", streaming: "live", stalled: "sends nothing", missing: "not connected", error: "does not work"};
const remedies = {
  stalled: "The camera sends nothing. It is being restarted.",
  missing: "The camera is not connected. It is used as soon as it is back.",
  error: "The camera does not work. It is tried again.",
};

// The address bar need not show the token: the cookie has it.
if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", location.pathname);

// --- Events ---

function listen() {
  const source = new EventSource("api/events");
  source.addEventListener("state", message => {
    state = JSON.parse(message.data);
    stateAt = now();
    showState();
    tune();
  });
  source.addEventListener("result", message => showResult(JSON.parse(message.data)));
  source.addEventListener("teach", message => showTaught(JSON.parse(message.data)));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED && !document.hidden) setTimeout(relisten, 5000);
  });
  return source;
}

let source = null;
function relisten() {
  source?.close();
  source = document.hidden ? null : listen();
}

// --- Picture ---

// parts yields the headers and the file of each part of a multipart stream.
async function* parts(reader) {
  let data = new Uint8Array(0);
  async function more() {
    const {value, done} = await reader.read();
    if (done) throw new Error("the stream has ended");
    const longer = new Uint8Array(data.length + value.length);
    longer.set(data);
    longer.set(value, data.length);
    data = longer;
  }
  const headEnd = () => data.findIndex((byte, i) => byte === 13 && data[i + 1] === 10 && data[i + 2] === 13 && data[i + 3] === 10);
  for (;;) {
    let end;
    while ((end = headEnd()) < 0) await more();
    const head = new TextDecoder().decode(data.subarray(0, end));
    const header = name => Number(new RegExp("^" + name + ": (.*)$", "im").exec(head)[1]);
    const start = end + 4, stop = start + header("Content-Length");
    while (data.length < stop) await more();
    yield {header, file: data.slice(start, stop)};
    data = data.slice(stop);
  }
}

// watch shows pictures until the stream ends. How long a picture took to come
// is known but for a constant, since clocks differ: the fastest is taken as
// instant.
async function watch(signal) {
  const response = await fetch("stream.mjpg", {signal});
  if (!response.ok) throw new Error(await response.text());
  let fastest = Infinity, before = now();
  for await (const {header, file} of parts(response.body.getReader())) {
    const arrived = now(), delay = arrived - header("X-Sent-Ms");
    fastest = Math.min(fastest + leak * (arrived - before), delay);
    before = arrived;
    const bitmap = await createImageBitmap(new Blob([file], {type: "image/jpeg"}));
    if (signal.aborted) return;
    draw(bitmap);
    capturedAt = arrived - header("X-Age-Ms") - (delay - fastest);
    tick();
  }
}

function draw(bitmap) {
  const canvas = $("canvas");
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  mark(state.roi);
}

// tune starts and ends the stream as it is wanted.
let stream = null;
function tune() {
  const wanted = !paused && !document.hidden && connected() && !state.stale;
  if (!wanted) {
    stream?.abort();
    stream = null;
  } else if (!stream) {
    const mine = stream = new AbortController();
    watch(mine.signal)
      .catch(() => {})
      .then(() => sleep(1000))
      .then(() => { if (stream === mine) stream = null; });
  }
}

const connected = () => now() - stateAt < connectionLost;

// --- What is shown ---

function showResult(result) {
  if (paused) return;
  const list = $("labels");
  while (list.children.length > result.top.length) list.lastChild.remove();
  while (list.children.length < result.top.length) list.append(newLabel());
  result.top.forEach((entry, i) => {
    const [text, track] = list.children[i].children;
    text.children[0].textContent = entry.label;
    text.children[1].textContent = percent(entry.prob);
    track.firstChild.style.width = entry.prob * 100 + "%";
  });
  $("nothing").hidden = result.top.length > 0;
  announce(result.independent ? result.top.filter(entry => entry.prob >= 0.5) : result.top.slice(0, 1));
}

function element(tag, className, ...children) {
  const e = document.createElement(tag);
  e.className = className;
  e.append(...children);
  return e;
}

function newLabel() {
  const track = element("div", "track", element("div", "bar"));
  track.setAttribute("aria-hidden", "true");
  return element("li", "", element("div", "text", element("span", "label"), element("span", "prob")), track);
}

let announced = "", announcedAt = -Infinity;
function announce(seen) {
  const labels = seen.map(entry => entry.label).join(", ");
  if (!labels || labels === announced || now() - announcedAt < announceEvery) return;
  announced = labels;
  announcedAt = now();
  say("announcement", seen.map(entry => entry.label + ", " + Math.round(entry.prob * 100) + " percent").join("; "));
}

function showState() {
  const {camera, result} = state;
  document.title = [state.host, state.model, "edge-classify"].filter(Boolean).join(" · ");
  say("host", state.host || "edge-classify");
  say("runs", state.model ?? "");
  say("rate", state.fps.toFixed(1) + " results per second");
  say("age-ms", result ? spread(state.age_ms) : "–");
  say("infer-ms", result ? spread(state.infer_ms) : "–");
  say("frames", `${camera.frames} received, ${camera.dropped} lost, ${camera.corrupt} damaged, restarted ${camera.restarts}×`);
  const slowed = result?.throttled ?? [];
  say("temperature", (result?.temperature_c ? result.temperature_c.toFixed(1) + " °C" : "unknown") + (slowed.length ? ", slowed down: " + slowed.join(", ") : ""));
  $("temperature").classList.toggle("warning", slowed.length > 0);
  say("model", state.model ?? "–");
  say("kernel", state.kernel ?? "–");
  say("version", state.version ? "edge-classify " + state.version : "");
  journal("history", state.history, e => e.label);
  journal("watched", state.watched, e => (e.event === "start" ? "in view: " : "gone: ") + e.label);
  $("watched-title").hidden = state.watched.length === 0;
  $("no-history").hidden = state.history.length > 0;
  $("outlined").hidden = !state.roi || capturedAt === null;
  showWatch();
  if (result && $("labels").children.length === 0) showResult(result);
  tick();
}

const spread = ms => `${Math.round(ms.p50)} ms, 99 of 100 within ${Math.round(ms.p99)} ms`;

function showWatch() {
  $("watch").hidden = state.watch.length === 0;
  $("watch-labels").replaceChildren(...state.watch.map(w => {
    const since = w.since ? " since " + new Date(w.since).toLocaleTimeString() : "";
    return element("li", w.in_view ? "seen" : "", element("span", "label", w.label), element("span", "note", (w.in_view ? "in view" : "not in view") + since));
  }));
}

function journal(id, entries, text) {
  const lines = entries.map(e => {
    const time = element("time", "", new Date(e.time).toLocaleTimeString());
    time.dateTime = e.time;
    return element("li", "", time, element("span", "label", text(e)), element("span", "prob", percent(e.prob)));
  });
  $(id).replaceChildren(...lines);
}

function seconds(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 120) return Math.round(s) + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  return Math.round(s / 3600) + " h";
}

// trouble is why no picture can be shown as live, or nothing.
function trouble() {
  if (!connected()) return stateAt < 0 ? "Connecting" : "No connection since " + seconds(now() - stateAt);
  const limit = state.stale_after_ms || Infinity;
  const frame = state.since_ms + now() - stateAt; // since the server's newest
  const camera = [remedies[state.camera.state], plain(state.camera.error)].filter(Boolean).map(line => "\n" + line).join("");
  if (!state.result) return "Waiting for the first picture" + camera;
  if (state.stale || frame > limit) return "No picture for " + seconds(frame) + camera;
  if (capturedAt === null) return "Waiting for the picture";
  if (now() - capturedAt > limit) return "No picture for " + seconds(now() - capturedAt);
  return "";
}

// plain is what a program said, without the number that it ended with.
const plain = error => (error ?? "").replace(/(exit status \d+|signal: [a-z ]+)(: )?/g, "").replace(/[: ]+$/, "");

let troubled = false;
function tick() {
  const why = paused && connected() ? "" : trouble();
  $("overlay").hidden = why === "";
  say("overlay", why);
  for (const id of ["labels", "watch-labels"]) $(id).classList.toggle("old", why !== "");
  if (troubled !== (why !== "")) {
    troubled = why !== "";
    announced = ""; // what is said next takes its place
    say("announcement", troubled ? why : "The picture is live");
  }
  const age = capturedAt === null ? "no picture" : "picture is " + seconds(now() - capturedAt) + " old";
  $("choose").disabled = capturedAt === null;
  $("still").toggleAttribute("inert", why !== "");
  say("age", (paused ? "paused, " : "") + age);
  showCamera();
}

function showCamera() {
  const camera = state?.camera;
  const now = connected() ? camera.state || "starting" : "";
  $("camera").dataset.state = now;
  say("camera-state", now ? cameraStates[now] ?? now : "no connection");
  const size = camera?.width ? `, ${camera.width}×${camera.height} ${camera.format}, ${camera.fps.toFixed(0)} fps` : "";
  say("camera-about", camera ? camera.device + size : "");
}

// --- Controls ---

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  if (!paused) capturedAt = null; // what stood still is old
  tune();
  tick();
});

document.addEventListener("visibilitychange", () => {
  stateAt = -Infinity;
  capturedAt = null;
  relisten();
  tune();
});

relisten();
setInterval(() => { tune(); tick(); }, 250);
