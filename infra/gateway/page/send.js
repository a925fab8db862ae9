// Sends images, a few at a time, and comes back where the gateway says when.
const imageTypes = document.body.dataset.imageTypes.split(",");
const maxBytes = Number(document.body.dataset.maxBytes);
const AT_ONCE = 2;
const STALLED_MS = 60_000; // without a sign of life; the gateway itself answers within 29 s
const PATIENCE_MS = 300_000; // of coming back before a person is asked
const LONGEST_WAIT_S = 60;
const MAY_PASS = [429, 500, 502, 503, 504];
const NOT_LET_IN = [401, 403];

let pause = null; // while the gateway wants no request: until when, what it said, and the timer
let refusedSince = null; // since when it has answered with nothing but "later"

// What the gateway would refuse is said at once; everything else is the model's to judge.
function faultOf({ type, size }) {
  if (type && !imageTypes.includes(type)) return { title: TITLES[415], detail: `This file says it is ${seen(type)}. Choose a JPEG or PNG image.` };
  if (size === 0) return { title: "Empty file", detail: "This file has no content. Choose another." };
  if (size > maxBytes) return { title: TITLES[413], detail: `This file has ${bytes(size)}; at most ${bytes(maxBytes)} are taken. Choose a smaller image.` };
  return null;
}

// Whatever may go off goes off.
function sendOn() {
  const queued = images.filter(({ state }) => state.kind === "queued");
  if (pause || !queued.length) return;
  const closed = access.closed(); // by the deployment's way in, in ways_in/
  if (closed) return queued.forEach((item) => become(item, { kind: "problem", held: true, ...closed }));
  const free = AT_ONCE - images.filter(({ request }) => request).length;
  queued.slice(0, Math.max(free, 0)).forEach(send);
}

// The way in is open now: send what waits for it.
function goOn() {
  for (const item of images) if (item.state.held) become(item, { kind: "queued" });
  sendOn();
}

function send(item) {
  const request = new XMLHttpRequest(); // fetch cannot tell how much of an upload is through
  let timer = null;
  let stalled = false;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      stalled = true;
      request.abort();
    }, STALLED_MS);
  };
  const unanswered = (title, detail) => become(item, { kind: "problem", title, detail, again: true });
  item.request = request;
  request.open("POST", `${base}predict?heatmap=true`);
  request.setRequestHeader("Content-Type", item.file.type || "application/octet-stream");
  for (const [name, value] of Object.entries(access.headers())) request.setRequestHeader(name, value);
  request.upload.onprogress = ({ loaded, total }) => {
    alive();
    become(item, { kind: "sending", loaded, total });
  };
  request.upload.onload = () => {
    alive();
    become(item, { kind: "looking" });
  };
  request.onload = () => settle(item, request);
  request.onerror = () => unanswered("No answer", "The gateway could not be reached: check the connection.");
  request.onabort = () => (stalled ? unanswered("No answer", "Nothing has moved for a minute: check the connection.") : unanswered("Cancelled", "This image was not judged."));
  request.onloadend = () => {
    clearTimeout(timer);
    item.request = null;
    sendOn();
  };
  alive();
  become(item, { kind: "sending", loaded: 0, total: item.file.size });
  request.send(item.file);
}

function settle(item, request) {
  const body = parsed(request.responseText);
  const { status } = request;
  const problem = { kind: "problem", ...body, title: TITLES[status] || body.title || "No answer", detail: body.detail || "The answer cannot be read.", status, again: MAY_PASS.includes(status) };
  const seconds = Number(request.getResponseHeader("Retry-After"));
  if ([429, 503].includes(status) && seconds > 0) return rest(item, problem, Math.min(seconds, LONGEST_WAIT_S));
  refusedSince = null;
  if (status === 200 && body.label) become(item, { kind: "answer", ...body });
  else if (status === 422) become(item, { ...problem, kind: "refusal" });
  else if (NOT_LET_IN.includes(status)) become(item, { ...problem, held: true, ...access.refused() });
  else become(item, problem);
}

// The gateway wants to be asked later: nothing goes off until then, and after minutes of it a person decides.
function rest(item, problem, seconds) {
  refusedSince ??= Date.now();
  clearTimeout(pause?.timer);
  pause = null;
  item.state = { kind: "queued" };
  const queued = images.filter(({ state }) => state.kind === "queued");
  if (Date.now() - refusedSince > PATIENCE_MS) return queued.forEach((each) => become(each, problem));
  const wait = seconds * 1000 * (1 + Math.random() / 5); // not all pages at the same moment
  pause = { until: Date.now() + wait, status: problem.status, timer: setTimeout(comeBackNow, wait) };
  queued.forEach((each) => become(each, each.state));
}

function comeBackNow() {
  clearTimeout(pause?.timer);
  pause = null;
  sendOn();
  if (current?.state.kind === "queued") read(current.state); // in line now, no longer waiting
}

function cancel(item) {
  if (item.request) item.request.abort();
  else if (item.state.kind === "queued") become(item, { kind: "problem", title: "Cancelled", detail: "This image was not judged.", again: true });
}

function tryAgain(...items) {
  refusedSince = null;
  for (const item of items) become(item, { kind: "queued" });
  sendOn();
}
