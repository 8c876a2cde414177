"""Hosts that run jobs, like Airflow and Kedro: they tell every success, and only one that ends a failure is news."""

from __future__ import annotations

from collections.abc import Iterable

from hookplugin.config import ConfigInput
from hookplugin.host import Host
from hookplugin.hosts.adapter import Adapter
from hookplugin.outbox.journal import read_known
from hookplugin.receipt import Receipt
from hookplugin.strategy.notify import Firing
from hookplugin.webhook import webhook_of
from hookspecs import Alert


class JobAdapter(Adapter):
    """Fire what a host that runs jobs hands over."""

    def recover(self, config: ConfigInput | None, recoveries: Iterable[Alert]) -> Receipt | None:
        """Fire those recoveries whose alert still fires, as far as the outbox knows, and leave out the others.

        Arguments and result are those of `receive`.
        """
        return self._call(config, lambda host: host.fire_all(one for one in recoveries if _is_firing(host, one)))


def _is_firing(host: Host, alert: Alert) -> bool:
    webhook = webhook_of(host.context)
    if webhook is None:
        return False
    known = webhook.store.read(lambda connection: read_known(connection, alert.fingerprint))
    return known.firing is Firing.open
