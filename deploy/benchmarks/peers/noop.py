"""The floor of every HTTP figure: a Flask application that does nothing, on the server that the API uses."""

from __future__ import annotations

from flask import Flask, Response

app = Flask("noop", static_folder=None)


@app.post("/noop")
def noop() -> Response:
    """Answer, without looking at what was asked."""
    return Response(b'{"ok":true}', status=200, content_type="application/json")
