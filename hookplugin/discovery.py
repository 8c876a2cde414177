"""Discovery: plugins from entry points, where one that is broken never stops another."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Collection, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal

import pluggy

from hookplugin.isolation import contain, describe
from hookplugin.problems import nearest
from hookspecs import PROJECT
from hookspecs.frozen import Frozen

HOOKS: Final = ("alert_register", "alert_configure", "alert_fired", "alert_delivered", "alert_shutdown")
OURS: Final = "hookplugin"
"""The distribution whose plugins nobody else can displace."""

_log = logging.getLogger("hookplugin")


class PluginStatus(Frozen):
    """Say what became of one plugin."""

    name: str
    """The entry point's, or the one it is registered under."""
    package: str | None = None
    version: str | None = None
    state: Literal["active", "disabled", "failed"] = "active"
    reason: str | None = None
    """Why it is not active."""
    hooks: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    """What the configuration can name: `filter noise`."""


def discover(manager: pluggy.PluginManager, disabled: Collection[str] = ()) -> list[PluginStatus]:
    """Load and register the plugins of all installed packages.

    Args:
        manager: knows our hook specifications.
        disabled: names that are not even imported.

    """
    statuses: list[PluginStatus] = []
    taken: dict[str, PluginStatus] = {}
    for entry in sorted(entry_points(group=PROJECT), key=_order):
        status = _status(entry)
        if entry.name in taken:
            first = _provider(taken[entry.name])
            reason = f"{first} and {_provider(status)} both offer the name {entry.name!r}; {first} has it, remove one"
            status = _off(status, "failed", reason)
        elif entry.name in disabled:
            status = _off(status, "disabled", "disabled by the configuration")
        else:
            status = _load(manager, entry, status)
        taken.setdefault(entry.name, status)
        statuses.append(status)
    return sorted(statuses, key=lambda status: status.name)


def take_over(manager: pluggy.PluginManager, disabled: Collection[str] = ()) -> list[PluginStatus]:
    """Return the plugins that a host's own manager holds, and unregister those that cannot or must not run.

    Args:
        manager: knows our hook specifications.
        disabled: names that must not run.

    """
    distributions = {id(plugin): distribution for plugin, distribution in manager.list_plugin_distinfo()}
    statuses = []
    for name, plugin in sorted(manager.list_name_plugin(), key=lambda pair: pair[0]):
        hooks = _hooks_of(manager, plugin) if plugin is not None else ()
        if not hooks:
            continue
        distribution = distributions.get(id(plugin))
        package, version = (distribution.project_name, distribution.version) if distribution else (None, None)
        status = PluginStatus(name=name, package=package, version=version, hooks=hooks)
        reason = refusal(manager, plugin)
        if name in disabled:
            status = _off(status, "disabled", "disabled by the configuration")
        elif reason:
            status = _off(status, "failed", reason)
        if status.state != "active":
            manager.unregister(name=name)
        statuses.append(status)
    return statuses


def refusal(manager: pluggy.PluginManager, plugin: object) -> str | None:
    """Return why something cannot be a plugin, in words; none if it can."""
    if inspect.isclass(plugin):
        return f"it is a class; let the entry point name an instance of {plugin.__name__}, or a module"
    found = list(_implementations(manager, plugin))
    hooks: set[str] = set()
    for name, options, function in found:
        hook = options["specname"] or name
        if hook in hooks:
            return f"it implements {hook!r} twice; let one function call the other"
        hooks.add(hook)
        if hook not in HOOKS:
            own = getattr(manager.hook, hook, None)  # a host may have specified hooks of its own
            if options["optionalhook"] or (own and own.has_spec()):
                continue
            return f"there is no hook {hook!r}{nearest(hook, HOOKS)}"
        if options["wrapper"] or options["hookwrapper"]:
            return f"{name} is a wrapper; wrappers could stop the other plugins, write a plain function"
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            return f"{name} is async; nobody would await it, write a plain function"
        if inspect.isgeneratorfunction(function):
            return f"{name} is a generator; it would run late and outside the call, return a list"
    return None if found else "it implements no hook; mark functions with @hookplugin.hookimpl"


def _load(manager: pluggy.PluginManager, entry: EntryPoint, status: PluginStatus) -> PluginStatus:
    try:
        plugin = entry.load()
        reason = refusal(manager, plugin)
        if reason is None:
            _register(manager, plugin, entry.name)
            return status.model_copy(update={"hooks": _hooks_of(manager, plugin)})
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
        contain(error)
        reason = f"it cannot be loaded: {describe(error)}"
    return _off(status, "failed", reason)


def _off(status: PluginStatus, state: Literal["disabled", "failed"], reason: str) -> PluginStatus:
    if state == "failed":
        _log.warning("the plugin %r is off: %s", status.name, reason)
    return status.model_copy(update={"state": state, "reason": reason})


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    try:
        manager.register(plugin, name=name)
    except BaseException:
        if manager.get_plugin(name) is plugin:
            manager.unregister(name=name)
        raise


def _implementations(
    manager: pluggy.PluginManager, plugin: object
) -> Iterator[tuple[str, pluggy.HookimplOpts, object]]:
    """Find what `hookimpl` has marked."""
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is not None:
            yield name, options, getattr(plugin, name)


def _hooks_of(manager: pluggy.PluginManager, plugin: object) -> tuple[str, ...]:
    callers = manager.get_hookcallers(plugin) or []
    names = {caller.name for caller in callers}
    return tuple(hook for hook in HOOKS if hook in names)


def _status(entry: EntryPoint) -> PluginStatus:
    if entry.dist is None:
        return PluginStatus(name=entry.name)
    metadata: Any = entry.dist.metadata  # typed without `get` before Python 3.12
    return PluginStatus(name=entry.name, package=metadata.get("Name"), version=metadata.get("Version"))


def _order(entry: EntryPoint) -> tuple[bool, str, str]:
    """Load ours first, then by name and package: never in the order of installation."""
    package = _status(entry).package or ""
    return package != OURS, entry.name, package


def _provider(status: PluginStatus) -> str:
    return f"{status.package} {status.version}" if status.package else "a package without a name"
