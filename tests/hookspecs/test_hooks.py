"""The hooks: their documentation runs, and the contract stands alone."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

import hookspecs
from hookspecs import Alert, Context, Delivery, Outcome, Registry

HOOKS = ("alert_register", "alert_configure", "alert_fired", "alert_delivered", "alert_shutdown")


def new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def example(hook: str) -> ModuleType:
    """Run the example in a hook's documentation as a module."""
    found = re.findall(r"```python\n(.*?)```", inspect.getdoc(getattr(hookspecs, hook)) or "", re.DOTALL)
    assert len(found) == 1
    module = ModuleType(f"example_of_{hook}")
    exec(compile(textwrap.dedent(found[0]), module.__name__, "exec"), module.__dict__)
    return module


def modules_after(code: str) -> set[str]:
    """Return the packages that a new interpreter has loaded after some code, without the standard library's."""
    code += "\nimport json, sys; print(json.dumps([name for name in sys.modules if name != '__main__']))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return {name.partition(".")[0] for name in json.loads(run.stdout)} - sys.stdlib_module_names


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_each_hook_is_a_plugin_that_implements_it(hook: str) -> None:
    manager, plugin = new_manager(), example(hook)
    manager.register(plugin)
    manager.check_pending()
    callers = manager.get_hookcallers(plugin)
    assert callers is not None
    assert [caller.name for caller in callers] == [hook]


def test_the_examples_work_through_the_life_of_a_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "journal")
    manager, registry = new_manager(), Registry()
    for hook in HOOKS:
        manager.register(example(hook))
    context = Context(registry=registry)
    alert = Alert(content="disk full", priority="critical", times=2)
    delivery = Delivery(id="1", alert=alert, receiver="ops", body="hertzbeat")
    manager.hook.alert_register(registry=registry)
    manager.hook.alert_configure(context=context)
    assert manager.hook.alert_fired(alert=alert, context=context) == []
    manager.hook.alert_delivered(
        delivery=delivery, outcome=Outcome(state="dead", reason=hookspecs.Reason.gone), context=context
    )
    manager.hook.alert_shutdown(context=context)
    assert registry.filters["noise"](alert) is True
    assert (tmp_path / "alerts.log").exists()
    assert context.state["journal"].closed
    assert caplog.messages == ["firing critical: disk full", "ops did not hear of it: gone"]


def test_there_are_these_hooks_and_no_others() -> None:
    specified = [name for name in vars(hookspecs) if new_manager().parse_hookspec_opts(hookspecs, name)]
    assert sorted(specified) == sorted(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_no_hook_lets_the_order_of_installation_pick_a_winner(hook: str) -> None:
    options: Any = new_manager().parse_hookspec_opts(hookspecs, hook)
    assert (options["firstresult"], options["historic"]) == (False, False)


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_says_when_it_is_called_what_it_takes_and_what_an_error_costs(hook: str) -> None:
    documentation = inspect.getdoc(getattr(hookspecs, hook)) or ""
    expected = ["When:", "Args:", "Errors:", "Example:"]
    expected += [f"    {argument}: " for argument in inspect.signature(getattr(hookspecs, hook)).parameters]
    assert [part for part in expected if part not in documentation] == []


def test_all_promises_exactly_what_is_exported() -> None:
    exported = [name for name, value in vars(hookspecs).items() if name[0] != "_" and not inspect.ismodule(value)]
    assert sorted(exported) == sorted(hookspecs.__all__)


def test_the_contract_imports_nothing_but_pluggy_and_pydantic() -> None:
    needed = modules_after("import pluggy, pydantic\nclass Model(pydantic.BaseModel):\n    field: int")
    assert {"pluggy", "pydantic"} <= needed
    assert modules_after("import hookspecs") - needed == {"hookspecs"}
