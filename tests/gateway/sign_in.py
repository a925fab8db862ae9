"""Cognito's sign-in page on 127.0.0.1, which enforces the authorization code flow with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.http_server import HttpServer, Reply

if TYPE_CHECKING:
    from tests.http_server import Call

CLIENT_ID = "the-page"
SCOPE = "tumor-detector/predict"


class FakeSignIn(HttpServer):
    """The sign-in page of one client; `violations` are requests that break RFC 6749 or RFC 7636."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[str] = []  # the addresses to which people may be sent back
        self.expires_in_s = 3600
        self.tokens: list[str] = []  # the access tokens issued so far
        self.violations: list[str] = []
        self._grants: dict[str, tuple[str, str]] = {}  # redirect_uri and code_challenge of each code

    def answer(self, call: Call) -> Reply:
        url = urlsplit(call.target)
        query = dict(parse_qsl(url.query))
        if (call.method, url.path) == ("POST", "/oauth2/token"):
            document = self._token(dict(parse_qsl(call.body.decode())))
            status, body = (400 if "error" in document else 200), json.dumps(document).encode()
            return Reply(status, body, headers={"Access-Control-Allow-Origin": "*"})
        if url.path == "/oauth2/authorize":
            return Reply(body=self._authorize(query).encode(), media_type="text/html")
        if url.path == "/logout" and query.get("logout_uri") in self.pages:
            return Reply(302, b"", "text/plain", {"Location": query["logout_uri"]})
        return Reply(404, b"", "text/plain")

    def _authorize(self, query: dict[str, str]) -> str:
        """Return a page with the two ways back: signed in, and denied."""
        expected = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "scope": SCOPE,
            "code_challenge_method": "S256",
        }
        self.violations += [f"authorize: {key}" for key, value in expected.items() if query.get(key) != value]
        back, state = query.get("redirect_uri", ""), query.get("state", "")
        if back not in self.pages:
            self.violations.append(f"authorize: redirect_uri {back}")
        if min(len(state), len(query.get("code_challenge", ""))) < 43:
            self.violations.append("authorize: state or code_challenge of less than 256 bits")
        code = f"code-{len(self._grants)}"
        self._grants[code] = (back, query.get("code_challenge", ""))
        accept = urlencode({"code": code, "state": state})
        deny = urlencode({"error": "access_denied", "error_description": "You said no.", "state": state})
        return f'<title>x</title><a href="{back}?{accept}">Let me in</a> <a href="{back}?{deny}">Not me</a>'

    def _token(self, form: dict[str, str]) -> dict[str, object]:
        """Return the tokens for a code, once, if the verifier matches its challenge."""
        grant = self._grants.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        given = (form.get("grant_type"), form.get("client_id"), (form.get("redirect_uri"), challenge))
        if given != ("authorization_code", CLIENT_ID, grant):
            self.violations.append("token: invalid_grant")
            return {"error": "invalid_grant"}
        self.tokens.append(f"access-{len(self.tokens)}")
        others = {"id_token": "IDENTITY", "refresh_token": "REFRESH", "token_type": "Bearer"}
        return {"access_token": self.tokens[-1], "expires_in": self.expires_in_s, **others}
