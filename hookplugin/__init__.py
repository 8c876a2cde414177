"""Alert webhooks: strategies choose, the outbox keeps, receivers hear. Plugins are loaded through entry points."""

try:
    import hookspecs as _hookspecs

    _ours = getattr(_hookspecs, "PROJECT", None) == "hookplugin"
    _where = getattr(_hookspecs, "__file__", None) or "a folder without __init__.py"
except Exception as _error:  # noqa: BLE001 - a foreign module may raise whatever it likes
    _ours, _where = False, f"a module that fails to import ({type(_error).__name__}: {_error})"
if not _ours:
    _message = (
        f"hookplugin needs the package 'hookspecs' that is installed with it, but found {_where}. "
        "Rename that module, or move it behind site-packages on sys.path."
    )
    raise ImportError(_message)

from hookplugin.config import Config
from hookplugin.discovery import PluginStatus
from hookplugin.document import ConfigError
from hookplugin.host import Host, prepare
from hookplugin.receipt import Receipt, Unsent
from hookplugin.sources import PayloadError, UnknownSourceError
from hookplugin.version import __version__
from hookspecs import (
    Alert,
    Body,
    Context,
    Delivery,
    Outcome,
    Priority,
    Reason,
    Registry,
    Status,
    hookimpl,
)

__all__ = [
    "Alert",
    "Body",
    "Config",
    "ConfigError",
    "Context",
    "Delivery",
    "Host",
    "Outcome",
    "PayloadError",
    "PluginStatus",
    "Priority",
    "Reason",
    "Receipt",
    "Registry",
    "Status",
    "UnknownSourceError",
    "Unsent",
    "__version__",
    "hookimpl",
    "prepare",
]
