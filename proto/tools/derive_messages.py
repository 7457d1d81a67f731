"""Derives `odradek/proto/kafka/messages/*.py` from the message definitions inside a kafka-clients jar.

    python proto/tools/derive_messages.py kafka-clients-4.4.0.jar [TARGET_FOLDER]

Takes over facts only: names, types, version ranges, nullability, defaults, tags. Comments and descriptions
are dropped unread. The output depends on nothing but the jar, so that running it again changes nothing.

Decides: which API lives in which family module (`FAMILIES`), how names look in Python (`snake`).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "odradek" / "proto" / "kafka" / "messages"
FOLDER = "common/message/"

FAMILIES: dict[str, list[int | str]] = {
    "acls": [29, 30, 31],
    "api_versions": [18],
    "classic_group": [11, 12, 13, 14, 15, 16, 42],
    "cluster": [57, 60, 64, 94],
    "configs": [32, 33, 44, 74],
    "consumer_group": [68, 69],
    "consumer_protocol": ["ConsumerProtocolSubscription", "ConsumerProtocolAssignment"],
    "controller": [56, 58, 62, 63, 67, 70],
    "coordinator": [10],
    "delegation_tokens": [38, 39, 40, 41],
    "fetch": [1],
    "header": ["RequestHeader", "ResponseHeader"],
    "list_offsets": [2, 23],
    "log_dirs": [34, 35, 73],
    "metadata": [3, 75],
    "offsets": [8, 9, 47],
    "produce": [0],
    "quotas": [48, 49],
    "raft": [52, 53, 54, 55, 59, 80, 81, 82],
    "reassignment": [43, 45, 46],
    "sasl": [17, 36],
    "scram": [50, 51],
    "share": [76, 77, 78, 79, 90, 91, 92],
    "share_state": [83, 84, 85, 86, 87],
    "streams": [88, 89, 93],
    "telemetry": [71, 72],
    "topics": [19, 20, 21, 37],
    "transactions": [22, 24, 25, 26, 27, 28, 61, 65, 66],
}

SPECIFIERS = {"bool": "boolean", "bytes": "octets", "records": "record_batches"}
PYTHON_TYPES = {"bool": "bool", "string": "str", "bytes": "bytes", "uuid": "bytes", "float64": "float"}

Facts = dict[str, Any]


def snake(name: str) -> str:
    """Kafka's camel case as Python writes it: `ThrottleTimeMs` is `throttle_time_ms`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()


def read_definitions(jar: Path) -> dict[str, Facts]:
    """The live definitions of requests, responses, headers and data by message name."""
    found = {}
    with zipfile.ZipFile(jar) as archive:
        for path in sorted(archive.namelist()):
            if path.startswith(FOLDER) and path.endswith(".json"):
                lines = archive.read(path).decode().splitlines()
                text = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
                definition = json.loads(re.sub(r'(?m)\s//[^"\n]*$', "", text))
                if definition["validVersions"] != "none":
                    found[definition["name"]] = definition
    return found


def structures(definition: Facts) -> list[Facts]:
    """Every structure of a message as {name, fields}, outermost first, common structures last."""
    found: list[Facts] = []

    def visit(fields: list[Facts]) -> None:
        inner = [field for field in fields if field.get("fields")]
        found.extend({"name": field["type"].removeprefix("[]"), "fields": field["fields"]} for field in inner)
        for field in inner:
            visit(field["fields"])

    visit(definition["fields"])
    for common in definition.get("commonStructs", []):
        found.append(common)
        visit(common["fields"])
    return found


def default_of(field: Facts, kind: str) -> str | None:
    """The Python literal of a default that is not its type's own, else None."""
    if "default" not in field:
        return None
    raw = str(field["default"])
    if raw == "null":
        return None if kind == "records" else "None"
    if kind == "bool":
        return "True" if raw.lower() == "true" else None
    if kind == "string":
        return repr(raw).replace("'", '"') if raw else None
    if kind == "float64":
        return repr(float(raw))
    value = int(raw, 0)
    return str(value) if value else None


def write_field(message: str, field: Facts) -> str:
    kind: str = field["type"]
    element = kind.removeprefix("[]")
    python = PYTHON_TYPES.get(element, "int" if element.islower() else f"{message}.{element}")
    arguments = [f'"{field["versions"]}"']
    if kind.startswith("[]"):
        specifier = "array"
        python = f"list[{python}]"
        arguments.insert(0, SPECIFIERS.get(element, element) if element.islower() else f'"{element}"')
    elif element.islower():
        specifier = SPECIFIERS.get(kind, kind)
    else:
        specifier = "struct"
        arguments.insert(0, f'"{element}"')
    if "nullableVersions" in field:
        arguments.append(f'nullable="{field["nullableVersions"]}"')
        python += " | None"
    if kind == "records":
        python = "Buffer | None"
    default = default_of(field, kind)
    if default is not None:
        arguments.append(f"default={default}")
    if "taggedVersions" in field:
        assert field["taggedVersions"] == field["versions"], (message, field["name"])
        arguments.append(f"tag={field['tag']}")
    if "flexibleVersions" in field:
        arguments.append(f'flexible="{field["flexibleVersions"]}"')
    return f"{snake(field['name'])}: {python} = {specifier}({', '.join(arguments)})"


