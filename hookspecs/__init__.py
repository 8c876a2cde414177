"""The contract between hosts and plugins: markers, hooks and the values that travel through them.

Hosts and plugins usually import these names from `hookplugin`; a host with a pluggy manager of its own hands this
module to `add_hookspecs`.
"""

from hookspecs.alert import Alert, Moment, Priority, Scalar, Status
from hookspecs.context import Context
from hookspecs.delivery import Body, Delivery, Message, Outcome, Reason, SendError, WireRequest
from hookspecs.hooks import alert_configure, alert_delivered, alert_fired, alert_register, alert_shutdown
from hookspecs.markers import PROJECT, hookimpl, hookspec
from hookspecs.registry import Filter, Registry, Renderer, Sender, SettingsError, Signer, Source

__all__ = [
    "PROJECT",
    "Alert",
    "Body",
    "Context",
    "Delivery",
    "Filter",
    "Message",
    "Moment",
    "Outcome",
    "Priority",
    "Reason",
    "Registry",
    "Renderer",
    "Scalar",
    "SendError",
    "Sender",
    "SettingsError",
    "Signer",
    "Source",
    "Status",
    "WireRequest",
    "alert_configure",
    "alert_delivered",
    "alert_fired",
    "alert_register",
    "alert_shutdown",
    "hookimpl",
    "hookspec",
]
