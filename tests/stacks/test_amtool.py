"""Matchers are read, and match, as Alertmanager's own `amtool` reads and matches them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import pytest

from hookplugin.strategy.matchers import Matcher, parse_matchers
from hookspecs import Alert

CLASSIC_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
NAMES = ["env", "team", "_x:y", "s2"]


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


def parsed(text: str) -> tuple[Matcher, ...] | None:
    try:
        return parse_matchers(text)
    except ValueError:
        return None


class Amtool:
    """Ask it, with one route for each text."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path, self._folder = path, folder

    def _configuration(self, name: str, texts: Sequence[str]) -> str:
        routes = [{"receiver": f"r{n}", "continue": True, "matchers": [text]} for n, text in enumerate(texts)]
        receivers = [{"name": name} for name in ("root", *(route["receiver"] for route in routes))]
        file = self._folder / name
        file.write_text(json.dumps({"route": {"receiver": "root", "routes": routes}, "receivers": receivers}))
        return str(file)

    def accepted(self, texts: Sequence[str]) -> list[bool]:
        """Say of each text whether a configuration may hold it."""
        files = [self._configuration(f"{number}.yml", [text]) for number, text in enumerate(texts)]
        said = subprocess.run([self._path, "check-config", *files], capture_output=True, text=True, check=False).stdout
        answers = dict(re.findall(r"^Checking '(.*?)'  (SUCCESS|FAILED)", said, re.MULTILINE))
        return [answers[file] == "SUCCESS" for file in files]

    def matching(self, texts: Sequence[str], all_labels: Sequence[Mapping[str, str]]) -> list[list[int]]:
        """Return the positions of the texts that match, for each set of labels."""
        file = self._configuration("all.yml", texts)
        command = [self._path, "config", "routes", "test", f"--config.file={file}"]
        found = []
        for labels in all_labels:
            given = [f"{name}={quote(value)}" for name, value in labels.items()]
            done = subprocess.run([*command, *given], capture_output=True, text=True, check=True)
            receivers = done.stdout.strip().split(",")
            found.append([] if receivers == ["root"] else sorted(int(receiver[1:]) for receiver in receivers))
        return found


@pytest.fixture
def amtool(foreign: Callable[..., str], tmp_path: Path) -> Amtool:
    return Amtool(foreign("amtool", package="prometheus-alertmanager"), tmp_path)


def ours(texts: Sequence[str], labels: Mapping[str, str]) -> list[int]:
    alert = Alert(content="x", tags=labels)
    return [n for n, text in enumerate(texts) if all(matcher.matches(alert) for matcher in parse_matchers(text))]


VALUES = ["", "a", "b", "ab", "A", "a\nb", "\n", "12", 'a"b', "a\\b", "a,b", " a ", "{a}", "ü", "a|b", "a.b", "]"]
PIECES = [
    *("a", "b", "ab", ".", ".*", ".+", "|", "a|b", "(a|b)", "(?:ab)?", "a*", "a+?", "a{2}", "(?i)a", "(?s).", "^", "$"),
    *("[^a]", "[a-b]+", "[[:alpha:]]", r"\d+", r"\w", r"\W", r"\s", r"\n", r"\b", r"\pL", r"\PL", r"\A", r"\z", r"\."),
    *(r"\\", "ü", ",", '"', " ", "]", "(?m)^a$", "(?U)a+", "x{0,1}", "\n", "()", "(?P<n>a)", r"\x61"),
]


def random_matcher(random: Random) -> str:
    name, operator = random.choice(NAMES), random.choice(["=", "!=", "=~", "=~", "!~"])
    pattern = "".join(random.choices(PIECES, k=random.randint(1, 3)))
    return f"{name}{operator}{quote(pattern if '~' in operator else random.choice(VALUES))}"


def random_labels(random: Random) -> dict[str, str]:
    return {"always": "a"} | {name: random.choice(VALUES) for name in NAMES if random.random() < 0.8}


def test_matchers_match_what_amtool_matches(amtool: Amtool) -> None:
    random = Random(0)
    texts = [text for text in {random_matcher(random): None for _ in range(500)} if parsed(text)]
    assert len(texts) > 300
    labels = [random_labels(random) for _ in range(60)]
    assert amtool.matching(texts, labels) == [ours(texts, each) for each in labels]


