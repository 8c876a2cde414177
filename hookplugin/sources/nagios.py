"""Source `nagios`: the macros of a notification of Nagios, as variables.

Source: Nagios Core's documentation, "Standard Macros in Nagios", and notifications of Nagios 4.4.6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hookplugin.sources.checks import Notification, alert_of
from hookplugin.sources.variables import Variables, epoch, given
from hookspecs import Alert, Context

_OF_BOTH: Final = (
    "{}STATE", "LAST{}STATE", "LAST{}STATECHANGE", "{}OUTPUT", "LONG{}OUTPUT", "{}PROBLEMID", "LAST{}PROBLEMID",
    "{}NOTIFICATIONID", "{}INFOURL", "{}GROUPNAMES",
)  # fmt: skip
_TAG: Final = re.compile("(?:_HOST|_SERVICE)?TAG_(?=.)")
_UNRESOLVED: Final = re.compile(r"\$\w+(?::[^$]*)?\$")

VARIABLES: Final = Variables(
    prefix="NAGIOS_",
    needed="HOSTNAME",
    tags=_TAG,
    names=frozenset(
        {
            "NOTIFICATIONTYPE", "NOTIFICATIONAUTHOR", "NOTIFICATIONCOMMENT", "HOSTNAME", "HOSTALIAS", "HOSTADDRESS",
            "SERVICEDESC", "LASTHOSTUP", "LASTSERVICEOK", "CONTACTNAME", "TIMET",
            *(name.format(kind) for name in _OF_BOTH for kind in ("HOST", "SERVICE")),
        }
    ),
)  # fmt: skip
"""Other custom variables than `_TAG_NAME` are not read from the environment: many hold passwords."""


def parse_nagios(payload: Any, context: Context) -> list[Alert]:  # noqa: ANN401 - JSON has no narrower type
    """Read one notification: an object of macro names, with or without the prefix `NAGIOS_`, and their values.

    Raises:
        ValueError: it names no host.

    """
    macros = given(payload, VARIABLES.prefix, _UNRESOLVED)
    if "HOSTNAME" not in macros:
        message = "there is no HOSTNAME: these are not the macros of a Nagios notification"
        raise ValueError(message)
    kind = "SERVICE" if "SERVICEDESC" in macros else "HOST"

    def of(name: str) -> str:
        return macros.get(name.format(kind), "")

    return [
        alert_of(
            Notification(
                source="nagios",
                type=of("NOTIFICATIONTYPE"),
                host=of("HOSTNAME"),
                service=of("SERVICEDESC"),
                state=of("{}STATE"),
                last_state=of("LAST{}STATE"),
                output=of("{}OUTPUT"),
                more_output=of("LONG{}OUTPUT").replace(r"\n", "\n"),  # as Nagios writes it
                author=of("NOTIFICATIONAUTHOR"),
                comment=of("NOTIFICATIONCOMMENT"),
                problem=_number(of("{}PROBLEMID")) or _number(of("LAST{}PROBLEMID")),
                since=_since(macros, kind),
                at=epoch(of("TIMET")),
                event=_number(of("{}NOTIFICATIONID")),
                link=of("{}INFOURL"),
                tags=_tags(macros),
                annotations={
                    "address": of("HOSTADDRESS"),
                    "alias": of("HOSTALIAS") if of("HOSTALIAS") != of("HOSTNAME") else "",
                    "contact": of("CONTACTNAME"),
                },
                raw=payload,
            ),
            context,
        )
    ]


def _number(text: str) -> str:
    return "" if text.strip() == "0" else text.strip()


def _since(macros: Mapping[str, str], kind: str) -> int | None:
    """Return when all was well for the last time, or else since when it is not.

    With a recovery, versions before 4.4 say that all is well now; when the problem began is not known then.
    """
    well = epoch(macros.get("LASTSERVICEOK" if kind == "SERVICE" else "LASTHOSTUP"))
    changed = epoch(macros.get(f"LAST{kind}STATECHANGE"))
    if macros.get(f"{kind}STATE") in {"OK", "UP"}:
        return well if well and changed and well < changed else None
    return well if well and changed and well <= changed else changed


def _tags(macros: Mapping[str, str]) -> dict[str, str]:
    """Return groups and custom variables; a service's count before its host's, and what is named TAG_ before both."""
    tags: dict[str, str] = {}
    for start in ("_HOST", "_SERVICE", "TAG_"):
        found = {name.removeprefix(start).removeprefix("TAG_"): name for name in macros if name.startswith(start)}
        tags |= {short.lower(): macros[name] for short, name in found.items() if short}
    groups = {"hostgroups": "HOSTGROUPNAMES", "servicegroups": "SERVICEGROUPNAMES"}
    return tags | {tag: macros[name] for tag, name in groups.items() if name in macros}
