"""A guard against foreign modules of the name `hookspecs`, which pluggy's own tutorial uses: importing this checks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

try:
    _found = find_spec("hookspecs")
except ValueError:  # a module that says nothing of where it came from
    _found = None
_ours = Path(__file__).parent.parent / "hookspecs" / "__init__.py"
if _found is None or not _found.origin or not _ours.exists() or not _ours.samefile(_found.origin):
    _where = (_found and _found.origin) or "a folder without __init__.py"
    _message = (
        f"hookplugin needs the package 'hookspecs' that is installed with it, but found {_where}. "
        "Rename that module, or move it behind site-packages on sys.path."
    )
    raise ImportError(_message)
