"""Source `icinga`: a notification of Icinga 2, as the variables of our notification command (README).

Source: Icinga 2's documentation, "Runtime Macros", and notifications of Icinga 2.13.
"""

from __future__ import annotations

import re
from typing import Any, Final

from hookplugin.sources.checks import Notification, alert_of
from hookplugin.sources.variables import Variables, epoch, given
from hookspecs import Alert, Context

_OF_BOTH: Final = (
    "NAME", "DISPLAY_NAME", "GROUPS", "STATE", "LAST_STATE", "LAST_STATE_CHANGE", "PREVIOUS_STATE_CHANGE", "OUTPUT",
)  # fmt: skip
_TAG: Final = "TAG_"
_UNRESOLVED: Final = re.compile(r"\$[\w.]+\$")

VARIABLES: Final = Variables(
    prefix="ICINGA_",
    needed="HOST_NAME",
    tags=re.compile(f"{_TAG}(?=.)"),
    names=frozenset(
        {
            "NOTIFICATION_TYPE", "NOTIFICATION_AUTHOR", "NOTIFICATION_COMMENT", "HOST_ADDRESS", "USER_NAME", "TIMET",
            "LINK", *(f"{kind}_{name}" for name in _OF_BOTH for kind in ("HOST", "SERVICE")),
        }
    ),
)  # fmt: skip


def parse_icinga(payload: Any, context: Context) -> list[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read one notification: an object of our names, with or without the prefix `ICINGA_`, and their values.

    Raises:
        ValueError: it names no host.

    """
    variables = given(payload, VARIABLES.prefix, _UNRESOLVED)
    if "HOST_NAME" not in variables:
        message = "there is no HOST_NAME: these are not the variables of our notification command for Icinga"
        raise ValueError(message)
    kind = "SERVICE" if "SERVICE_NAME" in variables else "HOST"

    def of(name: str) -> str:
        return variables.get(name.format(kind), "")

    first, _, more = of("{}_OUTPUT").partition("\n")
    well = of("{}_STATE").strip().upper() in {"OK", "UP"}
    groups = {"hostgroups": of("HOST_GROUPS"), "servicegroups": of("SERVICE_GROUPS")}
    return [
        alert_of(
            Notification(
                source="icinga",
                type=of("NOTIFICATION_TYPE"),
                host=of("HOST_NAME"),
                service=of("SERVICE_NAME"),
                state=of("{}_STATE"),
                last_state=of("{}_LAST_STATE"),
                output=first,
                more_output=more,
                author=of("NOTIFICATION_AUTHOR"),
                comment=of("NOTIFICATION_COMMENT"),
                since=epoch(of("{}_PREVIOUS_STATE_CHANGE" if well else "{}_LAST_STATE_CHANGE")),
                at=epoch(of("TIMET")),
                link=of("LINK"),
                tags={
                    **{name.removeprefix(_TAG).lower(): value for name, value in variables.items() if _is_tag(name)},
                    **{name: value.replace(";", ",") for name, value in groups.items() if value},
                },
                annotations={
                    "address": of("HOST_ADDRESS"),
                    "alias": of("{}_DISPLAY_NAME") if of("{}_DISPLAY_NAME") != of("{}_NAME") else "",
                    "contact": of("USER_NAME"),
                },
                raw=payload,
            ),
            context,
        )
    ]


def _is_tag(name: str) -> bool:
    return VARIABLES.tags.match(name) is not None
