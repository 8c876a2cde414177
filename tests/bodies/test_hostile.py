"""Templates that must not be accepted, each read in a process of its own; and ordinary ones, which must be."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from hookplugin.bodies.model import BodyTemplate
from hookplugin.bodies.rendering import Bodies, Request
from hookplugin.bodies.sample import SAMPLES
from hookspecs import Delivery

HOSTILE = [
    # growing
    *("{{ 'a' * 1000000000 }}", "{{ alert.content * 99999 }}", "{{ 9 ** 9 ** 9 }}", "{{ 2 ** 64 }}"),
    "{{ 7*7 }}",
    *("{{ 1 + 1 }}", "{{ alert.content + alert.content }}", "{{ alert.content ~ alert.content }}", "{{ 1 - 1 }}"),
    *("{{ 1 / 0 }}", "{{ 1 // 2 }}", "{{ '%99999999d' % 1 }}", "{{ +1 }}", "{{ -alert.times }}"),
    *("{{ 'x' | center(999999999) }}", "{{ 'x' | format(1) }}", "{{ alert.content | indent(99999999) }}"),
    *("{{ alert.content | replace('', 'aaaaaaaa') }}", "{{ alert.content | replace(alert.content, alert.content) }}"),
    *("{{ alert.raw | join(alert.content) }}", "{{ alert.content | truncate(99999999999) }}"),
    "{{ alert.id | round(99) }}",
    *("{{ now | local('UTC', '%99999999Y') }}", "{{ now | local(alert.content) }}"),
    "{{ alert.content | wordwrap(1) }}",
    *("{{ alert.content | list }}", "{{ alert.raw | batch(1) }}", "{{ alert.raw | slice(99999999) }}"),
    *("{{ " + "9" * 5000 + " }}", "{{ " + "9" * 30 + " }}", "x" * 5000 + "{{ alert.id }}"),
    # never ending
    *("{% for i in range(999999999) %}x{% endfor %}", "{{ range(10) }}", "{{ lipsum(n=99999) }}", "{{ cycler(1) }}"),
    "{% for a in alerts recursive %}{{ loop(alerts) }}{% endfor %}",
    "{% for a in alerts %}{% for b in alerts %}{% for c in alerts %}x{% endfor %}{% endfor %}{% endfor %}",
    *("{% for c in alert.content %}{{ c }}{% endfor %}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
    *("{{ joiner() }}", "{{ namespace() }}", "{% call f() %}{% endcall %}"),
    # reaching what is not theirs
    *("{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ alert.__init__.__globals__ }}"),
    *("{{ alert['__class__'] }}", "{{ alert.tags['__class__'] }}", "{{ alert | attr('__class__') }}"),
    *("{{ alert._name }}", "{{ _x }}", "{{ self }}", "{{ self.__init__ }}", "{{ config }}"),
    "{{ request.application }}",
    *("{{ alert.model_dump }}", "{{ alert.model_dump() }}", "{{ alert.content.upper() }}", "{{ alert.tags.pop('x') }}"),
    *("{{ alerts.append(1) }}", "{{ alerts | map('upper') }}", "{{ alerts | map(attribute='__class__') }}"),
    *("{{ alerts | map(attribute='tags.__class__') }}", "{{ alerts | join(attribute='_x') }}", "{{ 'a'.format(1) }}"),
    *("{{ '{0.__class__}'.format(alert) }}", "{{ ''['__class__'] }}", "{{ joiner.__init__ }}", "{{ loop }}"),
    *("{% for a in alerts %}{{ loop.__class__ }}{% endfor %}", "{% for __x in alerts %}{% endfor %}"),
    *("{% for vars in alerts %}{{ vars }}{% endfor %}", "{% for loop in alerts %}x{% endfor %}"),
    # changing, and bringing in
    *("{% set x = 1 %}", "{% set x %}a{% endset %}", "{% with x = 1 %}{{ x }}{% endwith %}", "{% do alerts.clear() %}"),
    *("{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}"),
    *("{% block a %}{% endblock %}", "{% filter upper %}x{% endfilter %}"),
    "{% autoescape false %}x{% endautoescape %}",
    *("{% trans %}x{% endtrans %}", "{% debug %}", "{% break %}", "{% raw %}"),
    # secrets
    *("{{ vars }}", "{{ vars | string }}", "{{ vars.key | upper }}", "{{ vars[alert.content] }}"),
    "{{ vars.key == 'a' }}",
    *("{{ vars.key[0] }}", "{{ 'a' in vars.key }}", "{{ vars.key if vars.key else 'x' }}", "{{ [vars.key] }}"),
    *("{{ {'a': vars.key} }}", "{{ vars.key | length }}", "{% if vars.key %}x{% endif %}", "{{ vars.__class__ }}"),
    *("{{ alert.tags[vars.key] }}", "{{ alert.content | default(vars.key) }}"),
    "{% for c in [vars.key] %}{{ c }}{% endfor %}",
    # what is no template
    *("{{", "{{ }}", "{% %}", "{{ alert.content", "{% if alert %}", "{% endfor %}", "{{ alert.. }}", "{{ '' }"),
    *("{{ alert.id }}{#", "{{ alert.id }}{# open", "{{ alert.id }}{% raw %}"),
    *("{{ " + "(" * 900 + "1" + ")" * 900 + " }}", "{{ " + "not " * 900 + "1 }}"),
    "{{ " + "[" * 900 + "]" * 900 + " }}",
    *("{{ alert" + ".tags" * 700 + " }}", "{% if 1 %}" * 300 + "{% endif %}" * 300),
]  # fmt: skip
READ = """
import json, os, resource, signal, sys
from pydantic import ValidationError
from hookplugin.bodies.model import BodyTemplate

