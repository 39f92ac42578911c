"""The files of the status page, as they lie in `page/`: no build step, and nothing comes from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wampha.observe.web import Asked, Handler, Reply, Routes, Tell

_FOLDER: Final = Path(__file__).with_name("page")
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def routes() -> Routes:
    """Every file under its name, and the page at `/`; read once."""
    files = {file.name: _file(file) for file in sorted(_FOLDER.iterdir())}
    return {f"/{name}": {"GET": handler} for name, handler in files.items()} | {"/": {"GET": files["index.html"]}}


def _file(path: Path) -> Handler:
    reply = Reply(path.read_bytes(), _KINDS[path.suffix], headers={"Cache-Control": "no-cache"})

    def answer(_: Asked, tell: Tell) -> None:
        tell(reply)

    return answer
