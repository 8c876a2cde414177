import sys

import pluggy

import hookplugin
import hookspecs

manager = pluggy.PluginManager("hookplugin")
manager.add_hookspecs(hookspecs)
manager.load_setuptools_entrypoints("hookplugin")

context = hookplugin.prepare(manager, sys.argv[1])
alert = hookplugin.Alert(content="disk full", priority="critical", tags={"env": "prod"})
for deliveries in manager.hook.alert_fired(alert=alert, context=context):
    for delivery in deliveries:
        print(delivery.id, delivery.receiver, delivery.strategies)
manager.hook.alert_shutdown(context=context)
