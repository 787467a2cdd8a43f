"""Chat templates of published packages, rendered by transformers' own functions.

  templates.py PACKAGES OUT     collects the templates of the packages in a folder, and writes what each renders to
  templates.py --probes         writes what the small templates in probes.txt render to, to probes.json

The modules `transformers` (without its dependencies), `jinja2`, `packaging` and `numpy` must be importable.
"""

import ast
import datetime
import importlib
import importlib.util
import json
import logging
import pathlib
import re
import sys
import tarfile
import types
import zipfile

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 3, 5, 9, 8, 7)


def chat_template_utils():
    """transformers' module for chat templates, without the rest of the package: that needs more than templates do."""
    root = pathlib.Path(importlib.util.find_spec("transformers").origin).parent
    for name, path in (("transformers", root), ("transformers.utils", root / "utils")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    log = types.ModuleType("transformers.utils.logging")
    log.get_logger = logging.getLogger
    imports = types.ModuleType("transformers.utils.import_utils")
    imports.is_jinja_available = lambda: True
    imports.is_torch_available = imports.is_vision_available = lambda: False
    sys.modules["transformers.utils"].logging = log
    sys.modules[log.__name__] = log
    sys.modules[imports.__name__] = imports
    module = importlib.import_module("transformers.utils.chat_template_utils")

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW

    module.datetime = Clock
    return module


TRANSFORMERS = chat_template_utils()


# Templates in packages


def files(package):
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive:
            for name in archive.namelist():
                yield name, lambda: archive.read(name)
    else:
        with tarfile.open(package) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, lambda: archive.extractfile(member).read()


def strings_of_python(text):
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def templates_of_json(value):
    """What stands under the key `chat_template`: a text, its lines, or a list of named ones."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "chat_template":
                yield from templates_of_json(item)
            elif isinstance(item, str):
                yield item
            elif isinstance(item, list) and all(isinstance(line, str) for line in item):
                yield "\n".join(item)
            elif isinstance(item, list):
                yield from (named["template"] for named in item if isinstance(named, dict) and "template" in named)
    elif isinstance(value, list):
        for item in value:
            yield from templates_of_json(item)


def candidates(name, read):
    if name.endswith((".jinja", ".jinja2", ".j2")):
        yield read().decode()
    elif name.endswith(".py"):
        text = read()
        if b"{%" in text:
            yield from strings_of_python(text.decode(errors="ignore"))
    elif name.endswith("chat-template-automap.ts"):
        for literal in re.findall(r'\bgguf:\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')', read().decode()):
            yield ast.literal_eval(literal)
    elif name.endswith(".json"):
        text = read().decode(errors="ignore")
        if "chat_template" in text:
            try:
                yield from templates_of_json(json.loads(text))
            except ValueError:
                pass


def compiles(text):
    """Whether a string of a program is a template, and not a piece of one or prose about them."""
    try:
        TRANSFORMERS._compile_jinja_template(text)
        return True
    except Exception:
        return False


def collect(folder):
    """Distinct templates, named by where they were found first."""
    found, counts = {}, {}
    for package in sorted(folder.iterdir()):
        if package.suffix not in (".whl", ".gz", ".tgz"):
            continue
        before = len(found)
        for name, read in files(package):
            for index, text in enumerate(candidates(name, read)):
                is_file = name.endswith((".jinja", ".jinja2", ".j2"))
                if "{%" in text and "message" in text and len(text) > 60 and (is_file or compiles(text)):
                    found.setdefault(text, f"{package.name}: {name} #{index}")
        counts[package.name] = len(found) - before
    return found, counts


# Conversations


def function(name, description, properties, required):
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    function(
        "get_weather",
        "The weather at a place. Uses <b>satellites</b> & \"stations\".",
        {
            "location": {"type": "string", "description": "City, e.g. Zürich"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        ["location"],
    ),
    function(
        "zip_search",
        "Searches.",
        {
            "queries": {"type": "array", "items": {"type": "string"}, "description": "What to look for"},
            "options": {
                "type": "object",
                "properties": {"limit": {"type": ["integer", "null"], "default": None}, "exact": {"type": "boolean"}},
                "additionalProperties": False,
            },
            "ratio": {"type": "number", "default": 0.5},
        },
        [],
    ),
]


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, identity):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


USER = message("user", "What is the weather?")
SYSTEM = message("system", "You are a bird.\n")
ODD = message("user", "  <b>Grüße</b> & \"quotes\" 'single' \u2028 \U0001f426\u200d\n\n```py\nprint(1 < 2)\n```\n ")
REPLY = message("assistant", "<think>\nIs it <1>?\n</think>\n\nYes, 日本語 & so on.\n")
ARGUMENTS = {"location": "Zürich <x>", "days": 2, "nested": {"z": [1, 2.5, None, True], "a": "é\"\\"}}
CALLS = [
    USER,
    message("assistant", None, tool_calls=[call("get_weather", ARGUMENTS, "call00001")]),
    message("tool", '{"temperature": 21.5, "sky": "<clear>"}', name="get_weather", tool_call_id="call00001"),
    message("assistant", "It is 21.5 degrees."),
    message("user", "And tomorrow?"),
]
MORE_CALLS = [
    SYSTEM,
    USER,
    message(
        "assistant",
        "",
        tool_calls=[
            call("get_weather", json.dumps(ARGUMENTS), "abcdefghi"),
            call("zip_search", json.dumps({"queries": ["a", "b"]}), "jklmnopqr"),
        ],
    ),
    message("tool", "sunny", name="get_weather", tool_call_id="abcdefghi"),
    message("tool", "nothing\n", name="zip_search", tool_call_id="jklmnopqr"),
]
PARTS = [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "what <i>is</i> it?"}]
REASONING = [
    SYSTEM,
    USER,
    message("assistant", "Blue.", reasoning_content="The sky, perhaps.\n"),
    message("user", "Why?"),
    message("assistant", "Because.", thinking="Scattering.", tool_calls=[call("zip_search", {}, "abcdefghi")]),
    message("tool", "ok", tool_call_id="abcdefghi"),
]

CASES = {
    "user": {"messages": [USER]},
    "system": {"messages": [SYSTEM, USER]},
    "turns": {"messages": [SYSTEM, ODD, REPLY, USER]},
    "turns without system": {"messages": [ODD, REPLY, USER, message("assistant", "  done  ")]},
    "tools": {"messages": [USER], "tools": TOOLS},
    "system and tools": {"messages": [SYSTEM, ODD], "tools": TOOLS},
    "calls": {"messages": CALLS, "tools": TOOLS},
    "calls without tools": {"messages": CALLS[:3]},
    "calls as text": {"messages": MORE_CALLS, "tools": TOOLS[:1]},
    "no tools": {"messages": [SYSTEM, USER, REPLY], "tools": []},
    "parts": {"messages": [message("system", [{"type": "text", "text": "Sys."}]), message("user", PARTS)]},
    "reasoning": {"messages": REASONING, "tools": TOOLS, "enable_thinking": True, "thinking": True},
    "no reasoning": {"messages": REASONING[:3], "enable_thinking": False, "thinking": False},
    "roles out of order": {"messages": [USER, ODD, SYSTEM, REPLY, REPLY]},
    "other roles": {"messages": [message("developer", "Dev."), USER, message("critic", "Hm."), message("ipython", "1")]},
    "fields missing": {"messages": [{"role": "user"}, {"role": "assistant", "tool_calls": []}]},
    "nothing said": {"messages": [message("system", ""), message("user", ""), message("assistant", None)]},
    "no messages": {"messages": []},
    "no tokens": {"messages": [SYSTEM, USER, REPLY], "bos_token": None, "eos_token": None},
    "all tokens": {
        "messages": [USER, REPLY],
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "sep_token": "[SEP]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
    "documents": {
        "messages": [SYSTEM, USER],
        "documents": [{"title": "Bird <1>", "text": "It flies."}, {"title": "Two", "text": "Lines\nof \"it\""}],
        "date_string": "05 Mar 2026",
        "reasoning_effort": "high",
        "controls": {"length": "short", "originality": ""},
    },
}


def conversations():
    """What is given to each template, by name. An unset token is a variable that isn't there."""
    for name, given in CASES.items():
        for generate in (False, True):
            given = {"bos_token": "<s>", "eos_token": "</s>", **given}
            given = {key: value for key, value in given.items() if not (key.endswith("_token") and value is None)}
            given["messages"] = TRANSFORMERS._alias_reasoning_fields(given["messages"])
            yield name + (" +" if generate else ""), {**given, "add_generation_prompt": generate}


def render(source, variables):
    """The text, or why there is none."""
    variables = dict(variables)
    messages = variables.pop("messages")
    try:
        rendered, _ = TRANSFORMERS.render_jinja_template([messages], chat_template=source, **variables)
        rendered[0].encode()
        return {"text": rendered[0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def corpus(folder, out):
    templates, counts = collect(folder)
    cases = dict(conversations())
    rendered = [
        {"name": name, "source": source, "results": [render(source, given) for given in cases.values()]}
        for source, name in templates.items()
    ]
    document = {
        "now": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()),
        "packages": counts,
        "cases": [{"name": name, "variables": given} for name, given in cases.items()],
        "templates": rendered,
    }
    part = out.with_suffix(".part")
    part.write_text(json.dumps(document, ensure_ascii=False))
    part.rename(out)
    refused = sum("error" in result for template in rendered for result in template["results"])
    total = len(rendered) * len(cases)
    print(f"{len(rendered)} templates, {len(cases)} conversations: {total - refused} rendered, {refused} refused")


PROBE_VARIABLES = {
    "messages": [SYSTEM, USER, REPLY],
    "tools": TOOLS,
    "add_generation_prompt": False,
    "bos_token": "<s>",
    "nothing": None,
    "d": {"b": 1, "a": [1, 2, {"x": None}], "items": "an item", "C": 2.5},
    "xs": [3, 1, 2],
    "names": ["bob", "Alice", "carol"],
    "s": "Hello, Wörld",
    "objects": [{"n": 2, "k": "b"}, {"n": 1, "k": "a", "e": {"f": "g"}}, {"n": 3, "k": "B"}],
}


def probes():
    sources = [line for line in (HERE / "probes.txt").read_text().splitlines() if line]
    results = []
    for source in sources:
        source = source.replace("⏎", "\n").replace("␍", "\r")
        results.append([source, render(source, PROBE_VARIABLES).get("text")])
    document = {"now": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()), "variables": PROBE_VARIABLES}
    lines = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    head = json.dumps(document, ensure_ascii=False)[:-1]
    (HERE / "probes.json").write_text(f'{head}, "probes": [\n{lines}\n]}}\n')
    print(f"{len(results)} probes, {sum(text is None for _, text in results)} of them refused")


if __name__ == "__main__":
    if sys.argv[1:] == ["--probes"]:
        probes()
    elif len(sys.argv) == 3:
        corpus(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
