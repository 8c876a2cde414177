import sys

from hookplugin import Alert, Host

config = {
    "receivers": [{"name": "ops", "url": sys.argv[1]}],
    "strategies": [{"name": "urgent", "receivers": ["ops"], "priorities": ["emergency", "critical"]}],
}

with Host(config) as host:
    receipt = host.fire(Alert(content="disk full", priority="critical", tags={"env": "prod"}))
    for delivery, outcome in host.wait(receipt).items():
        print(delivery, outcome.state if outcome else "pending")
