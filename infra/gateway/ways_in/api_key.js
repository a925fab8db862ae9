// A person types the key. It is kept for this tab alone, and goes to this gateway alone.
const KEY = `api key of ${base}`; // on a laptop several stages share one origin
const kept = () => sessionStorage.getItem(KEY);

const access = {
  closed() {
    if (kept()) return null;
    $("key").focus();
    return { title: "An API key is needed", detail: "Type it above: the image is then sent." };
  },
  headers: () => ({ "x-api-key": kept() }),
  refused() {
    forgetKey();
    return { title: "The key was not accepted", detail: "It may be mistyped, or no longer valid, and is forgotten. Type it again above: the image is then sent." };
  },
};

function showKey() {
  $("asked").hidden = Boolean(kept());
  $("kept").hidden = !kept();
}

function useKey() {
  // A header takes visible ASCII alone; a pasted key brings blanks around it, which are none of it.
  const key = $("key").value.trim();
  $("key").value = "";
  if (!/^[!-~]+$/.test(key)) return $("key").focus();
  sessionStorage.setItem(KEY, key);
  showKey();
  goOn();
}

function forgetKey() {
  sessionStorage.removeItem(KEY);
  showKey();
  $("key").focus();
}

$("use").addEventListener("click", useKey);
$("key").addEventListener("keydown", ({ key }) => key === "Enter" && useKey());
$("forget").addEventListener("click", forgetKey);
showKey();
