"""What a browser asks of a local page, as plain requests."""

import http.client
import json
from typing import Any


class Browser:
    """Asks a page on this machine's port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Return status, body (JSON as its value) and headers; `_` in a header's name is `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        content = answer.read()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status, json.loads(content) if is_json else content, answer.headers
