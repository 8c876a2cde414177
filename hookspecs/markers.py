"""The markers that hosts and plugins share."""

from __future__ import annotations

from typing import Final

import pluggy

PROJECT: Final = "hookplugin"
"""Name of the plugin project: of both markers and of the entry-point group."""

hookspec: Final = pluggy.HookspecMarker(PROJECT)
"""Mark a function as the specification of a hook."""

hookimpl: Final = pluggy.HookimplMarker(PROJECT)
"""Mark a function of a plugin as its implementation of a hook."""
