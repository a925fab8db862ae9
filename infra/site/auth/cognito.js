// Users sign in on Cognito's own page and return with a code that only this tab can redeem: authorization code
// with PKCE (RFC 7636). Only the access token is kept, for this tab only.
const { signInAddress: address, signInClientId: client_id, signInScope: scope } = document.body.dataset;
const here = `${location.origin}${base}`;
const TOKEN = `token of ${base}`; // in local AWS several stages share one origin
const STARTED = `sign-in started at ${base}`;

const auth = {
  missing: () => (token() ? null : { title: "Sign in first", detail: "Sign in above, then choose the image once more." }),
  headers: () => ({ Authorization: `Bearer ${token().access}` }),
  rejected() {
    forgetToken("You were signed out. Sign in again.");
    return { title: "You were signed out", detail: "Sign in again above, then choose the image once more." };
  },
};

function token() {
  const kept = JSON.parse(sessionStorage.getItem(TOKEN));
  if (!kept || kept.until > Date.now()) return kept;
  forgetToken("Your session has expired. Sign in again.");
  return null;
}

function forgetToken(why) {
  sessionStorage.removeItem(TOKEN);
  $("sign-in-status").textContent = why;
  showToken(null);
}

function showToken(kept) {
  $("signed-out").hidden = Boolean(kept);
  $("signed-in").hidden = !kept;
  if (kept) $("expires-at").textContent = new Date(kept.until).toLocaleTimeString([], { timeStyle: "short" });
}

function base64url(octets) {
  return btoa(String.fromCharCode(...octets)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function signIn() {
  const started = { state: random(), verifier: random() };
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(started.verifier));
  sessionStorage.setItem(STARTED, JSON.stringify(started));
  const query = { response_type: "code", client_id, redirect_uri: here, scope, state: started.state, code_challenge_method: "S256", code_challenge: base64url(new Uint8Array(digest)) };
  location.assign(`${address}/oauth2/authorize?${new URLSearchParams(query)}`);
}

function signOut() {
  sessionStorage.removeItem(TOKEN);
  location.assign(`${address}/logout?${new URLSearchParams({ client_id, logout_uri: here })}`);
}

// A code counts only if this tab started the sign-in: otherwise a planted code could sign the user in as another.
async function redeemCode() {
  const query = new URLSearchParams(location.search);
  if (!query.has("state")) return;
  history.replaceState(null, "", location.pathname); // no code stays in the URL or the browser history
  const started = JSON.parse(sessionStorage.getItem(STARTED));
  sessionStorage.removeItem(STARTED);
  if (started?.state !== query.get("state")) throw new Error("It was not started in this tab.");
  if (!query.has("code")) throw new Error(query.get("error_description") || query.get("error"));
  const form = { grant_type: "authorization_code", client_id, code: query.get("code"), redirect_uri: here, code_verifier: started.verifier };
  const response = await fetch(`${address}/oauth2/token`, { method: "POST", body: new URLSearchParams(form), credentials: "omit" });
  const { access_token, expires_in, error } = parsed(await response.text());
  if (!access_token) throw new Error(error || `status ${response.status}`);
  sessionStorage.setItem(TOKEN, JSON.stringify({ access: access_token, until: Date.now() + expires_in * 1000 }));
}

$("sign-in").addEventListener("click", signIn);
$("sign-out").addEventListener("click", signOut);
redeemCode()
  .catch(({ message }) => { $("sign-in-status").textContent = `Sign-in failed. ${message}`; })
  .finally(() => showToken(token()));
