"""The five hooks, in the order of a host's life.

Implement any of them with `@hookimpl` in a module or an instance; an implementation may take fewer arguments.
Implementations are plain functions: async, generator and wrapper implementations are refused when they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable

from hookspecs.alert import Alert
from hookspecs.context import Context
from hookspecs.delivery import Delivery, Outcome
from hookspecs.markers import hookspec
from hookspecs.registry import Registry


@hookspec
def alert_register(registry: Registry) -> None:
    """Read settings, and offer sources, filters, renderers, signers and senders, each under a name.

    The configuration picks what it wants by these names.

    When: once per plugin and host, before the configuration is checked.

    Args:
        registry: an empty one of the plugin's own; it is merged into the host's only if the hook returns.

    Errors: whatever it raises, wrong settings, and a name that is taken, costs this plugin: it is off, and `hookplugin
    plugins` says why.

    Example:
        ```python
        from hookplugin import Alert, Registry, hookimpl
        from pydantic import BaseModel


        class Settings(BaseModel):
            at_most: int = 2


        @hookimpl
        def alert_register(registry: Registry) -> None:
            settings = registry.settings(Settings)

            def is_noise(alert: Alert) -> bool:
                return alert.times <= settings.at_most

            registry.filter("noise", is_noise)
        ```

    """


@hookspec
def alert_configure(context: Context) -> None:
    """Make ready, once everybody has registered; start no thread here, the host may fork later.

    When: once per plugin and host, after every plugin has registered.

    Args:
        context: the registry of all plugins, and this plugin's own settings: what `registry.settings` has returned, or
            as they are written.

    Errors: whatever it raises costs this plugin: it is off, and `hookplugin plugins` says why.

    Example:
        ```python
        from hookplugin import Context, hookimpl


        @hookimpl
        def alert_configure(context: Context) -> None:
            context.state["journal"] = open(context.settings.get("file", "alerts.log"), "a")
        ```

    """


@hookspec
def alert_fired(alert: Alert, context: Context) -> Iterable[Delivery] | None:
    """Take an alert, firing or recovered, and return quickly: the host waits.

    When: for every alert, in the thread of the host.

    Args:
        alert: shared by all plugins and deep-frozen; an attempt to change it raises.
        context: as for `alert_configure`.

    Returns:
        The deliveries that this plugin has accepted, and makes itself; none if there are none.

    Errors: whatever it raises costs this plugin's part of this alert; the other plugins still get it.

    Example:
        ```python
        import logging

        from hookplugin import Alert, Context, hookimpl


        @hookimpl
        def alert_fired(alert: Alert, context: Context) -> None:
            logging.getLogger("journal").info("%s %s: %s", alert.status.name, alert.priority.name, alert.content)
        ```

    """


@hookspec
def alert_delivered(delivery: Delivery, outcome: Outcome, context: Context) -> None:
    """Hear of a final outcome: delivered, or dead.

    When: once for each delivery, in a thread of the dispatcher.

    Args:
        delivery: what was to be delivered, with the alert in it.
        outcome: what became of it, and why.
        context: as for `alert_configure`.

    Errors: whatever it raises costs a line in the log.

    Example:
        ```python
        import logging

        from hookplugin import Context, Delivery, Outcome, hookimpl


        @hookimpl
        def alert_delivered(delivery: Delivery, outcome: Outcome, context: Context) -> None:
            if outcome.state == "dead":
                logging.getLogger("journal").error("%s did not hear of it: %s", delivery.receiver, outcome.reason)
        ```

    """


@hookspec
def alert_shutdown(context: Context) -> None:
    """Finish, and give back what `alert_configure` took.

    When: once, on `Host.close()`, or when a host with its own manager calls it.

    Args:
        context: as for `alert_configure`.

    Errors: whatever it raises costs a line in the log; the other plugins are still shut down.

    Example:
        ```python
        from hookplugin import Context, hookimpl


        @hookimpl
        def alert_shutdown(context: Context) -> None:
            context.state["journal"].close()
        ```

    """
