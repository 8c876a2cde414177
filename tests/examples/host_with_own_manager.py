import sys

import pluggy

import hookplugin
import hookspecs


class Hooks:
    @hookspecs.hookspec
    def order_failed(self, number: int) -> hookplugin.Alert | None:
        """Say what people should hear of an order that failed."""


class Orders:
    @hookplugin.hookimpl
    def order_failed(self, number: int) -> hookplugin.Alert:
        return hookplugin.Alert(content=f"order {number} failed", priority="critical", tags={"env": "prod"})


manager = pluggy.PluginManager("hookplugin")  # our markers know this name only
manager.add_hookspecs(Hooks)
manager.register(Orders())
manager.add_hookspecs(hookspecs)
manager.load_setuptools_entrypoints("hookplugin")
context = hookplugin.prepare(manager, sys.argv[1])

for alert in manager.hook.order_failed(number=7):
    for deliveries in manager.hook.alert_fired(alert=alert, context=context):
        for delivery in deliveries:
            print(delivery.id, delivery.receiver, delivery.strategies)
manager.hook.alert_shutdown(context=context)