for kind, source in json.load(sys.stdin):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (512 * 1024 * 1024,) * 2)
        signal.setitimer(signal.ITIMER_REAL, 2)
        try:
            BodyTemplate.model_validate({"name": "x", kind: {"a": source} if kind != "text" else source})
            answer = "accepted"
        except ValidationError:
            answer = "refused"
        except BaseException as error:
            answer = repr(error)
        os.write(writer, answer.encode()[:1000])
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    print(json.dumps(os.read(reader, 1000).decode() or f"ended by {status}"), flush=True)
    os.close(reader)
"""


def test_every_hostile_template_is_refused_when_it_is_read_within_512_mb_and_two_seconds() -> None:
    asked = [(kind, source) for source in HOSTILE for kind in ("json", "text", "form")]
    done = subprocess.run(
        [sys.executable, "-c", READ], input=json.dumps(asked), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [(*one, answer) for one, answer in zip(asked, answers, strict=True) if answer != "refused"]
    assert len(HOSTILE) >= 60
    assert wrong == []


ORDINARY: list[Any] = [
    {"text": "{{ alert.content }}"},
    {"text": "[{{ alert.priority.name | upper }}] {{ alert.target }}: {{ alert.content }}"},
    {"text": "{{ 'RESOLVED' if alert.status == 'recovered' else 'FIRING' }} {{ alert.content }}"},
    {"text": "{{ alert.content | truncate(100) }}", "id": "{{ alert.id }}"},
    {"text": "{% if alert.tags.env == 'prod' %}🔥 {% endif %}{{ alert.content }}"},
    {"text": "{% if status == 'firing' %}down{% elif status == 'recovered' %}up{% else %}?{% endif %}"},
    {"text": "{{ alert.tags.instance | default('unknown') }}"},
    {"text": "{{ alert.annotations.summary | default(alert.content, true) }}"},
    {"text": "{{ alert.tags['pod-name'] }} in {{ alert.tags.namespace }}"},
    {"at": "{{ alert.first_trigger_time | local('Europe/Berlin', '%d.%m.%Y %H:%M') }}"},
    {"at": "{{ now | iso }}", "since": "{{ alert.first_trigger_time | iso }}"},
    {"lasted": "{{ alert.first_trigger_time | duration(now) }}"},
    {"value": "{{ alert.annotations.value | float | round(2) }}"},
    {"count": "{{ alerts | length }}", "firing": "{{ firing | length }}"},
    {"hosts": "{{ alerts | map(attribute='tags.instance') | join(', ') }}"},
    {"color": "{{ {'emergency': '#ff0000', 'critical': '#ff8800'}[alert.priority.name] | default('#ffcc00') }}"},
    {"level": "{{ 1 if alert.priority <= 1 else 2 }}"},
    {"tags": "{{ alert.tags }}"},
    {"tags": [{"for name, value in alert.tags | items": "{{ name }}:{{ value }}"}]},
    {
        "fields": [
            {"for name, value in alert.tags | items": {"title": "{{ name }}", "value": "{{ value }}", "short": True}}
        ]
    },
    {"alerts": [{"for one in alerts": {"title": "{{ one.content }}", "n": "{{ loop.index }}"}}]},
    {
        "text": "{% for one in alerts %}{{ loop.index }}. {{ one.content }}"
        "{% if not loop.last %}\n{% endif %}{% endfor %}"
    },
    {"text": "{% for one in firing[:5] %}* {{ one.target }}\n{% endfor %}"},
    {"text": "{%- for k, v in alert.tags | items if k != 'alertname' -%} {{ k }}={{ v }} {%- endfor -%}"},
    {"labels": [{"for name, value in common_tags | items if name not in ['alertname', 'severity']": "{{ name }}"}]},
    {"url": "https://wiki.example.com/{{ alert.tags.alertname | lower | replace(' ', '-') | urlencode }}"},
    {"link": "{{ alert.link | url }}", "raw": "{{ alert.raw.generatorURL }}"},
    {"chat_id": 7, "parse_mode": "HTML", "text": "<b>{{ alert.target | e }}</b>\n{{ alert.content | escape }}"},
    {"key": "{{ vars.key }}", "auth": "Bearer {{ vars.token }}"},
    {"alias": "{{ alert.fingerprint }}", "close": "{{ alert.status == 'recovered' }}"},
    {"message": "{# a comment #}{{ alert.content | trim | title }}"},
    {"text": "{% raw %}{{ not this }}{% endraw %} {{ receiver }} {{ strategy }} {{ delivery.id }}"},
    {"text": "{{ alert.content is defined and alert.content is string }}", "n": "{{ alert.times | int }}"},
    {"summary": "{{ (alerts | first).content }}", "last": "{{ alerts[-1].content }}"},
    {"matrix": {"msgtype": "m.text", "body": "{{ headline }}: {{ (ranked | first).content | capitalize }}"}},
    {"nested": [[{"for a in alerts": [{"for k, v in a.tags | items": ["{{ k }}", "{{ v | string }}"]}]}]]},
    {"when": "{{ 'night' if (now | local('UTC', '%H') | int) < 6 else 'day' }}"},
    {"urgent": "{{ alert.priority in ['emergency', 'critical'] and not alert.tags.silenced }}"},
]


@pytest.mark.parametrize("tree", ORDINARY, ids=range(len(ORDINARY)))
def test_ordinary_templates_are_accepted_and_can_be_rendered_of_every_sample(tree: Any) -> None:
    bodies = Bodies([BodyTemplate.model_validate({"name": "x", "json": tree})])
    for alerts in SAMPLES.values():
        deliveries = [Delivery(id="d", alert=alert, receiver="ops", body="x", strategies=("s",)) for alert in alerts]
        content = bodies.render(Request("r", deliveries, datetime.now(UTC), many=True)).content
        assert list(json.loads(content.replace(b"\xff", b""))) == [
            key for key in tree if f'"{key}":'.encode() in content
        ]


def test_there_are_many_ordinary_templates() -> None:
    assert len(ORDINARY) >= 30
