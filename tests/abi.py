#!/usr/bin/env python3
"""The binary interface is that of abi.txt: the functions' prototypes, the codes, and the layout of each struct, where
pointers and long have 64 bits. If it has changed on purpose, the header gets a new version and abi.txt is written anew:
    python3 tests/abi.py include/parpool.h cc --write
Exits with 77, for "skipped", where long has 32 bits.

Usage: abi.py HEADER CC [--write]"""
import os
import re
import subprocess
import sys
import tempfile

HEADER, CC = sys.argv[1:3]
BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "abi.txt")


def fields(body):
    """The names of a struct's fields, in their order."""
    names = []
    for declaration in body.split(";"):
        pointer = re.search(r"\(\*(\w+)\)\(", declaration)
        if pointer:
            names.append(pointer[1])
            continue
        names += re.findall(r"(\w+)\s*(?:\[[^]]*\])?\s*(?:,|$)", declaration.strip())
    return names


def describe(text):
    """A program that prints the layouts and codes."""
    lines = ['#include "parpool.h"', "#include <stdio.h>", "int main(void) {",
             "    if (sizeof(long) != 8 || sizeof(void *) != 8) return 77;"]
    for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.M | re.S):
        lines.append(f'    printf("struct {name}: %zu bytes\\n", sizeof(struct {name}));')
        for field in fields(body):
            lines.append(f'    printf("    {field}: %zu at %zu\\n", sizeof ((struct {name} *)0)->{field}, '
                         f"offsetof(struct {name}, {field}));")
    for body in re.findall(r"^enum \{(.*?)\};", text, re.M | re.S):
        for code in re.findall(r"\b(POOL_\w+)", re.sub(r"=[^,]*", "", body)):
            lines.append(f'    printf("{code} = %d\\n", (int){code});')
    return "\n".join(lines + ["    return 0;", "}", ""])


def main():
    with open(HEADER, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    version = ".".join(re.findall(r"^#define PARPOOL_VERSION_(?:MAJOR|MINOR) (\d+)", text, re.M))
    prototypes = sorted(re.findall(r"^PARPOOL_API (.*?;)", text, re.M))
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "abi.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(describe(text))
        subprocess.run([CC, "-I", os.path.dirname(HEADER), source, "-o", source[:-2]], check=True)
        run = subprocess.run([source[:-2]], stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        sys.exit(run.returncode)
    now = f"version {version}\n" + "\n".join(prototypes) + "\n" + run.stdout
    if "--write" in sys.argv:
        with open(BASELINE, "w", encoding="utf-8") as file:
            file.write(now)
        return
    with open(BASELINE, encoding="utf-8") as file:
        before = file.read()
    for sign, ours, others in (("-", before, now), ("+", now, before)):
        for line in ours.splitlines():
            if line not in others.splitlines():
                print(sign, line)
    if now != before:
        sys.exit("The binary interface is not that of tests/abi.txt: see abi.py")


main()
