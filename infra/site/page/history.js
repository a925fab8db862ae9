// Earlier answers, kept in this browser only and only on request. No image is kept.
const HISTORY = `history of ${base}`; // in local AWS several stages share one origin
const MAX_ENTRIES = 200;

// The entries, newest first; null if the history is off or the browser blocks storage.
function savedEntries() {
  try {
    const found = parsed(localStorage.getItem(HISTORY));
    return Array.isArray(found) ? found.filter((entry) => entry?.model && typeof entry.file === "string") : null;
  } catch {
    return null;
  }
}

function saveEntries(entries) {
  try {
    if (entries) localStorage.setItem(HISTORY, JSON.stringify(entries.slice(0, MAX_ENTRIES)));
    else localStorage.removeItem(HISTORY);
  } catch {
    $("about-history").textContent = "This browser stores nothing for this page: its settings forbid it, or its storage is full.";
  }
  showHistory();
}

function addToHistory({ name, state }) {
  const entries = savedEntries();
  if (!entries || state.kind !== "answer") return;
  const { label, probability, threshold, reliability, reasons, model, request_id } = state;
  saveEntries([{ file: name, at: Date.now(), kind: "answer", label, probability, threshold, reliability, reasons, model, request_id }, ...entries]);
}

function showHistory() {
  const entries = savedEntries();
  $("remember").checked = Boolean(entries);
  $("entries").hidden = !entries?.length;
  if (!entries) return;
  $("entry-count").textContent = `${entries.length} ${entries.length === 1 ? "answer" : "answers"}, at most ${MAX_ENTRIES} are kept`;
  $("entry-rows").replaceChildren(
    ...entries.map((entry) => {
      const row = element("tr", {});
      fillRow(row, entry.file, entry, `${new Date(entry.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })} · ${entry.model.name} version ${entry.model.version}`);
      return row;
    }),
  );
}

$("remember").addEventListener("change", ({ target }) => saveEntries(target.checked ? [] : null));
$("clear").addEventListener("click", () => {
  saveEntries([]);
  $("remember").focus();
});
$("entries-csv").addEventListener("click", () => download("tumor-detector-history.csv", savedEntries().map((entry) => csvFields(entry.file, entry))));
addEventListener("storage", showHistory); // another tab changed the history
