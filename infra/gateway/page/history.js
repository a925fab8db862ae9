// Earlier answers, in this browser alone and only where a person asked for it. No image is kept.
const HISTORY = `history of ${base}`; // on a laptop several stages share one origin
const LONGEST = 200;

// What is kept, newest first; nothing where nobody asked for it, or the browser lets no page keep anything.
function entriesKept() {
  try {
    const found = parsed(localStorage.getItem(HISTORY));
    return Array.isArray(found) ? found.filter((entry) => entry?.model && typeof entry.file === "string") : null;
  } catch {
    return null;
  }
}

function keep(entries) {
  try {
    if (entries) localStorage.setItem(HISTORY, JSON.stringify(entries.slice(0, LONGEST)));
    else localStorage.removeItem(HISTORY);
  } catch {
    $("about-history").textContent = "This browser keeps nothing for this page: its settings say so, or it is full.";
  }
  showHistory();
}

function remember({ file, state }) {
  const entries = entriesKept();
  if (!entries || state.kind !== "answer") return;
  const { label, probability, threshold, model, request_id } = state;
  keep([{ file: file.name, at: Date.now(), kind: "answer", label, probability, threshold, model, request_id }, ...entries]);
}

function showHistory() {
  const entries = entriesKept();
  $("remember").checked = Boolean(entries);
  $("past").hidden = !entries?.length;
  if (!entries) return;
  $("how-many").textContent = `${entries.length} ${entries.length === 1 ? "answer" : "answers"}, at most ${LONGEST} are kept`;
  $("past-rows").replaceChildren(
    ...entries.map((entry) => {
      const row = made("tr", {});
      fill(row, entry.file, entry, `${new Date(entry.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })} · ${entry.model.name} version ${entry.model.version}`);
      return row;
    }),
  );
}

$("remember").addEventListener("change", ({ target }) => keep(target.checked ? [] : null));
$("clear").addEventListener("click", () => {
  keep([]);
  $("remember").focus();
});
$("past-csv").addEventListener("click", () => download("tumor-detector-history.csv", entriesKept().map((entry) => record(entry.file, entry))));
addEventListener("storage", showHistory); // another tab kept or cleared something
