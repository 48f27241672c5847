#!/usr/bin/env python3
"""The lists of callers at the top of the headers are true: a file of src/ that "Called by:" names uses a function, type
or object of that header, and what "Called by:" names like a file is one. Usage: callers.py [TOP]"""
import os
import re
import sys

TOP = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PLATFORM = r"_(linux|posix|futex|pipe)$"


def read_sources():
    """The text of each file, and of each name the code of its files without comments."""
    texts, code = {}, {}
    for folder, _, names in os.walk(os.path.join(TOP, "src")):
        for name in names:
            stem, ending = os.path.splitext(name)
            if ending not in (".c", ".h"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                texts[os.path.join(folder, name)] = text = file.read()
            stripped = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
            for known in {stem, re.sub(PLATFORM, "", stem)}:
                code[known] = code.get(known, "") + stripped
    return texts, code


def callers_of(text):
    """The names in the list: the first word of each of its items."""
    comment = re.match(r"/\*.*?\*/", text, re.S)
    found = comment and re.search(r"Called by: (.*?)\s*\*/", comment[0], re.S)
    plain = re.sub(r"\([^()]*\)", "", re.sub(r"\s*\n \*\s*", " ", found[1])) if found else ""
    items = re.split(r"[,;.:] ?| and ", plain)
    return [item.split()[0] for item in items if item.split()]


def main():
    texts, code = read_sources()
    wrong = []
    for path, text in sorted(texts.items()):
        if not path.endswith(".h"):
            continue
        stripped = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        own = set(re.findall(r"\b(?:pp|PP)_\w+", stripped))
        for caller in callers_of(text):
            if "_" in caller and caller not in code:
                wrong.append(f"{path}: is called by {caller}, which is no file")
            elif caller in code and not any(re.search(rf"\b{name}\b", code[caller]) for name in own):
                wrong.append(f"{path}: is called by {caller}, which uses nothing of it")
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))


main()
