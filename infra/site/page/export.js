// Answers as rows, on the page and in a CSV file.
const COLUMNS = ["file", "answer", "probability", "threshold", "score", "score_threshold", "status", "detail", "model", "version", "sha256", "request_id"]; // as in scripts/predict
// A spreadsheet evaluates text that begins like this as a formula (OWASP: CSV injection).
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]/;

// One image's state in a few words, for the page and for CSV.
function summary({ kind, label, probability, threshold, reliability, reasons, title, detail }) {
  if (kind === "answer") return { answer: label, probability: percent(probability), threshold: percent(threshold), remark: reliability ? `Low reliability: ${reasons.join(" ")}` : "" };
  if (kind === "refusal") return { answer: "refused", probability: "", threshold: "", remark: detail };
  if (kind === "problem") return { answer: "failed", probability: "", threshold: "", remark: `${title}. ${detail}` };
  return { answer: { queued: "queued", sending: "sending", predicting: "classifying" }[kind], probability: "", threshold: "", remark: "" };
}

// Fills a table row with one image's name and state.
function fillRow(row, name, state, remark = summary(state).remark) {
  const { answer, probability, threshold } = summary(state);
  row.className = answer;
  row.style.setProperty("--probability", state.probability);
  row.style.setProperty("--threshold", state.threshold);
  const bar = probability ? [element("span", { className: "bar", ariaHidden: "true" }, element("i", {}), element("u", {}))] : [];
  row.replaceChildren(
    element("th", { scope: "row" }, element("bdi", { textContent: printable(name) }), ...(remark ? [element("span", { className: "small", textContent: remark })] : [])),
    element("td", { textContent: answer }),
    element("td", { className: "number" }, probability, ...bar),
    element("td", { className: "number line", textContent: threshold }),
  );
}

// One image's fields in the order of COLUMNS.
function csvFields(file, state) {
  const { kind, probability, threshold, score, score_threshold, status, detail, model, request_id } = state;
  const { answer, remark } = summary(state);
  return [file, answer, probability, threshold, score, score_threshold, kind === "answer" ? 200 : status, detail ?? remark, model?.name, model?.version, model?.sha256, request_id];
}

function csvField(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// RFC 4180, with the byte-order mark by which a spreadsheet recognises UTF-8.
function csv(rows) {
  return `\ufeff${[COLUMNS, ...rows].map((row) => `${row.map(csvField).join(",")}\r\n`).join("")}`;
}

function download(name, rows) {
  const href = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv;charset=utf-8" }));
  element("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
