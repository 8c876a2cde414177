"""The filter `often`, beside the package: `pip install -e . 'hookplugin[testing]'`, then `pytest`."""

from typing import Any

import pytest

from hookplugin.testing import MakeAlert, MakeHost, Receiver

pytest_plugins = ["hookplugin.testing"]


@pytest.fixture
def config(receiver: Receiver) -> dict[str, Any]:
    return {
        "receivers": [{"name": "ops", "url": receiver.url}],
        "strategies": [{"name": "again and again", "receivers": ["ops"], "filters": ["often"]}],
    }


def test_what_was_triggered_three_times_is_told(
    make_host: MakeHost, make_alert: MakeAlert, receiver: Receiver, config: dict[str, Any]
) -> None:
    host = make_host(config, installed=["often"])
    assert not host.fire(make_alert(content="twice", times=2)).accepted
    assert host.fire(make_alert(content="thrice", times=3)).accepted
    (request,) = receiver.wait(1)
    assert request.json["content"] == "thrice"


def test_the_operator_says_what_is_often(make_host: MakeHost, make_alert: MakeAlert, config: dict[str, Any]) -> None:
    host = make_host({**config, "plugins": {"settings": {"often": {"at_least": 5}}}}, installed=["often"])
    assert [len(host.fire(make_alert(times=times)).accepted) for times in (4, 5)] == [0, 1]


def test_never_is_not_often(make_host: MakeHost) -> None:
    with pytest.raises(ExceptionGroup) as failed:
        make_host({"plugins": {"settings": {"often": {"at_least": 0}}}}, installed=["often"])
    assert "at_least: Input should be greater than 0" in str(failed.value.exceptions[0])
