// What people say that an image shows, where the deployment takes labels. Kept with the image's state, as
// {kind: "sending" | "sent" | "failed", label, detail}.
const SAID = { YES: "a tumour", NO: "no tumour" };
const choices = [...document.querySelectorAll("#feedback button")];

// One label at a time; after it is sent, the other one corrects it. Disabled buttons would lose the focus.
function showFeedback({ feedback }) {
  const { kind, label, detail } = feedback ?? {};
  for (const button of choices) {
    const chosen = button.dataset.label === label;
    button.ariaPressed = String(chosen && kind === "sent");
    button.ariaDisabled = String(kind === "sending" || (chosen && kind === "sent"));
  }
  const spoken = { sending: "Sending…", sent: `Noted: ${SAID[label]}. Thank you.`, failed: `Not sent. ${detail} Press the button to try again.` }[kind] ?? "";
  if ($("feedback-status").textContent !== spoken) $("feedback-status").textContent = spoken; // otherwise it would be announced again
}

function setFeedback(state, feedback) {
  state.feedback = feedback;
  if (current?.state === state) showFeedback(state); // otherwise another image is selected meanwhile
}

async function sendLabel(state, label) {
  const fail = (detail) => setFeedback(state, { kind: "failed", label, detail });
  const missing = auth.missing();
  if (missing) return fail(missing.title + ".");
  setFeedback(state, { kind: "sending", label });
  try {
    const response = await fetch(`${base}predictions/${state.request_id}/label`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...auth.headers() },
      body: JSON.stringify({ label }),
      signal: AbortSignal.timeout(STALLED_MS),
    });
    const body = parsed(await response.text());
    if (response.ok) return setFeedback(state, { kind: "sent", label });
    const blocked = response.headers.get("X-Error-Type") === "WAF_FILTERED";
    const rejected = UNAUTHORISED.includes(response.status) && !blocked && auth.rejected();
    fail(rejected ? `${rejected.title}.` : body.detail || `The answer had status ${response.status}.`);
  } catch {
    fail("The gateway could not be reached.");
  }
}

for (const button of choices)
  button.addEventListener("click", () => button.ariaDisabled === "true" || sendLabel(current.state, button.dataset.label));
