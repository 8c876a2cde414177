"""Models of plugins: what an operator wrote for one, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

from hookplugin.delivery.redaction import spellings, starred
from hookplugin.problems import Path as KeyPath
from hookplugin.problems import Problem, problems_of
from hookspecs import SettingsError


def mistakes(error: SettingsError, model: type[BaseModel] | None, where: KeyPath) -> Iterator[Problem]:
    """Find what a model refused, with the places in the configuration.

    Args:
        error: what it raised.
        model: whose keys are suggested for those that are unknown.
        where: the place of what it was given.

    """
    hidden = spellings(error.secrets)
    for problem in problems_of(error.error, lambda path: _keys(model, path)):
        yield Problem((*where, *problem.path), starred(problem.message, hidden))


def _keys(model: type[BaseModel] | None, path: KeyPath) -> Iterable[str]:
    """Return the keys that are allowed where a path leads."""
    for key in path:
        if model and isinstance(key, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = _model_in(fields[key].annotation) if key in fields else None
    return [field.alias or name for name, field in model.model_fields.items()] if model else ()


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - whatever a plugin's author has written
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
