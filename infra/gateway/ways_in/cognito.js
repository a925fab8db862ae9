// People sign in at Cognito's own page, and come back with a code that only the tab which sent them can use:
// authorization code with PKCE (RFC 7636). Of the tokens the access token alone is kept, for this tab alone.
const { address, client_id, scope } = JSON.parse(document.body.dataset.signIn);
const here = `${location.origin}${base}`;
const TOKEN = `token of ${base}`; // on a laptop several stages share one origin
const BEGUN = `sign-in begun at ${base}`;

const access = {
  closed: () => (token() ? null : { title: "Sign in first", detail: "Sign in above, then choose the image once more." }),
  headers: () => ({ Authorization: `Bearer ${token().access}` }),
  refused() {
    forgetToken("You were signed out. Sign in again.");
    return { title: "You were signed out", detail: "Sign in again above, then choose the image once more." };
  },
};

function token() {
  const kept = JSON.parse(sessionStorage.getItem(TOKEN));
  if (!kept || kept.until > Date.now()) return kept;
  forgetToken("Your sign-in has lapsed. Sign in again.");
  return null;
}

function forgetToken(why) {
  sessionStorage.removeItem(TOKEN);
  $("why").textContent = why;
  showToken(null);
}

function showToken(kept) {
  $("signed-out").hidden = Boolean(kept);
  $("signed-in").hidden = !kept;
  if (kept) $("until").textContent = new Date(kept.until).toLocaleTimeString([], { timeStyle: "short" });
}

function base64url(octets) {
  return btoa(String.fromCharCode(...octets)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function signIn() {
  const begun = { state: random(), verifier: random() };
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(begun.verifier));
  sessionStorage.setItem(BEGUN, JSON.stringify(begun));
  const query = { response_type: "code", client_id, redirect_uri: here, scope, state: begun.state, code_challenge_method: "S256", code_challenge: base64url(new Uint8Array(digest)) };
  location.assign(`${address}/oauth2/authorize?${new URLSearchParams(query)}`);
}

function signOut() {
  sessionStorage.removeItem(TOKEN);
  location.assign(`${address}/logout?${new URLSearchParams({ client_id, logout_uri: here })}`);
}

// What comes back counts only where this tab began it: else another's code could sign this person in as them.
async function comeBack() {
  const query = new URLSearchParams(location.search);
  if (!query.has("state")) return;
  history.replaceState(null, "", location.pathname); // no code stays in the address or the history
  const begun = JSON.parse(sessionStorage.getItem(BEGUN));
  sessionStorage.removeItem(BEGUN);
  if (begun?.state !== query.get("state")) throw new Error("It was not begun in this tab.");
  if (!query.has("code")) throw new Error(query.get("error_description") || query.get("error"));
  const form = { grant_type: "authorization_code", client_id, code: query.get("code"), redirect_uri: here, code_verifier: begun.verifier };
  const response = await fetch(`${address}/oauth2/token`, { method: "POST", body: new URLSearchParams(form), credentials: "omit" });
  const { access_token, expires_in, error } = parsed(await response.text());
  if (!access_token) throw new Error(error || `status ${response.status}`);
  sessionStorage.setItem(TOKEN, JSON.stringify({ access: access_token, until: Date.now() + expires_in * 1000 }));
}

$("sign-in").addEventListener("click", signIn);
$("sign-out").addEventListener("click", signOut);
comeBack()
  .catch(({ message }) => { $("why").textContent = `Signing in did not work. ${message}`; })
  .finally(() => showToken(token()));