WRITTEN = [
    *("env=a", "env = a", ' env = "a" ', "{env=a}", "{ env = a , }", "env=a,", "env=a,team=b", "env=a , team!=b,"),
    *("env=", 'env=""', "env=~", 'env!~""', "env=a b", "env==a", "env=~~a", "env=!a", r"env=\"a\""),
    *(r'env="\n\\\"\d"', r"env=a\n", 'env="a', 'env=a"', 'env=a"b', 'env="a"b', 'env="a" b', 'env="a""b"'),
    *(r'env="a\"', r'env="a\\"', "env=a\\", "env='a'", "env", "=a", "env~a", "env a=b", "en v=a", "env=a,,team=b"),
    *(",", ",env=a", "env=a;team=b", "9env=a", "env-x=a", "ü=a", "a.b=c", '"env"=a', '"a b"=c', "alert.source="),
    *("env=[", "env=~[", "env=~*", "env=~(", "env=~a)", 'env=~"a{2,1}"', 'env=~"a{1000}"', 'env=~"a{1001}"'),
    *("env=~(?=a)", r"env=~(a)\1", r"env=~\8", "env=~(?P<n>a)(?P<n>b)", "env=~a**", r'env=~"\p{Greek}|\p{^L}"'),
    *(r'env=~"\p{Klingon}"', r'env=~"\x{1F600}"', r'env=~"\x{110000}"', r"env=~\Qa.\E", "{{env=a}}", "{env={a}}"),
    *("{env=~a{2}}", "{,}", "env=a\n", "\tenv\t=\ta\t", "env=a\nteam=b", "env=\x0ba", "\x0benv=a", "env=a\x0b"),
    *("\u00a0env=a", "env=a\u00a0", "env\u00a0=a", 'env="a,team=b', 'env=a,team="b', r'env="a\,"', 'env="a,}"'),
    *(r"env=a\,team=b", "env=~[[:foo:]]", "env=~[b-a]", "env=~(?x)a", r"env=~\Z", r"env=~\h", "env=~(?i-s:a.)"),
]


def edited(random: Random) -> str:
    """Return a matcher or two, with up to two characters changed, more, or less."""
    text = ",".join(random_matcher(random) for _ in range(random.randint(1, 2)))
    for _ in range(random.randint(1, 2)):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(["", *'"\\,{}=~!( \t-n']) + text[at + random.randint(0, 1) :]
    return text


def utf8_name(text: str) -> bool:
    """Say whether a name is one that Alertmanager takes since 0.27, or a field."""
    names = [matcher.name for matcher in parse_matchers(text)]
    return not all(map(CLASSIC_NAME.fullmatch, names)) or re.search(r'(^|[{,])\s*"', text) is not None


DIFFERENT = {  # whether amtool takes it; why we do not do the same
    "": (True, "a filter that filters nothing is a mistake"),
    "{}": (True, "a filter that filters nothing is a mistake"),
    "{env=a": (True, "a brace without its pair; since 0.27 a mistake there, too"),
    'env="a"}': (True, "a brace without its pair; since 0.27 a mistake there, too"),
    " {env=a} ": (False, "there may be space outside of the braces, as since 0.27"),
    "env=~a)(b": (True, "it stands in ^(?:…)$ there, before it is looked at"),
    r"env=~\Qa": (False, "it stands in ^(?:…)$ there, before it is looked at"),
    r'env="\,",team=b': (False, "its search for commas takes the quote behind an escaped comma for escaped, too"),
    "env=~(?<n>a)": (False, "Go's RE2 knows it since 1.22"),
    r"env=~\C": (False, "Go's RE2 does not know it"),
}


def alike(text: str) -> bool:
    """Say whether a text has none of what is known to be different."""
    body = text.strip(" \t{},")
    braces = text.startswith("{"), text.endswith("}")
    return bool(body) and braces in {(False, False), (True, True)} and not re.search(r"\\,|\).*\(|^\s+\{|\}\s+$", text)


def test_what_amtool_takes_has_the_same_meaning_here_and_what_it_refuses_is_refused(amtool: Amtool) -> None:
    random = Random(0)
    texts = [*WRITTEN, *filter(alike, {edited(random): None for _ in range(600)})]
    taken = dict(zip(texts, amtool.accepted(texts), strict=True))
    assert [text for text in texts if taken[text] and not parsed(text)] == []
    assert [text for text in texts if not taken[text] and parsed(text) and not utf8_name(text)] == []
    both = [text for text in texts if taken[text]]
    assert 100 < len(both) < len(texts) - 100
    labels = [random_labels(random) for _ in range(20)]
    assert amtool.matching(both, labels) == [ours(both, each) for each in labels]


def test_where_amtool_differs_is_known(amtool: Amtool) -> None:
    assert amtool.accepted(list(DIFFERENT)) == [taken for taken, _ in DIFFERENT.values()]
    assert [parsed(text) is None for text in DIFFERENT] == [taken for taken, _ in DIFFERENT.values()]
