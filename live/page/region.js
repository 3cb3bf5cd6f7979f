"use strict";

// A region is drawn over the picture, and shown as the flag to use. It is in per
// cent of the picture: x, y, w, h.

const $ = id => document.getElementById(id);

const least = 16; // pixels of a region, each way: preprocess.MinSide
let box = null; // the region that is drawn
let choosing = false;
let corner = null; // where the pointer was put down
let outlined = ""; // what the program looks at, as -roi takes it

const between = (low, value, high) => Math.max(low, Math.min(value, high));

// mark outlines the program's region and the one that is drawn, on a canvas of the
// picture's size.
function mark(roi = "") {
  outlined = roi;
  const {width, height} = $("canvas"), marks = $("marks"), pen = marks.getContext("2d");
  marks.width = width; // which clears it
  marks.height = height;
  if (box) {
    pen.fillStyle = "#0009";
    pen.fillRect(0, 0, width, height);
    pen.clearRect(...pixels(box));
    outline(pen, box, []);
  }
  if (outlined) {
    const [x, y, w, h] = outlined.split(",").map((part, i) => part.endsWith("%") ? parseFloat(part) : part / (i % 2 ? height : width) * 100);
    outline(pen, {x, y, w, h}, [4, 4]);
  }
}

const pixels = ({x, y, w, h}) => {
  const {width, height} = $("canvas");
  return [x * width / 100, y * height / 100, w * width / 100, h * height / 100];
};

// outline draws in white within black, which shows on any picture.
function outline(pen, region, dashes) {
  const unit = Math.max(1, $("canvas").width / 320);
  for (const [colour, lines] of [["#000", 3], ["#fff", 1.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = lines * unit;
    pen.setLineDash(colour === "#fff" ? dashes.map(d => d * unit) : []);
    pen.strokeRect(...pixels(region));
  }
}

// point is where the pointer is in the picture, which fills its canvas in one
// direction only.
function point(event) {
  const {width, height} = $("canvas"), at = $("marks").getBoundingClientRect();
  const scale = Math.min(at.width / width, at.height / height);
  const along = (pointer, start, size, side) => between(0, ((pointer - start - size / 2) / (scale * side) + 0.5) * 100, 100);
  return [along(event.clientX, at.left, at.width, width), along(event.clientY, at.top, at.height, height)];
}

// choose sets the region, to whole per cents and not too small.
function choose(x, y, w, h) {
  const {width, height} = $("canvas");
  [x, y, w, h] = [x, y, w, h].map(Math.round);
  w = between(Math.ceil(least / width * 100), w, 100);
  h = between(Math.ceil(least / height * 100), h, 100);
  box = {x: between(0, x, 100 - w), y: between(0, y, 100 - h), w, h};
  show();
}

function show() {
  $("choose").setAttribute("aria-pressed", choosing);
  $("choose").textContent = choosing ? "Done" : "Choose region";
  $("frame").classList.toggle("choosing", choosing);
  $("region").hidden = box === null;
  $("region-help").hidden = !choosing;
  $("flag").value = box ? `-roi ${box.x}%,${box.y}%,${box.w}%,${box.h}%` : "";
  $("copy").textContent = "Copy";
  mark(outlined);
}

function drop() {
  choosing = false;
  box = corner = null;
  show();
}

$("choose").addEventListener("click", () => {
  choosing = !choosing;
  if (choosing && !box) choose(25, 25, 50, 50);
  show();
});

const marks = $("marks");
marks.addEventListener("pointerdown", event => {
  if (!choosing || !event.isPrimary) return;
  marks.setPointerCapture(event.pointerId);
  corner = point(event);
});
marks.addEventListener("pointermove", event => {
  if (!corner || !event.isPrimary) return;
  const [x, y] = point(event);
  choose(Math.min(x, corner[0]), Math.min(y, corner[1]), Math.abs(x - corner[0]), Math.abs(y - corner[1]));
});
for (const end of ["pointerup", "pointercancel"]) marks.addEventListener(end, () => { corner = null; });

document.addEventListener("keydown", event => {
  if (!choosing) return;
  const move = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (event.key === "Escape") drop();
  if (!move || event.target === $("flag")) return;
  event.preventDefault();
  const [dx, dy] = move, {x, y, w, h} = box;
  if (event.shiftKey) choose(x, y, Math.min(w + dx, 100 - x), Math.min(h + dy, 100 - y));
  else choose(x + dx, y + dy, w, h);
});

$("copy").addEventListener("click", async () => {
  $("flag").select();
  try {
    await navigator.clipboard.writeText($("flag").value);
  } catch { // without HTTPS there is no clipboard
    document.execCommand("copy");
  }
  $("copy").textContent = "Copied";
});
