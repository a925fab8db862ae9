// How images come in, and which model serves.
const CHECK_AGAIN_S = 5;
const LONGEST_CHECK_S = 60;

function showWarnings({ kind, gates_failed: failed, forced }) {
  const lines = [];
  if (kind === "phantom") lines.push("Trained on drawn phantoms, not on MRI. This model has never seen a real image: its answers mean nothing.");
  if (failed.includes("several_sources")) lines.push("Trained on images of one source: figures inside one source do not hold on others.");
  if (failed.length) lines.push(`This model did not pass its quality gates (${failed.join(", ")}) and serves ${forced ? `nevertheless. The reason given: ${forced}` : "for demonstration only."}`);
  $("warning").replaceChildren(...lines.map((line) => element("p", { textContent: line })));
  $("warning").hidden = lines.length === 0;
}

// Checked until a model is in service, with growing pauses.
async function checkHealth(again = CHECK_AGAIN_S) {
  const model = $("model");
  try {
    const response = await fetch(`${base}health`);
    const body = parsed(await response.text());
    if (!response.ok) throw new Error(response.status === 503 ? "The page keeps checking." : body.detail || `Status ${response.status}.`);
    const { name, version, sha256 } = body.model;
    model.textContent = `Ready: ${name} version ${version}`;
    model.title = `sha256 ${sha256}`;
    model.className = "small up";
    showWarnings(body.model);
  } catch (error) {
    model.textContent = `The model is not ready. ${error.message}`;
    model.className = "small down";
    setTimeout(checkHealth, again * 1000, Math.min(again * 2, LONGEST_CHECK_S));
  }
}

// The files in what was dropped, folders within folders included, in the order of their names.
async function filesIn(entry) {
  if (!entry || entry.name.startsWith(".")) return []; // text, or a file that the system hides
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  const next = () => new Promise((done, failed) => reader.readEntries(done, failed)); // about 100
  for (let some = await next(); some.length; some = await next()) found.push(...some);
  found.sort((one, other) => one.name.localeCompare(other.name, [], { numeric: true }));
  return (await Promise.all(found.map(filesIn))).flat();
}

$("limits").textContent = `JPEG, PNG or DICOM, at most ${bytes(maxBytes)} each`;
for (const link of document.querySelectorAll("a[data-path]")) link.href = base + link.dataset.path;
$("file").addEventListener("change", ({ target }) => {
  addFiles([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
document.addEventListener("paste", ({ clipboardData }) => addFiles([...clipboardData.files]));
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
  const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry());
  if (entries.some((entry) => entry?.isDirectory)) Promise.all(entries.map(filesIn)).then((files) => addFiles(files.flat()));
  else addFiles([...event.dataTransfer.files]);
});
showHistory();
checkHealth();