def write_message(definition: Facts) -> str:
    name = definition["name"]
    arguments = []
    if "apiKey" in definition:
        arguments.append(f"key={definition['apiKey']}")
    arguments.append(f'versions="{definition["validVersions"]}"')
    if definition["flexibleVersions"] != "none":
        arguments.append(f'flexible="{definition["flexibleVersions"]}"')
    if definition.get("latestVersionUnstable"):
        arguments.append("latest_unstable=True")
    lines = [f"class {name}(Message, {', '.join(arguments)}):"]
    lines += [f"    {write_field(name, field)}" for field in definition["fields"]]
    for structure in structures(definition):
        lines += ["", f"    class {structure['name']}(Struct):"]
        lines += [f"        {write_field(name, field)}" for field in structure["fields"]]
    if len(lines) == 1:
        lines.append("    pass")
    return "\n".join(lines) + "\n"


def write_family(family: str, members: list[Facts], source: str) -> str:
    body = "\n\n".join(write_message(definition) for definition in members)
    used = set(re.findall(r"\b([a-z_0-9]+)\(", body)) | set(re.findall(r"array\(([a-z0-9]+),", body))
    used |= set(re.findall(r"\b(Buffer|Message|Struct)\b", body))
    names = "\n".join(f"    {name}," for name in sorted(used))
    return (
        f'"""Derived from {source} by `proto/tools/derive_messages.py`: {family}.\n\n'
        'Do not edit. The notation is explained in `odradek.proto.kafka.schema`.\n"""\n\n'
        "from __future__ import annotations\n\n"
        f"from odradek.proto.kafka.schema import (\n{names}\n)\n\n\n{body}"
    )


def write_index(definitions: dict[str, Facts], family_of: dict[int, str], source: str) -> str:
    requests = {d["apiKey"]: d for d in definitions.values() if d["type"] == "request"}
    members, rows = [], []
    for key, definition in sorted(requests.items()):
        name = definition["name"].removesuffix("Request")
        first, _, last = definition["validVersions"].partition("-")
        flexible = definition["flexibleVersions"].removesuffix("+")
        unstable = bool(definition.get("latestVersionUnstable"))
        flexible = "NO_VERSION" if flexible == "none" else flexible
        members.append(f"    {snake(name).upper()} = {key}")
        rows.append(
            f'    {key}: ("{name}", "{family_of[key]}", {first}, {last or first}, {flexible}, {unstable}),'
        )
    return (
        f'"""Derived from {source} by `proto/tools/derive_messages.py`: the index.\n\n'
        "What `odradek.proto.kafka.api` must know of a message without importing its module. Do not edit.\n"
        '"""\n\nfrom enum import IntEnum\n\nfrom odradek.proto.kafka.schema import NO_VERSION\n\n\n'
        "class ApiKey(IntEnum):\n" + "\n".join(members) + "\n\n\n"
        "# key: name, family module, first version, last version, first flexible version, last one unstable\n"
        "INDEX: dict[int, tuple[str, str, int, int, int, bool]] = {\n" + "\n".join(rows) + "\n}\n"
    )


def derive(jar: Path, target: Path) -> list[Path]:
    """Writes all modules into `target`, formatted; returns them."""
    definitions = read_definitions(jar)
    source = jar.stem
    by_key: dict[int, list[Facts]] = {}
    for definition in definitions.values():
        if "apiKey" in definition:
            by_key.setdefault(definition["apiKey"], []).append(definition)
    family_of: dict[int, str] = {}
    written = []
    for family, members in FAMILIES.items():
        chosen: list[Facts] = []
        for member in members:
            if isinstance(member, int):
                family_of[member] = family
                chosen += sorted(by_key[member], key=lambda definition: str(definition["type"]))
            else:
                chosen.append(definitions[member])
        written.append(target / f"{family}.py")
        written[-1].write_text(write_family(family, chosen, source))
    missing = set(by_key) - set(family_of)
    if missing:
        raise SystemExit(f"no family for the API keys {sorted(missing)}")
    written.append(target / "index.py")
    written[-1].write_text(write_index(definitions, family_of, source))
    ruff = [sys.executable, "-m", "ruff"]
    files = [str(path) for path in written]
    settings = ["--isolated", "--target-version", "py311", "--line-length", "110"]
    subprocess.run([*ruff, "check", "--quiet", "--select", "I", "--fix", *settings[:3], *files], check=True)
    subprocess.run([*ruff, "format", "--quiet", *settings, *files], check=True)
    return written


if __name__ == "__main__":
    derive(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else TARGET)
