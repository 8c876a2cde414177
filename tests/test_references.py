"""Secrets that stand in files follow their files, and stay as they were while a file is of no use."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counting import counting
from pydantic import SecretStr

from hookplugin import Alert, Host
from hookplugin.references import FileSecret

OLD = 1_700_000_000  # seconds: long ago, so that every change leaves a mark


def write(path: Path, text: str, at: int = OLD) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (at, at))


def no_digits(secret: str) -> None:
    if any(character.isdigit() for character in secret):
        message = "holds a digit"
        raise ValueError(message)


def in_files(folder: Path) -> dict[str, Any]:
    """Return a receiver that has its secrets in files."""
    return {
        "name": "ops",
        "url": {"file": str(folder / "url")},
        "auth": {"bearer": {"file": str(folder / "token")}},
        "secret": {"file": str(folder / "key")},
        "headers": {"X-Header": {"file": str(folder / "header")}},
    }


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write(tmp_path / "key", "first\n")
    return tmp_path / "key"


def test_a_secret_follows_its_file(key: Path) -> None:
    secret = FileSecret(key)
    assert secret.get_secret_value() == "first"
    write(key, "second", OLD + 1)
    assert secret.get_secret_value() == "second"
    assert isinstance(secret, SecretStr)
    assert "second" not in f"{secret!r} {secret}"


def test_a_file_that_is_replaced_is_read_again_though_its_time_is_the_same(key: Path) -> None:
    secret = FileSecret(key)
    write(key.with_name("new"), "other")
    key.with_name("new").replace(key)
    assert secret.get_secret_value() == "other"


def test_changes_within_the_same_moment_are_seen(key: Path) -> None:
    """Write twice without a change of time, length or inode: the clocks of file systems are coarse."""
    secret = FileSecret(key)
    key.write_text("aaaa", encoding="utf-8")
    before = key.stat()
    assert secret.get_secret_value() == "aaaa"
    key.write_text("bbbb", encoding="utf-8")
    os.utime(key, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert secret.get_secret_value() == "bbbb"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda key: key.unlink(), "No such file or directory"),
        (lambda key: write(key, "", OLD + 1), "it is empty"),
        (lambda key: write(key, "\n", OLD + 1), "it is empty"),
        (lambda key: write(key, "s3cret 5", OLD + 1), "holds a digit"),
        (lambda key: key.write_bytes(b"s3cret\xff"), "not UTF-8 text"),
    ],
)
def test_what_cannot_be_used_changes_nothing_and_is_said_once(
    change: Callable[[Path], object], words: str, key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = FileSecret(key)
    secret.must_pass(no_digits)
    change(key)
    assert [secret.get_secret_value() for _ in range(3)] == ["first"] * 3
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert words in record.getMessage()
    assert "s3cret" not in caplog.text
    write(key, "third", OLD + 2)
    assert secret.get_secret_value() == "third"


def test_every_secret_of_a_running_host_follows_its_file(tmp_path: Path) -> None:
    """Rotate them all: where to, who we are, what signs, a header, and what stands in the body."""
    names = ("url", "token", "key", "header", "var")
    with counting() as receiver:

        def rotate(turn: str, at: int) -> None:
            for name in names:
                write(tmp_path / name, f"{receiver.url}/{turn}" if name == "url" else f"{name}-{turn}", at)

        rotate("one", OLD)
        config = {
            "receivers": [
                {
                    **in_files(tmp_path),
                    "signer": "github",
                    "vars": {"var": {"file": str(tmp_path / "var")}},
                    "body": "secret",
                }
            ],
            "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
            "bodies": [{"name": "secret", "json": {"content": "{{ vars.var }}"}}],
        }
        with Host(config, strict=True) as host:
            for turn, at in (("one", OLD), ("two", OLD + 1)):
                rotate(turn, at)
                host.wait(host.fire(Alert(content=turn)), 10)
    found = [(one.path, one.headers["Authorization"], one.headers["X-Header"], one.contents) for one in receiver.heard]
    assert found == [(f"/{turn}", f"Bearer token-{turn}", f"header-{turn}", [f"var-{turn}"]) for turn in ("one", "two")]
    assert len({one.headers["X-Hub-Signature-256"] for one in receiver.heard}) == 2


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("url", "ftp://elsewhere/"),
        ("url", "http://user:word@127.0.0.1/"),
        ("token", "two words"),
        ("header", "a\r\nX-Evil: 1"),
        ("key", "whsec_c2hvcnQ="),
    ],
)
def test_what_would_be_refused_at_the_start_is_not_taken_later(
    name: str, wrong: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with counting() as receiver:
        good = {"url": receiver.url, "token": "good", "header": "good", "key": f"whsec_{'YWJj' * 11}"}
        for each, text in good.items():
            write(tmp_path / each, text)
        config = {
            "receivers": [in_files(tmp_path)],
            "strategies": [{"name": "all", "receivers": ["ops"], "match_all": True}],
        }
        with Host(config, strict=True) as host:
            write(tmp_path / name, wrong, OLD + 1)
            (outcome,) = host.wait(host.fire(Alert(content="x")), 10).values()
    assert outcome
    assert outcome.state == "delivered"
    assert [one.headers["Authorization"] for one in receiver.heard] == ["Bearer good"]
    assert "the former one is kept" in caplog.text
    assert wrong not in caplog.text
