"""Ray's token is found in Ray's order of places, also when RAY_AUTH_MODE is unset."""

import pytest

from phasemap.running.tokens import find_token, token_mode


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    return tmp_path


def test_the_environment_goes_before_a_named_file_and_that_before_the_default(home, monkeypatch):
    assert find_token() is None
    assert token_mode() == {}
    (home / ".ray" / "auth_token").write_text("default\n")
    assert find_token() == "default"
    assert token_mode() == {"RAY_AUTH_MODE": "token"}
    (home / "mine").write_text(" mine ")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "mine"))
    assert find_token() == "mine"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert find_token() == "given"


def test_a_named_file_that_is_missing_is_no_token_and_a_mode_that_is_set_stays(home, monkeypatch):
    (home / ".ray" / "auth_token").write_text("default")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "none"))
    assert find_token() is None
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert find_token() is None
    assert token_mode() == {}
