// Predictions that are answered later: the image is uploaded to S3, and its answer is asked for until it is there.
const QUEUE_TIMEOUT_MS = 1_800_000; // an instance may have to start
const answerOf = async (item, method, path) => {
  const headers = method === "POST" ? { ...auth.headers(), "Content-Type": "application/octet-stream" } : {};
  const response = await fetch(base + path, { method, headers, signal: item.request.signal });
  return { status: response.status, responseText: await response.text(), getResponseHeader: (name) => response.headers.get(name) };
};

// In place of the one request of upload.js.
async function send(item) {
  const stop = new AbortController();
  const failed = (title, detail) => setState(item, { kind: "problem", title, detail, again: true });
  item.request = { signal: stop.signal, abort: () => stop.abort() };
  setState(item, { kind: "sending", loaded: 0, total: item.body.size });
  try {
    let answer = await answerOf(item, "POST", `predictions?heatmap=true${item.dicom?.query ?? ""}`);
    if (answer.status !== 202) return handleResponse(item, answer);
    const { id, upload_url: url, upload_fields: fields } = parsed(answer.responseText);
    if (!(await uploaded(item, url, fields, stop.signal))) return failed("Not uploaded", "The image could not be uploaded: try again.");
    setState(item, { kind: "predicting" });
    const until = Date.now() + QUEUE_TIMEOUT_MS;
    for (let method = "POST"; Date.now() < until; ) {
      answer = await answerOf(item, method, `predictions/${id}`).catch(() => null);
      stop.signal.throwIfAborted();
      if (answer && ![202, 429, 503].includes(answer.status)) return handleResponse(item, answer);
      if (answer?.status === 202) method = "GET";
      await new Promise((done) => setTimeout(done, 1000 * (Number(answer?.getResponseHeader("Retry-After")) || 2)));
      stop.signal.throwIfAborted();
    }
    failed("No answer", "The image has waited for half an hour: try again later.");
  } catch {
    if (stop.signal.aborted) failed("Cancelled", "This image was not classified.");
    else failed("No answer", "The gateway could not be reached: check the connection.");
  } finally {
    item.request = null;
    sendQueued();
  }
}

// Whether S3 took the form; it expires.
function uploaded(item, url, fields, signal) {
  const request = new XMLHttpRequest();
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...fields, file: item.body })) form.append(name, value);
  request.open("POST", url);
  request.upload.onprogress = ({ loaded, total }) => setState(item, { kind: "sending", loaded, total });
  signal.addEventListener("abort", () => request.abort());
  return new Promise((done) => {
    request.onloadend = () => done(request.status >= 200 && request.status < 300);
    request.send(form);
  });
}
