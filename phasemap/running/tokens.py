"""Ray's token, found where Ray looks for it, also when RAY_AUTH_MODE is unset."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PLACES = "RAY_AUTH_TOKEN, the file named by RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token"


def find_token() -> str | None:
    """Return this user's token for Ray clusters; None if there is none, or authentication is switched off."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() == "disabled":
        return None
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return text
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        path = Path(named) if named else Path.home() / ".ray" / "auth_token"
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, RuntimeError):  # no such file, no home
        return None


def token_mode() -> dict[str, str | None]:
    """Return the environment in which Ray sends the token to a cluster."""
    return {"RAY_AUTH_MODE": "token"} if "RAY_AUTH_MODE" not in os.environ and find_token() else {}


def read_again() -> None:
    """Let Ray see changes of its mode and its token that came after it was imported: it keeps what it read first."""
    raylet = sys.modules.get("ray._raylet")
    if raylet is not None:
        raylet.Config.initialize("")  # first the mode: a thread that still ends must not look for a token that is gone
        raylet.AuthenticationTokenLoader.instance().reset_cache()
