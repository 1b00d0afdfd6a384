"""Who may ask: bearer tokens with scopes from a file that only its owner can read, and sessions signed by them."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

import itsdangerous
import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from phasemap.study.errors import UserError

READ, SUBMIT = "read", "submit"
Scope = Literal["read", "submit"]
SESSION_SECONDS = 12 * 3600
EXAMPLE = "- {name: ann, token: <at least 24 characters>, scopes: [read, submit], expires: 2027-01-31T00:00:00Z}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and what they may do."""

    name: str
    scopes: frozenset[str]
    expires: datetime | None = None
    by_cookie: bool = False
    csrf: str = ""  # what a page must send along to change something; empty where no cookie is sent by itself

    @property
    def expired(self) -> bool:
        """Whether the token's time is over."""
        return self.expires is not None and datetime.now(UTC) >= self.expires


LOCAL = Caller(name="local", scopes=frozenset({READ, SUBMIT}))
"""Everybody on this machine, where the service was started without tokens."""


def _as_time(value: Any) -> Any:
    """Take a date without a time as its beginning, and a time without a zone as UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


class Token(BaseModel):
    """One entry of the token file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
    token: Annotated[str, Field(min_length=24, max_length=512, pattern=r"^[\x21-\x7e]+$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = ("read",)
    expires: Annotated[AwareDatetime | None, BeforeValidator(_as_time)] = None

    def caller(self, **more: Any) -> Caller:
        """Return who holds this token; who may submit may read."""
        scopes = {READ, *self.scopes}
        return Caller(name=self.name, scopes=frozenset(scopes), expires=self.expires, **more)


_TOKENS: TypeAdapter[list[Token]] = TypeAdapter(Annotated[list[Token], Field(min_length=1)])


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read a token file; UserError unless it is well-formed and readable by its owner alone."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UserError(f"--token-file {path} has the mode {mode:04o}; allowed: 0600 (chmod 600 {path})")
            tokens = _TOKENS.validate_python(yaml.safe_load(file.read(1_000_000)))
    except OSError as error:
        raise UserError(f"--token-file {path} can't be read: {error.strerror}") from None
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        text = "\n".join(lines)
        raise UserError(f"--token-file {path} can't be used:\n{text}\nallowed: a YAML list like\n  {EXAMPLE}") from None
    except (yaml.YAMLError, UnicodeDecodeError):  # the text of the error could hold a token
        raise UserError(f"--token-file {path} is not YAML; allowed: a list like\n  {EXAMPLE}") from None
    for what in ("name", "token"):
        if len({getattr(token, what) for token in tokens}) < len(tokens):
            raise UserError(f"--token-file {path} has a {what} twice; allowed: each {what} once")
    return tuple(tokens)


@dataclass
class TokenFile:
    """The tokens of a file, read again when it changes, so that a token can be taken away while the service runs."""

    path: Path
    problem: str | None = None  # why nobody is let in, where the file was changed into something that is not allowed
    _tokens: Sequence[Token] = ()
    _stamp: tuple[int, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        self._tokens = read_tokens(self.path)
        self._stamp = self._state()

    def tokens(self) -> Sequence[Token]:
        """Return the present tokens; none while the file is damaged."""
        stamp = self._state()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._tokens, self.problem = read_tokens(self.path), None
            except UserError as error:
                self._tokens, self.problem = (), str(error)
        return self._tokens

    def _state(self) -> tuple[int, ...]:
        try:
            state = self.path.stat()
        except OSError:
            return ()
        return state.st_mtime_ns, state.st_size, state.st_ino, state.st_mode

    def bearer(self, text: str) -> Caller | None:
        """Return who holds a token, comparing with every one in constant time; None for a wrong or expired one."""
        sent, match = text.encode("utf-8", "replace"), None
        for token in self.tokens():
            if hmac.compare_digest(token.token.encode(), sent):
                match = token
        caller = match.caller() if match else None
        return None if caller is None or caller.expired else caller

    def start_session(self, caller: Caller) -> str:
        """Return the cookie of a new session, signed with the caller's token: no session outlives its token."""
        token = next(t for t in self.tokens() if t.name == caller.name)
        return _session_signer(token).sign(token.name).decode()

    def session(self, cookie: str) -> Caller | None:
        """Return whose session a cookie is; None where it was not signed by a present token, or is too old."""
        name = cookie.partition(":")[0]
        token = next((t for t in self.tokens() if t.name == name), None)
        if token is None:
            return None
        try:
            _session_signer(token).unsign(cookie, max_age=SESSION_SECONDS)
        except itsdangerous.BadData:
            return None
        signer = itsdangerous.Signer(token.token, salt="phasemap csrf", sep=":")
        caller = token.caller(by_cookie=True, csrf=signer.get_signature(cookie).decode())
        return None if caller.expired else caller


def _session_signer(token: Token) -> itsdangerous.TimestampSigner:
    return itsdangerous.TimestampSigner(token.token, salt="phasemap session", sep=":")
