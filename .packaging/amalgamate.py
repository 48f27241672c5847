#!/usr/bin/env python3
"""Writes the whole library as two files, parpool.c and parpool.h, for programs that have no build system to share.

The headers of src/ come first, each once, in the order of their includes; then each source. What a source keeps for
itself (static functions and variables, macros, tags, enumerators) gets the source's name in front if another file has
the same word. The files of the two platforms are both there, between #if and #endif.

Usage: amalgamate.py ROOT OUTPUT_DIRECTORY --common FILE... --linux FILE... --posix FILE..."""
import argparse
import os
import re
import shutil

TOKEN = re.compile(r"""
    (?P<skip>/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*')
  | (?P<member>(?:\.|->)\s*[A-Za-z_]\w*)
  | (?P<kind>struct|union|enum)(?P<space>\s+)(?P<tag>[A-Za-z_]\w*)
  | (?P<number>\.?\d[\w.]*)
  | (?P<word>[A-Za-z_]\w*)""", re.S | re.X)
OWN_INCLUDE = re.compile(r'^#include "([^"]+)".*\n', re.M)
PUBLIC_INCLUDE = re.compile(r'^#include [<"]parpool\.h[>"].*\n', re.M)
LINUX = "#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)\n"


def words(text):
    """All words, and the tags among them as "struct name"."""
    found = set()
    for match in TOKEN.finditer(text):
        found.add(match["word"] or f'{match["kind"]} {match["tag"]}')
    return found


def top_level(text):
    """The text without comments, strings and what stands in braces of functions; enumerators are kept."""
    text = TOKEN.sub(lambda match: " " if match["skip"] else match[0], text)
    result, depth, keep = [], 0, False
    for line in text.split("\n"):
        if depth == 0:
            keep = bool(re.match(r"(typedef )?(static const )?enum\b[^()]*$", line))
        if depth == 0 or keep:
            result.append(line)
        depth += line.count("{") - line.count("}")
    return "\n".join(result)


def own_names(text):
    """What a source defines for itself alone."""
    text = top_level(text)
    names = set(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", text, re.M))
    names |= {" ".join(tag) for tag in re.findall(r"^(struct|union|enum)\s+(\w+)\s*\{", text, re.M)}
    names |= set(re.findall(r"^typedef\b[^;]*?\b(\w+)\s*(?:\([^;()]*\))?\s*;", text, re.M))
    names |= set(re.findall(r"^static\b[^;{=(]*?\b(\w+)\s*(?:\[[^]]*\]\s*)*[;=(]", text, re.M))
    for body in re.findall(r"\benum\b[^{;()]*\{([^}]*)\}", text):
        names |= set(re.findall(r"(?:^|,)\s*(\w+)", body))
    return {name for name in names if not re.match(r"(\w+ )?(pp|PP)_", name)}


def rename(text, names, prefix):
    def new(match):
        if match["tag"] and f'{match["kind"]} {match["tag"]}' in names:
            return match["kind"] + match["space"] + prefix + match["tag"]
        return prefix + match[0] if match["word"] in names else match[0]
    lines = re.split(r"(^#include.*\n)", text, flags=re.M)
    return "".join(part if part.startswith("#include") else TOKEN.sub(new, part) for part in lines)


class Amalgamation:
    def __init__(self, root):
        self.source_root = os.path.join(root, "src")
        self.headers = {}  # name: text, in the order of their includes

    def read(self, name):
        with open(os.path.join(self.source_root, name), encoding="utf-8") as file:
            return PUBLIC_INCLUDE.sub("", file.read())

    def add_headers(self, text):
        for name in OWN_INCLUDE.findall(text):
            if name not in self.headers:
                header = self.read(name)
                self.headers[name] = ""
                self.add_headers(header)
                del self.headers[name]
                self.headers[name] = OWN_INCLUDE.sub("", header)

    def add_sources(self, groups):
        """groups: (condition or "", names). Returns the sources' text."""
        texts = {name: self.read(name) for _, names in groups for name in names}
        for text in texts.values():
            self.add_headers(text)
        used = {name: words(text) for name, text in list(texts.items()) + list(self.headers.items())}
        result = []
        for condition, names in groups:
            for name in names:
                others = set().union(*(used[other] for other in used if other != name))
                shared = own_names(texts[name]) & others
                prefix = re.sub(r"\W", "_", os.path.basename(name)[:-2]) + "_"
                body = rename(OWN_INCLUDE.sub("", texts[name]), shared, prefix)
                result.append(f"\n/* ==== src/{name} ==== */\n")
                result.append(condition + body + ("#endif\n" if condition else ""))
        return "".join(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root")
    parser.add_argument("output")
    for group in ("common", "linux", "posix"):
        parser.add_argument("--" + group, nargs="+", required=True)
    options = parser.parse_args()

    amalgamation = Amalgamation(options.root)
    sources = amalgamation.add_sources([("", options.common), (LINUX, options.linux),
                                        (LINUX + "#else\n", options.posix)])
    header = os.path.join(options.root, "include", "parpool.h")
    with open(header, encoding="utf-8") as file:
        version = ".".join(re.findall(r"^#define PARPOOL_VERSION_\w+ (\d+)$", file.read(), re.M))
    with open(os.path.join(options.root, "LICENSE"), encoding="utf-8") as file:
        license_text = file.read()

    os.makedirs(options.output, exist_ok=True)
    shutil.copyfile(header, os.path.join(options.output, "parpool.h"))
    with open(os.path.join(options.output, "parpool.c"), "w", encoding="utf-8") as file:
        file.write(f"/* libparpool {version}, all of it, made from its sources: change those, not this file.\n"
                   " *     cc -std=c11 -O2 -c parpool.c\n"
                   " *     cc program.c parpool.o -pthread\n *\n")
        file.write("".join(f" * {line}".rstrip() + "\n" for line in license_text.splitlines()) + " */\n")
        file.write(LINUX + "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n#else\n"
                   "#ifndef PARPOOL_POSIX_ONLY\n#define PARPOOL_POSIX_ONLY\n#endif\n"
                   "#if !defined(__OpenBSD__) && !defined(__FreeBSD__)\n"
                   "#ifndef _POSIX_C_SOURCE\n#define _POSIX_C_SOURCE 200809L\n#endif\n"
                   "#ifndef _XOPEN_SOURCE\n#define _XOPEN_SOURCE 700\n#endif\n#endif\n#endif\n"
                   '#include "parpool.h"\n')
        for name, text in amalgamation.headers.items():
            file.write(f"\n/* ==== src/{name} ==== */\n{text}")
        file.write(sources)


main()
