// Answers as rows, on the page and in a CSV file.
const COLUMNS = ["file", "answer", "probability", "threshold", "score", "score_threshold", "status", "detail", "model", "version", "sha256", "request_id"]; // as scripts/predict has them
// A spreadsheet would take a text that begins so for a formula, and run it (OWASP: CSV injection).
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]/;

// What the page and a file say of one image, in a few words.
function summary({ kind, label, probability, threshold, title, detail }) {
  if (kind === "answer") return { answer: label, probability: percent(probability), threshold: percent(threshold), remark: "" };
  if (kind === "refusal") return { answer: "refused", probability: "", threshold: "", remark: detail };
  if (kind === "problem") return { answer: "failed", probability: "", threshold: "", remark: `${title}. ${detail}` };
  return { answer: { queued: "in line", sending: "sending", looking: "asking" }[kind], probability: "", threshold: "", remark: "" };
}

// Fill a table's row with one image's name and what is known of it.
function fill(row, name, state, remark = summary(state).remark) {
  const { answer, probability, threshold } = summary(state);
  row.className = answer;
  row.style.setProperty("--probability", state.probability);
  row.style.setProperty("--threshold", state.threshold);
  const bar = probability ? [made("span", { className: "bar", ariaHidden: "true" }, made("i", {}), made("u", {}))] : [];
  row.replaceChildren(
    made("th", { scope: "row" }, made("bdi", { textContent: seen(name) }), ...(remark ? [made("span", { className: "small", textContent: remark })] : [])),
    made("td", { textContent: answer }),
    made("td", { className: "number" }, probability, ...bar),
    made("td", { className: "number line", textContent: threshold }),
  );
}

// One image's fields in the order of COLUMNS.
function record(file, state) {
  const { kind, probability, threshold, score, score_threshold, status, detail, model, request_id } = state;
  return [file, summary(state).answer, probability, threshold, score, score_threshold, kind === "answer" ? 200 : status, detail, model?.name, model?.version, model?.sha256, request_id];
}

function field(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// RFC 4180, with the mark by which a spreadsheet knows UTF-8.
function csv(rows) {
  return `\ufeff${[COLUMNS, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("")}`;
}

function download(name, rows) {
  const href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv;charset=utf-8" }));
  made("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
