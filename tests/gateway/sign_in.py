"""Cognito's sign-in page on 127.0.0.1: it holds whoever asks to the authorization code flow with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT_ID = "the-page"
SCOPE = "tumor-detector/predict"
LASTS_S = 3600


@dataclass(frozen=True)
class Grant:
    """What a code was given for."""

    redirect_uri: str
    challenge: str


@dataclass
class FakeSignIn:
    """One page's client; it counts every fault against RFC 6749 and RFC 7636.

    Attributes
    ----------
    pages
        The addresses that people may be sent back to.
    lasts_s
        How long the tokens are good for.
    tokens
        The access tokens that were given out.
    faults
        What was asked wrongly.
    """

    pages: list[str] = field(default_factory=list)
    lasts_s: int = LASTS_S
    tokens: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    url: str = ""
    _grants: dict[str, Grant] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[FakeSignIn]:
        """Serve until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def authorize(self, query: dict[str, str]) -> str:
        """Return the page with the two ways back: signed in, and not."""
        expected = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "scope": SCOPE,
            "code_challenge_method": "S256",
        }
        self.faults += [f"authorize: {key}" for key, value in expected.items() if query.get(key) != value]
        back = query.get("redirect_uri", "")
        if back not in self.pages:
            self.faults.append(f"authorize: redirect_uri {back}")
        if min(len(query.get("state", "")), len(query.get("code_challenge", ""))) < 43:
            self.faults.append("authorize: state or code_challenge of less than 256 bits")
        code = f"code-{len(self._grants)}"
        self._grants[code] = Grant(back, query.get("code_challenge", ""))
        state = query.get("state", "")
        into = urlencode({"code": code, "state": state})
        out = urlencode({"error": "access_denied", "error_description": "You said no.", "state": state})
        return (
            f'<title>sign in</title><a href="{back}?{into}">Let me in</a> <a href="{back}?{out}">Not me</a>'
        )

    def token(self, form: dict[str, str]) -> dict[str, object]:
        """Return the tokens for a code, once, to who shows the verifier of its challenge."""
        grant = self._grants.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        given = (form.get("grant_type"), form.get("client_id"), form.get("redirect_uri"), challenge)
        if grant is None or given != ("authorization_code", CLIENT_ID, grant.redirect_uri, grant.challenge):
            self.faults.append("token: invalid_grant")
            return {"error": "invalid_grant"}
        self.tokens.append(f"access-{len(self.tokens)}")
        others = {"id_token": "IDENTITY", "refresh_token": "REFRESH", "token_type": "Bearer"}
        return {"access_token": self.tokens[-1], "expires_in": self.lasts_s, **others}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = dict(parse_qsl(url.query))
                if url.path == "/oauth2/authorize":
                    self.answer(200, "text/html", fake.authorize(query))
                elif url.path == "/logout" and query.get("logout_uri") in fake.pages:
                    self.answer(302, "text/plain", "", Location=query["logout_uri"])
                else:
                    self.answer(404, "text/plain", "")

            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                told = fake.token(form)
                status = 400 if "error" in told else 200
                allowed = {"Access-Control-Allow-Origin": "*"}
                self.answer(status, "application/json", json.dumps(told), **allowed)

            def answer(self, status: int, media_type: str, text: str, **headers: str) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": media_type, **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_args: object) -> None:
                pass

        return Handler
