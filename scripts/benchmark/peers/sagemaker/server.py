"""The application of SageMaker's bring-your-own-container sample: Flask, /ping and /invocations."""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from scripts.benchmark.peers import judge

app = Flask(__name__)
_judge = judge.load()


@app.get("/ping")
def ping() -> Response:
    """Say that the network is loaded: it is, before the application exists."""
    return Response(status=200)


@app.post("/invocations")
def invocations() -> Response:
    """Judge the image file that is the body."""
    return jsonify(_judge(request.get_data()))
