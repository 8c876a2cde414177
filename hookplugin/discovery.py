"""Discovery: plugins from entry points, where one that is broken never stops another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal

import pluggy

import hookspecs
from hookplugin.failures import Failure
from hookplugin.isolation import contain, describe
from hookplugin.problems import nearest
from hookspecs import PROJECT
from hookspecs.frozen import Frozen, FrozenDict

HOOKS: Final = ("alert_register", "alert_configure", "alert_fired", "alert_delivered", "alert_shutdown")
OURS: Final = "hookplugin"
"""The distribution whose plugins nobody else can displace."""


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
    settings: Mapping[str, Any] | None = None
    """JSON schema of its settings; none if it has no model of them."""
    failures: tuple[Failure, ...] = ()
    """What it failed at since the host began."""


def discover(
    manager: pluggy.PluginManager,
    disabled: Collection[str] = (),
    brought: Mapping[str, object] = FrozenDict(),
) -> list[PluginStatus]:
    """Load and register the plugins of all installed packages, and those of the program itself.

    Args:
        manager: knows our hook specifications.
        disabled: names that are not even imported.
        brought: what the program itself has, by name; it displaces what is installed under that name, but for ours.

    """
    # By name and package, never in the order of installation; the metadata of each package is read once.
    installed = sorted(
        ((_status(entry), entry.load) for entry in entry_points(group=PROJECT)),
        key=lambda one: (one[0].name, one[0].package or ""),
    )
    statuses: list[PluginStatus] = []
    taken: dict[str, PluginStatus] = {}
    found: list[tuple[PluginStatus, Callable[[], object]]] = [
        *(one for one in installed if one[0].package == OURS),
        *((PluginStatus(name=name), partial(_itself, brought[name])) for name in sorted(brought)),
        *(one for one in installed if one[0].package != OURS),
    ]
    for status, load in found:
        name, first = status.name, taken.get(status.name)
        if first is None:
            taken[name] = status
        if first and name in brought and first.package is None:
            told = _off(status, "disabled", "the program brings a plugin of that name itself")
        elif first:
            both = f"{_provider(first)} and {_provider(status)} both offer the name {name!r}"
            told = _off(status, "failed", f"{both}; {_provider(first)} has it, remove one")
        elif name in disabled:
            told = _off(status, "disabled", "disabled by the configuration")
        else:
            told = _load(manager, load, status)
        statuses.append(told)
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
    if not found:
        return f"it implements no hook; {_instead(manager, plugin)}"
    hooks: set[str] = set()
    for name, options, function in found:
        hook = options["specname"] or name
        if hook in hooks:
            return f"it implements {hook!r} twice; let one function call the other"
        hooks.add(hook)
        if reason := _trouble(manager, name, hook, options, function):
            return reason
    marked = {name for name, _, _ in found}
    for name in HOOKS:
        if name not in marked and inspect.isroutine(getattr(plugin, name, None)):
            return f"{name} is not marked, and would never be called; write @hookimpl above it"
    return None


def _trouble(
    manager: pluggy.PluginManager, name: str, hook: str, options: pluggy.HookimplOpts, function: object
) -> str | None:
    """Return why a function cannot implement a hook, in words; none if it can."""
    if hook not in HOOKS:
        own = getattr(manager.hook, hook, None)  # a host may have specified hooks of its own
        known = options["optionalhook"] or (own and own.has_spec())
        return None if known else f"there is no hook {hook!r}{nearest(hook, HOOKS)}"
    if options["wrapper"] or options["hookwrapper"]:
        return f"{name} is a wrapper; wrappers could stop the other plugins, write a plain function"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"{name} is async; nobody would await it, write a plain function"
    if inspect.isgeneratorfunction(function):
        return f"{name} is a generator; it would run late and outside the call, return a list"
    if strange := _unknown_argument(hook, function):
        return f"{name} takes {strange!r}{nearest(strange, inspect.signature(getattr(hookspecs, hook)).parameters)}"
    return None


def _unknown_argument(hook: str, function: object) -> str | None:
    """Return an argument that a function needs and its hook does not have."""
    known = inspect.signature(getattr(hookspecs, hook)).parameters
    try:
        taken = inspect.signature(function).parameters.values() if callable(function) else ()
    except (TypeError, ValueError):
        return None
    named = (one for one in taken if one.kind in {one.POSITIONAL_OR_KEYWORD, one.POSITIONAL_ONLY})
    return next((one.name for one in named if one.name not in known and one.default is one.empty), None)


def _instead(manager: pluggy.PluginManager, plugin: object) -> str:
    """Say what to do about something that implements no hook."""
    classes = (one for one in vars(plugin).values() if inspect.isclass(one)) if inspect.ismodule(plugin) else ()
    for one in classes:
        if any(True for _ in _implementations(manager, one)):
            return f"the class {one.__name__} does: let the entry point name an instance of it"
    return "mark functions with @hookplugin.hookimpl"


def _load(manager: pluggy.PluginManager, load: Callable[[], object], status: PluginStatus) -> PluginStatus:
    try:
        plugin = load()
        reason = refusal(manager, plugin)
        if reason is None:
            _register(manager, plugin, status.name)
            return status.model_copy(update={"hooks": _hooks_of(manager, plugin)})
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises
        contain(error)
        reason = f"it cannot be loaded: {describe(error)}"
    return _off(status, "failed", reason)


def _off(status: PluginStatus, state: Literal["disabled", "failed"], reason: str) -> PluginStatus:
    return status.model_copy(update={"state": state, "reason": reason})


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    if other := manager.get_name(plugin):
        message = f"it is the plugin {other!r} already"
        raise ValueError(message)
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


def _itself(plugin: object) -> object:
    return plugin


def _provider(status: PluginStatus) -> str:
    return f"{status.package} {status.version}" if status.package else "a package without a name"
