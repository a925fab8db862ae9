"use strict";
const $ = (id) => document.getElementById(id);
// The stage's address works with and without its last slash, so nothing here may be relative to it.
const base = location.pathname.replace(/\/*$/, "/");
const imageTypes = document.body.dataset.imageTypes.split(",");
const maxBytes = Number(document.body.dataset.maxBytes);
// What a status means to a person; the problem's own detail says the rest.
const TITLES = { 0: "No answer", 401: "Not let in", 403: "Not let in", 413: "Too large", 415: "Not a JPEG or PNG", 429: "Busy", 502: "The model failed", 503: "Not ready yet", 504: "Too slow" };
const MAY_PASS = [0, 429, 500, 502, 503, 504];
const NOT_LET_IN = [401, 403];
const COOL = [[32, 92, 168], [140, 214, 255]]; // evidence for NO, from some to much
const WARM = [[226, 88, 34], [255, 236, 140]]; // evidence for YES

let chosen = null; // the file that is shown
let sending = null; // the request under way
let waiting = false; // whether the chosen file is to be sent once its sender is let in

function show(state, spoken) {
  for (const view of document.querySelectorAll("[data-state]")) view.hidden = view.dataset.state !== state;
  if ($("status").textContent !== spoken) $("status").textContent = spoken; // else it would be spoken again
}

function bytes(count) {
  const kib = Math.ceil(count / 1024);
  return kib < 1024 ? `${kib}\u00a0KiB` : `${Math.ceil(kib / 102.4) / 10}\u00a0MiB`; // up, so that too large looks so
}

function percent(share) {
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  if (share < 1 && share > 0.999) return ">\u00a099.9\u00a0%";
  return `${(share * 100).toFixed(1)}\u00a0%`;
}

// Parsed JSON, or nothing where a hop between answered with something else.
function parsed(text) {
  try {
    return JSON.parse(text) || {};
  } catch {
    return {};
  }
}

function take(files) {
  const [file, ...others] = files;
  if (!file) return;
  sending?.abort(); // also where this one is not sent: its place is taken
  chosen = file;
  waiting = false;
  preview(file, others.length);
  const fault = faultOf(file);
  if (fault) fail(fault);
  else classify(file);
}

// What the gateway would refuse is said at once; everything else is the model's to judge.
function faultOf(file) {
  if (file.type && !imageTypes.includes(file.type)) return { title: TITLES[415], detail: `This file says it is ${file.type}. Choose a JPEG or PNG image.` };
  if (file.size === 0) return { title: "Empty file", detail: "This file has no content. Choose another." };
  if (file.size > maxBytes) return { title: TITLES[413], detail: `This file has ${bytes(file.size)}; at most ${bytes(maxBytes)} are taken. Choose a smaller image.` };
  return null;
}

function preview(file, others) {
  const image = $("image");
  URL.revokeObjectURL(image.src);
  drawHeatmap(null);
  $("frame").hidden = true;
  image.src = URL.createObjectURL(file);
  image.alt = `Preview of ${file.name}`;
  $("caption").textContent = `${file.name} · ${bytes(file.size)}` + (others ? ` · one image at a time: ${others} more left out` : "");
  $("drop").hidden = true;
  $("view").hidden = false;
}

function classify(file) {
  const closed = access.closed(); // by the deployment's way in, in ways_in/
  waiting = Boolean(closed);
  if (closed) return fail(closed);
  const request = new XMLHttpRequest(); // fetch cannot tell how much of an upload is through
  sending = request;
  request.open("POST", `${base}predict?heatmap=true`);
  request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  for (const [name, value] of Object.entries(access.headers())) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded, total }) => busy("Sending the image…", loaded / total);
  request.upload.onload = () => busy("The model is looking…");
  request.onload = () => {
    const body = parsed(request.responseText);
    const { status } = request;
    const problem = { ...body, detail: body.detail || "The answer cannot be read.", status };
    waiting = NOT_LET_IN.includes(status);
    if (status === 200 && body.label) tell(body);
    else if (waiting) fail({ request_id: body.request_id, ...(access.refused() || problem) });
    else (status === 422 ? decline : fail)(problem);
  };
  request.onerror = () => fail({ status: 0, detail: "The gateway could not be reached: check the connection." });
  request.onabort = () => show("idle", "");
  busy("Sending the image…", 0);
  request.send(file);
}

// The way in is open now: send what waits for it.
function goOn() {
  if (waiting) classify(chosen);
}

function busy(doing, share) {
  const progress = $("progress");
  if (share === undefined || share === 1) progress.removeAttribute("value");
  else progress.value = share;
  $("doing").textContent = doing;
  show("busy", doing);
}

function tell({ label, probability, threshold, model, heatmap, request_id }) {
  const yes = label === "YES";
  const answer = $("answer");
  answer.className = yes ? "YES" : "NO";
  answer.style.setProperty("--probability", probability);
  answer.style.setProperty("--threshold", threshold);
  $("label").textContent = label;
  $("gloss").textContent = yes ? "the model sees a tumour" : "the model sees no tumour";
  $("probability").textContent = percent(probability);
  $("threshold").textContent = `YES from ${percent(threshold)}`;
  $("bar").setAttribute("aria-label", `Probability ${percent(probability)}; the model says YES from ${percent(threshold)} on.`);
  $("words").textContent =
    `The model gives a tumour a probability of ${percent(probability)}, which is ${yes ? "at or above" : "below"} the ${percent(threshold)} ` +
    "from which it says YES. That threshold was chosen on validation data and belongs to the model, which can be wrong either way.";
  $("by").textContent = `${model.name} version ${model.version} · request ${request_id}`;
  drawHeatmap(heatmap, threshold);
  show("answer", `${label}: ${$("gloss").textContent}, probability ${percent(probability)}.`);
  reveal();
}

// On a phone the reading stands below the image.
function reveal() {
  $("reading").scrollIntoView({ block: "nearest" });
}

// No error: the model says that it cannot tell.
function decline({ detail, score, score_threshold: needed, request_id }) {
  $("reason").textContent = detail;
  $("scored").hidden = score === undefined; // refused by a rule, which needs no score
  if (score !== undefined) {
    $("refusal").style.setProperty("--probability", score);
    $("refusal").style.setProperty("--threshold", needed);
    $("score").textContent = percent(score);
    $("needed").textContent = `judged from ${percent(needed)}`;
    $("likeness").setAttribute("aria-label", `Likeness to a brain MRI ${percent(score)}; the model judges from ${percent(needed)} on.`);
  }
  $("refused").textContent = request_id ? `Request ${request_id}.` : "";
  show("refusal", `The model cannot judge this image. ${detail}`);
  reveal();
}

function fail({ title, detail, status, request_id }) {
  $("title").textContent = TITLES[status] || title;
  $("detail").textContent = detail;
  $("reference").textContent = [status && `Status ${status}`, request_id && `request ${request_id}`].filter(Boolean).join(" · ");
  $("again").hidden = !MAY_PASS.includes(status);
  show("problem", `${$("title").textContent}. ${detail}`);
  reveal();
}

// One canvas pixel a value, stretched by the browser over exactly the image's area.
function drawHeatmap(heatmap, threshold) {
  const canvas = $("heatmap");
  canvas.hidden = $("heat").hidden = !heatmap;
  if (!heatmap) return;
  canvas.width = heatmap.width;
  canvas.height = heatmap.height;
  const pixels = new ImageData(heatmap.width, heatmap.height);
  heatmap.values.flat().forEach((value, at) => pixels.data.set(colour(value, threshold), at * 4));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  fade();
}

// A value is the probability if the whole image looked like its cell: warm is what would then be YES.
function colour(value, threshold) {
  // -1 all for NO, 0 neither, 1 all for YES; a threshold of 1 has nothing above it.
  const lean = (value < threshold ? value / threshold - 1 : (value - threshold) / (1 - threshold)) || 0;
  const share = Math.abs(lean);
  const [some, much] = lean < 0 ? COOL : WARM;
  return [...some.map((low, channel) => low + (much[channel] - low) * share), 255 * share];
}

function fade() {
  $("heatmap").style.opacity = $("opacity").value / 100;
  $("shown").textContent = `${$("opacity").value} %`;
}

function warn({ kind, gates_failed: failed, forced }) {
  const lines = [];
  if (kind === "phantom") lines.push("Trained on drawn phantoms, not on MRI. This model has never seen a real image: what it says of one means nothing.");
  if (failed.length) lines.push(`This model did not pass its quality gates (${failed.join(", ")}) and serves ${forced ? `all the same. The reason given: ${forced}` : "for demonstration only."}`);
  $("warning").replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
  $("warning").hidden = lines.length === 0;
}

async function askHealth() {
  const model = $("model");
  try {
    const response = await fetch(`${base}health`);
    const body = parsed(await response.text());
    if (!response.ok) throw new Error(body.detail || `status ${response.status}`);
    const { name, version, sha256 } = body.model;
    model.textContent = `Serving ${name} version ${version} · sha256 ${sha256.slice(0, 12)}…`;
    model.className = "small up";
    warn(body.model);
  } catch (error) {
    model.textContent = `It is not known whether a model serves: ${error.message}`;
    model.className = "small down";
  }
}

$("limits").textContent = `JPEG or PNG, at most ${bytes(maxBytes)}`;
for (const link of document.querySelectorAll("a[data-path]")) link.href = base + link.dataset.path;
$("image").addEventListener("load", ({ target }) => {
  $("frame").style.setProperty("--ratio", target.naturalWidth / target.naturalHeight);
  $("frame").hidden = false;
});
$("file").addEventListener("change", ({ target }) => {
  take([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
$("opacity").addEventListener("input", fade);
$("cancel").addEventListener("click", () => sending.abort());
$("again").addEventListener("click", () => classify(chosen));
document.addEventListener("paste", ({ clipboardData }) => take([...clipboardData.files]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  take([...event.dataTransfer.files]);
});
askHealth();
