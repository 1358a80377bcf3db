"""Chats as transformers writes them by public templates: python chats.py OUTPUT.json [SOURCE.tar.gz]

The templates are those that llama-cpp-python carries for its own tests, fetched from PyPI unless the archive is named:
some seventy files of published models, and some thirty in the text of a test. The cases are those of
Tests/Fixtures/chats/make_chats.py; ChatTemplateTests compares.
"""
import ast
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

VERSION = "0.3.36"
MAKE = pathlib.Path(__file__).parents[1] / "Fixtures/chats/make_chats.py"


def c_strings(source):
    """The templates in a test's source: C strings, one or several beside each other."""
    for match in re.finditer(r'/\* \.template_str\s*=?\s*\*/\s*(?:u8|U8C\()?((?:"(?:[^"\\]|\\.)*"\s*)+)', source):
        parts = re.findall(r'"(?:[^"\\]|\\.)*"', match.group(1))
        yield "".join(ast.literal_eval(part) for part in parts)


with tempfile.TemporaryDirectory() as folder:
    if len(sys.argv) > 2:
        archive = pathlib.Path(sys.argv[2])
    else:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
        subprocess.run(command + [f"llama-cpp-python=={VERSION}"], check=True)
        archive = next(pathlib.Path(folder).glob("*.tar.gz"))
    templates = []
    with tarfile.open(archive) as files:
        for member in files:
            if not member.isfile():
                continue
            if "/models/templates/" in member.name and member.name.endswith(".jinja"):
                text = files.extractfile(member).read().decode()
                templates.append({"name": pathlib.PurePath(member.name).stem, "template": text})
            elif member.name.endswith("/tests/test-chat-template.cpp"):
                for index, text in enumerate(c_strings(files.extractfile(member).read().decode())):
                    templates.append({"name": f"test {index}", "template": text})
    lines = pathlib.Path(folder) / "templates.jsonl"
    lines.write_text("".join(json.dumps(item) + "\n" for item in templates), encoding="utf-8")
    subprocess.run([sys.executable, MAKE, lines, sys.argv[1]], check=True)
    print(f"{len(templates)} public templates")
