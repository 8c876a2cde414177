"""Alert webhooks: strategies choose, the outbox keeps, receivers hear. Plugins are loaded through entry points."""

import hookplugin.guard  # noqa: F401 - before anything imports hookspecs

# isort: split
from hookplugin.config import Config
from hookplugin.discovery import PluginStatus
from hookplugin.document import ConfigError
from hookplugin.failures import Failure
from hookplugin.host import Host, prepare
from hookplugin.receipt import Receipt, Unsent
from hookplugin.references import Secret
from hookplugin.sources import PayloadError, UnknownSourceError
from hookplugin.strategy.explain import Explanation, ReceiverExplanation, StrategyExplanation
from hookplugin.version import __version__
from hookspecs import (
    Alert,
    Body,
    Context,
    Delivery,
    Message,
    Outcome,
    Priority,
    Reason,
    Registry,
    SendError,
    Status,
    WireRequest,
    hookimpl,
)

__all__ = [
    "Alert",
    "Body",
    "Config",
    "ConfigError",
    "Context",
    "Delivery",
    "Explanation",
    "Failure",
    "Host",
    "Message",
    "Outcome",
    "PayloadError",
    "PluginStatus",
    "Priority",
    "Reason",
    "Receipt",
    "ReceiverExplanation",
    "Registry",
    "Secret",
    "SendError",
    "Status",
    "StrategyExplanation",
    "UnknownSourceError",
    "Unsent",
    "WireRequest",
    "__version__",
    "hookimpl",
    "prepare",
]
