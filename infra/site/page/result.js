// The result panel: the state of the selected image.
const isBusy = ({ kind }) => ["queued", "sending", "predicting"].includes(kind);

function show(view, spoken) {
  const result = $("result");
  const held = result.contains(document.activeElement);
  for (const part of document.querySelectorAll("[data-state]")) part.hidden = part.dataset.state !== view;
  // If the focused element is now hidden, the keyboard continues from here, not from the top of the page.
  if (held && !document.activeElement.checkVisibility()) result.focus({ preventScroll: true });
  if ($("status").textContent !== spoken) $("status").textContent = spoken; // otherwise it would be announced again
}

function showState(state) {
  if (isBusy(state)) showProgress(state);
  else ({ answer: showPrediction, refusal: showRefusal, problem: showProblem })[state.kind](state);
}

// On a phone the result is below the image.
function scrollToResult() {
  $("result").scrollIntoView({ block: "nearest" });
}

function showProgress(state) {
  const { kind, loaded, total } = state;
  const starting = pause?.status === 503;
  const activity = { queued: pause ? (starting ? "The model is starting…" : "The model is busy…") : "Queued…", sending: "Sending the image…", predicting: "Classifying…" }[kind];
  const paused = kind === "queued" && pause;
  if (kind === "sending") $("progress").value = total ? loaded / total : 0;
  else $("progress").removeAttribute("value");
  $("retry-now").hidden = !paused;
  $("activity").textContent = activity;
  $("activity-detail").textContent = kind === "sending" ? `${bytes(loaded)} of ${bytes(total)}` : kind === "predicting" ? "This takes a moment; the first image after a pause takes longer." : "";
  if (paused) updateCountdown();
  show("busy", paused ? `${activity} It is retried automatically.` : activity);
}

function updateCountdown() {
  if (!pause || current?.state.kind !== "queued") return;
  const seconds = Math.max(Math.ceil((pause.until - Date.now()) / 1000), 0);
  $("activity-detail").textContent = `Retrying automatically in ${seconds}\u00a0s.`;
}

function showPrediction(state) {
  const { label, probability, threshold, model, request_id } = state;
  const { remark } = summary(state);
  const yes = label === "YES";
  const answer = $("answer");
  answer.className = yes ? "YES" : "NO";
  answer.style.setProperty("--probability", probability);
  answer.style.setProperty("--threshold", threshold);
  $("label").textContent = label;
  $("meaning").textContent = yes ? "the model detects a tumour" : "the model detects no tumour";
  $("doubt").textContent = remark;
  $("doubt").hidden = !remark;
  $("probability").textContent = percent(probability);
  $("threshold").textContent = `threshold ${percent(threshold)}`;
  $("bar").setAttribute("aria-label", `Probability ${percent(probability)}, threshold ${percent(threshold)}.`);
  $("explanation").textContent = `The model estimates the probability of a tumour at ${percent(probability)}. That is ${yes ? "at or above" : "below"} its threshold of ${percent(threshold)}, so the answer is ${label}. It can be wrong.`;
  $("frequency").textContent = `Of 100 images with this probability, ${outOf100(probability)} should show a tumour, if they resemble the images that the model was validated on. For others it may be far off.`;
  $("source").textContent = `${model.name} version ${model.version} · request ${request_id}`;
  window.showFeedback?.(state); // where labels are taken
  show("answer", `${label}: ${$("meaning").textContent}, probability ${percent(probability)}. ${remark}`);
}

// A refusal is not an error.
function showRefusal({ detail, score, score_threshold: needed, request_id }) {
  $("reason").textContent = detail;
  $("scored").hidden = score === undefined; // refused by a rule, without a score
  if (score !== undefined) {
    $("refusal").style.setProperty("--probability", score);
    $("refusal").style.setProperty("--threshold", needed);
    $("score").textContent = percent(score);
    $("score-threshold").textContent = `classified from ${percent(needed)}`;
    $("similarity").setAttribute("aria-label", `Similarity to a brain MRI ${percent(score)}; classified from ${percent(needed)}.`);
  }
  $("refusal-reference").textContent = request_id ? `Request ${request_id}.` : "";
  show("refusal", `The model cannot classify this image. ${detail}`);
}

function showProblem({ title, detail, status, request_id, again }) {
  $("title").textContent = title;
  $("detail").textContent = detail;
  $("reference").textContent = [status && `Status ${status}`, request_id && `request ${request_id}`].filter(Boolean).join(" · ");
  $("retry").hidden = !again;
  show("problem", `${title}. ${detail}`);
}

setInterval(updateCountdown, 1000);
$("cancel").addEventListener("click", () => cancel(current));
$("retry-now").addEventListener("click", resumeSending);
$("retry").addEventListener("click", () => retry(current));
