// Sends images, a few at a time, and retries when the gateway says so.
const maxBytes = Number(document.body.dataset.maxBytes);
const MAX_IN_FLIGHT = 2;
const STALLED_MS = 60_000; // without progress; the gateway itself answers within 29 s
const PATIENCE_MS = 300_000; // of retries before a person decides
const LONGEST_WAIT_S = 60;
const RETRYABLE = [429, 500, 502, 503, 504];
const UNAUTHORISED = [401, 403];

let pause = null; // while the gateway throttles: until when, the status, and the timer
let throttledSince = null; // since when it has answered with nothing but 429 or 503

let reading = Promise.resolve(); // files are read one after another, and so sent in their order
let unread = 0;

function enqueue(item) {
  setState(item, { kind: "queued" });
  if (item.body) return;
  unread += 1;
  reading = reading.then(() => prepare(item)).then(() => {
    unread -= 1;
    sendQueued();
  });
}

// Reads what is to be sent of a file, and rejects at once what the gateway would reject.
async function prepare(item) {
  if (item.state.kind !== "queued" || !images.includes(item)) return; // cancelled or removed meanwhile
  try {
    item.body = await bodyOf(item);
    if (item.choice) throw item.dicom.question;
  } catch ({ title = "Unreadable file", detail = "This file cannot be read. Choose it again.", again = false }) {
    setState(item, { kind: "problem", title, detail, again });
  }
}

// The bytes decide what a file is: browsers have several names for a type, or none.
async function bodyOf(item) {
  const { type, size } = item.file;
  if (size === 0) throw { title: "Empty file", detail: "This file has no content. Choose another." };
  const start = String.fromCharCode(...new Uint8Array(await item.file.slice(0, 132).arrayBuffer()));
  const isDicom = start.slice(128) === "DICM";
  if (isDicom) await loadDicom();
  const body = isDicom ? await readDicom(item) : item.file;
  if (body.size > maxBytes) throw { title: TITLES[413], detail: `This file has ${bytes(body.size)}; the limit is ${bytes(maxBytes)}. Choose a smaller image.` };
  if (!isDicom && !/^(\xff\xd8\xff|\x89PNG)/.test(start)) throw { title: TITLES[415], detail: `This file is ${type ? `of type ${printable(type)}` : "no image"}. Choose a JPEG, PNG or DICOM image.` };
  return body;
}

// The page's policy knows this script by its hash.
async function loadDicom() {
  if (window.readDicom) return;
  const code = await fetch(`${base}dicom.js`).then((response) => response.text()).catch(() => "");
  document.head.append(element("script", { textContent: code }));
  if (!window.readDicom) throw { title: "No answer", detail: "The code for DICOM files could not be loaded: reload the page.", again: true };
}

// Sends queued images, as many as may be in flight.
function sendQueued() {
  const queued = images.filter(({ state, body }) => state.kind === "queued" && body);
  if (pause || !queued.length || (unread && queued.length < MAX_IN_FLIGHT)) return;
  const missing = auth.missing(); // by the auth mode, see auth/
  if (missing) return queued.forEach((item) => setState(item, { kind: "problem", held: true, ...missing }));
  const free = MAX_IN_FLIGHT - images.filter(({ request }) => request).length;
  queued.slice(0, Math.max(free, 0)).forEach(send);
}

// The caller is authenticated now: send the images that waited for it.
function sendHeld() {
  for (const item of images) if (item.state.held) setState(item, { kind: "queued" });
  sendQueued();
}

function send(item) {
  const request = new XMLHttpRequest(); // fetch does not report upload progress
  let timer = null;
  let stalled = false;
  const restartTimer = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      stalled = true;
      request.abort();
    }, STALLED_MS);
  };
  const noAnswer = (title, detail) => setState(item, { kind: "problem", title, detail, again: true });
  item.request = request;
  request.open("POST", `${base}predict?heatmap=true${item.dicom?.query ?? ""}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  for (const [name, value] of Object.entries(auth.headers())) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded, total }) => {
    restartTimer();
    setState(item, { kind: "sending", loaded, total });
  };
  request.upload.onload = () => {
    restartTimer();
    setState(item, { kind: "predicting" });
  };
  request.onload = () => handleResponse(item, request);
  request.onerror = () => noAnswer("No answer", "The gateway could not be reached: check the connection.");
  request.onabort = () => (stalled ? noAnswer("No answer", "No data was transferred for a minute: check the connection.") : noAnswer("Cancelled", "This image was not classified."));
  request.onloadend = () => {
    clearTimeout(timer);
    item.request = null;
    sendQueued();
  };
  restartTimer();
  setState(item, { kind: "sending", loaded: 0, total: item.body.size });
  request.send(item.body);
}

function handleResponse(item, request) {
  const { preview, ...body } = parsed(request.responseText);
  const { status } = request;
  const problem = { kind: "problem", ...body, title: TITLES[status] || body.title || "No answer", detail: body.detail || "The answer cannot be read.", status, again: RETRYABLE.includes(status) || UNAUTHORISED.includes(status) };
  const seconds = Number(request.getResponseHeader("Retry-After"));
  const blocked = body.status !== status || request.getResponseHeader("X-Error-Type") === "WAF_FILTERED"; // by a proxy or the firewall
  if ([429, 503].includes(status) && seconds > 0) return pauseSending(item, problem, Math.min(seconds, LONGEST_WAIT_S));
  throttledSince = null;
  if (preview) item.dicom.place(preview);
  if (status === 200 && body.label) setState(item, { kind: "answer", ...body });
  else if (status === 422) setState(item, { ...problem, kind: "refusal" });
  else if (UNAUTHORISED.includes(status) && !blocked) setState(item, { ...problem, again: false, held: true, ...auth.rejected() });
  else setState(item, problem);
}

// The gateway throttles: nothing is sent until its Retry-After has passed, and after minutes a person decides.
function pauseSending(item, problem, seconds) {
  throttledSince ??= Date.now();
  clearTimeout(pause?.timer);
  pause = null;
  item.state = { kind: "queued" };
  const queued = images.filter(({ state }) => state.kind === "queued");
  if (Date.now() - throttledSince > PATIENCE_MS) return queued.forEach((each) => setState(each, problem));
  const wait = seconds * 1000 * (1 + Math.random() / 5); // so that pages do not all retry at the same moment
  pause = { until: Date.now() + wait, status: problem.status, timer: setTimeout(resumeSending, wait) };
  queued.forEach((each) => setState(each, each.state));
}

function resumeSending() {
  clearTimeout(pause?.timer);
  pause = null;
  sendQueued();
  if (current?.state.kind === "queued") showState(current.state); // queued, no longer paused
}

function cancel(item) {
  if (item.request) item.request.abort();
  else if (item.state.kind === "queued") setState(item, { kind: "problem", title: "Cancelled", detail: "This image was not classified.", again: true });
}

function retry(...items) {
  throttledSince = null;
  items.forEach(enqueue);
  sendQueued();
}
