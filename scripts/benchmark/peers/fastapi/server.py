"""FastAPI on uvicorn: one route that judges the body in a thread, so that the loop stays free."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from scripts.benchmark.peers import judge

app = FastAPI()
_judge = judge.load()


@app.get("/ping")
def ping() -> dict[str, str]:
    """Say that the network is loaded: it is, before the application exists."""
    return {"status": "ok"}


@app.post("/predict")
async def predict(request: Request) -> judge.Answer:
    """Judge the image file that is the body."""
    return await run_in_threadpool(_judge, await request.body())
