// The ways in for an image, and which model there is to judge it.
const ASK_AGAIN_S = 5;
const ASK_AT_MOST_S = 60;

function warn({ kind, gates_failed: failed, forced }) {
  const lines = [];
  if (kind === "phantom") lines.push("Trained on drawn phantoms, not on MRI. This model has never seen a real image: what it says of one means nothing.");
  if (failed.length) lines.push(`This model did not pass its quality gates (${failed.join(", ")}) and serves ${forced ? `all the same. The reason given: ${forced}` : "for demonstration only."}`);
  $("warning").replaceChildren(...lines.map((line) => made("p", { textContent: line })));
  $("warning").hidden = lines.length === 0;
}

// Asked until one serves, less and less often.
async function askHealth(again = ASK_AGAIN_S) {
  const model = $("model");
  try {
    const response = await fetch(`${base}health`);
    const body = parsed(await response.text());
    if (!response.ok) throw new Error(response.status === 503 ? "It is asked again by itself." : body.detail || `Status ${response.status}.`);
    const { name, version, sha256 } = body.model;
    model.textContent = `Ready: ${name} version ${version}`;
    model.title = `sha256 ${sha256}`;
    model.className = "small up";
    warn(body.model);
  } catch (error) {
    model.textContent = `The model is not ready. ${error.message}`;
    model.className = "small down";
    setTimeout(askHealth, again * 1000, Math.min(again * 2, ASK_AT_MOST_S));
  }
}

$("limits").textContent = `JPEG or PNG, at most ${bytes(maxBytes)} each`;
for (const link of document.querySelectorAll("a[data-path]")) link.href = base + link.dataset.path;
$("file").addEventListener("change", ({ target }) => {
  take([...target.files]);
  target.value = ""; // so that the same file can be chosen again
});
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
showHistory();
askHealth();
