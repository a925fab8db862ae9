// The user enters the key. It is kept for this tab only and sent to this gateway only.
const KEY = `api key of ${base}`; // in local AWS several stages share one origin
const kept = () => sessionStorage.getItem(KEY);

const auth = {
  missing() {
    if (kept()) return null;
    $("key").focus();
    return { title: "An API key is needed", detail: "Enter it above; the image is then sent." };
  },
  headers: () => ({ "x-api-key": kept() }),
  rejected() {
    forgetKey();
    return { title: "The key was not accepted", detail: "It may be mistyped or no longer valid, and was removed. Enter it again above; the image is then sent." };
  },
};

function showKey() {
  $("key-form").hidden = Boolean(kept());
  $("key-stored").hidden = !kept();
}

function useKey() {
  // A header allows only visible ASCII; blanks around a pasted key do not belong to it.
  const key = $("key").value.trim();
  $("key").value = "";
  if (!/^[!-~]+$/.test(key)) return $("key").focus();
  sessionStorage.setItem(KEY, key);
  showKey();
  sendHeld();
}

function forgetKey() {
  sessionStorage.removeItem(KEY);
  showKey();
  $("key").focus();
}

$("use-key").addEventListener("click", useKey);
$("key").addEventListener("keydown", ({ key }) => key === "Enter" && useKey());
$("forget-key").addEventListener("click", forgetKey);
showKey();
