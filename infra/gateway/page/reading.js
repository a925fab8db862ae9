// The reading: what is known of the image in view.
const isBusy = ({ kind }) => ["queued", "sending", "looking"].includes(kind);

function show(view, spoken) {
  const reading = $("reading");
  const held = reading.contains(document.activeElement);
  for (const part of document.querySelectorAll("[data-state]")) part.hidden = part.dataset.state !== view;
  // What had the focus may be gone: the keyboard goes on from here, not from the top of the page.
  if (held && !document.activeElement.checkVisibility()) reading.focus({ preventScroll: true });
  if ($("status").textContent !== spoken) $("status").textContent = spoken; // else it would be spoken again
}

function read(state) {
  if (isBusy(state)) busy(state);
  else ({ answer: tell, refusal: decline, problem: fail })[state.kind](state);
}

// On a phone the reading stands below the image.
function reveal() {
  $("reading").scrollIntoView({ block: "nearest" });
}

function busy(state) {
  const { kind, loaded, total } = state;
  const waking = pause?.status === 503;
  const doing = { queued: pause ? (waking ? "The model is waking up…" : "The model is busy…") : "In line…", sending: "Sending the image…", looking: "The model is looking…" }[kind];
  const paused = kind === "queued" && pause;
  if (kind === "sending") $("progress").value = total ? loaded / total : 0;
  else $("progress").removeAttribute("value");
  $("now").hidden = !paused;
  $("doing").textContent = doing;
  $("more").textContent = kind === "sending" ? `${bytes(loaded)} of ${bytes(total)}` : kind === "looking" ? "This takes a moment; the first one after a while takes longer." : "";
  if (paused) countDown();
  show("busy", paused ? `${doing} It is asked again by itself.` : doing);
}

function countDown() {
  if (!pause || current?.state.kind !== "queued") return;
  const seconds = Math.max(Math.ceil((pause.until - Date.now()) / 1000), 0);
  $("more").textContent = `It is asked again by itself in ${seconds}\u00a0s. Nothing needs to be done.`;
}

function tell({ label, probability, threshold, model, request_id }) {
  const yes = label === "YES";
  const answer = $("answer");
  answer.className = yes ? "YES" : "NO";
  answer.style.setProperty("--probability", probability);
  answer.style.setProperty("--threshold", threshold);
  $("label").textContent = label;
  $("gloss").textContent = yes ? "the model sees a tumour" : "the model sees no tumour";
  $("probability").textContent = percent(probability);
  $("threshold").textContent = `YES from ${percent(threshold)}`;
  $("bar").setAttribute("aria-label", `Probability ${percent(probability)}; the model says YES from ${percent(threshold)} on.`);
  $("words").textContent = `The model gives a tumour ${percent(probability)}. That is ${yes ? "at or above" : "below"} its threshold of ${percent(threshold)}, so it says ${label}. It can be wrong.`;
  $("frequency").textContent = `Of 100 images that are given this figure, ${ofHundred(probability)} should show a tumour, if they are like those that the model was made with. On others it may be far off.`;
  $("maker").textContent = `${model.name} version ${model.version} · request ${request_id}`;
  show("answer", `${label}: ${$("gloss").textContent}, probability ${percent(probability)}.`);
}

// No error: the model says that it cannot tell.
function decline({ detail, score, score_threshold: needed, request_id }) {
  $("reason").textContent = detail;
  $("scored").hidden = score === undefined; // refused by a rule, which needs no score
  if (score !== undefined) {
    $("refusal").style.setProperty("--probability", score);
    $("refusal").style.setProperty("--threshold", needed);
    $("score").textContent = percent(score);
    $("needed").textContent = `judged from ${percent(needed)}`;
    $("likeness").setAttribute("aria-label", `Likeness to a brain MRI ${percent(score)}; the model judges from ${percent(needed)} on.`);
  }
  $("refused").textContent = request_id ? `Request ${request_id}.` : "";
  show("refusal", `The model cannot judge this image. ${detail}`);
}

function fail({ title, detail, status, request_id, again }) {
  $("title").textContent = title;
  $("detail").textContent = detail;
  $("reference").textContent = [status && `Status ${status}`, request_id && `request ${request_id}`].filter(Boolean).join(" · ");
  $("again").hidden = !again;
  show("problem", `${title}. ${detail}`);
}

setInterval(countDown, 1000);
$("cancel").addEventListener("click", () => cancel(current));
$("now").addEventListener("click", comeBackNow);
$("again").addEventListener("click", () => tryAgain(current));
