"""Owners of claims: whoever has certainly ended is told from whoever may still live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookplugin.outbox.owner import has_ended, owner_name

OTHER = """
    from hookplugin.outbox.owner import owner_name
    print(owner_name(), flush=True)
    input()
"""


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Start a process that says its name."""
    command = [sys.executable, "-c", "\n".join(line.strip() for line in OTHER.splitlines())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def named(**parts: str) -> str:
    """Return the name of this process, with other parts."""
    place, pid, start, token = owner_name().rsplit("/", 3)
    boot, namespace = place.split(",")
    found = {"boot": boot, "namespace": namespace, "pid": pid, "start": start, "token": token, **parts}
    return "{boot},{namespace}/{pid}/{start}/{token}".format(**found)


def test_this_process_lives_under_each_of_its_names() -> None:
    names = {owner_name() for _ in range(9)}
    assert len(names) == 9
    assert not any(has_ended(name) for name in names)
    assert not has_ended(named(token="another"))


def test_another_process_lives_until_it_is_killed_and_has_ended_even_before_anybody_asks(
    other: subprocess.Popen[str],
) -> None:
    name = name_of(other)
    assert not has_ended(name)
    other.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, other.pid, os.WSTOPPED)
    assert not has_ended(name)  # it may go on
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(name)  # a zombie
    other.wait()
    assert has_ended(name)


def test_a_number_that_another_process_has_now_is_not_who_had_it_before(other: subprocess.Popen[str]) -> None:
    place, pid, start, token = name_of(other).rsplit("/", 3)
    assert has_ended(f"{place}/{pid}/{int(start) - 1}/{token}")
    assert has_ended(named(start="1"))


@pytest.mark.parametrize("parts", [{"boot": "another"}, {"namespace": "pid:[1]"}, {"boot": ""}, {"namespace": ""}])
def test_of_another_machine_or_container_nothing_is_known(parts: dict[str, str]) -> None:
    assert not has_ended(named(**parts))
    assert not has_ended(named(**parts, pid="999999999"))


@pytest.mark.parametrize("pid", ["", "-1", "+1", "1.0", "x", " ", "²", "\0", pytest.param("9" * 5000, id="long")])
def test_what_is_no_number_of_a_process_is_not_known_to_have_ended(pid: str) -> None:
    assert not has_ended(named(pid=pid))


TEXT = st.text(st.characters(exclude_categories=()))


@given(TEXT | st.lists(TEXT | st.integers().map(str) | st.just(named().partition("/")[0]), max_size=6).map("/".join))
def test_any_text_may_stand_for_an_owner(text: str) -> None:
    assert has_ended(text) in {True, False}


@given(pid=TEXT | st.integers(min_value=0).map(str), start=TEXT)
def test_any_process_of_this_machine_may_stand_for_an_owner(pid: str, start: str) -> None:
    assert has_ended(named(pid=pid, start=start)) in {True, False}
