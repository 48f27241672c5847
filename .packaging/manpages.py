#!/usr/bin/env python3
"""Writes the man pages from the header, so that they cannot differ from it: parpool(7), and a page of section 3 for
each group of functions, with a link from each other function's name. They are compressed, as distributions want them.

Usage: manpages.py HEADER OUTPUT_DIRECTORY"""
import gzip
import os
import re
import sys

# Title of a group: its page, the rest of its heading, functions and types of the header's first part.
GROUPS = {
    "The pool": ("pool_create", "make, end and look at a pool of worker processes",
                 "pool_create pool_destroy pool_strerror pool_options"),
    "Jobs": ("pool_map", "run a function over many items", "pool_map pool_job POOL_IN"),
    "Futures": ("pool_submit", "submit one task and wait for its outcome",
                "pool_submit future_get future_free future_failure pool_task pool_failure"),
    "Streams": ("pool_imap", "a function over an input of any length",
                "pool_imap stream_next stream_free pool_stream"),
    "Inside a task": ("task_index", "calls that a running task may make",
                      "task_fail task_index task_seed pool_fn pool_block_fn"),
    "Reduction": ("pool_reduce", "combine the results of many items into one", ""),
    "Shared data": ("pool_alloc", "memory that caller and workers share", ""),
    "Other hosts": ("pool_serve", "a program whose tasks run on other hosts, too", ""),
    "Event loops": ("pool_poll", "a pool in a program with an event loop", ""),
}
TOPICS_OF_GROUPS = {"SHARED DATA": "Shared data", "OTHER HOSTS": "Other hosts"}  # the other topics are parpool(7)'s


class Page:
    def __init__(self, name, purpose):
        self.name, self.purpose = name, purpose
        self.functions, self.code, self.fields = [], [], []


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti")
    text = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)
    return re.sub(r"^\.", r"\\&.", text, flags=re.M)


def filled(text):
    return escape(re.sub(r"\s+", " ", text).strip())


def verbatim(text):
    return ".nf\n.ft CR\n" + escape(text.rstrip("\n")) + "\n.ft R\n.fi\n"


def uncomment(lines):
    text = "\n".join(re.sub(r"^(/\*| \*) ?", "", line) for line in lines)
    return re.sub(r"\s*\*/\s*$", "", text)


def pieces(lines):
    """The header as (kind, text, comment): section, topic, function, code."""
    comment, at = "", 0
    while at < len(lines):
        line = lines[at]
        section = re.match(r"/\* -{4} (.*?) -+ \*/$", line)
        if section:
            yield "section", section[1], ""
            comment = ""
        elif line.startswith("/*"):
            end = at
            while "*/" not in lines[end]:
                end += 1
            text = uncomment(lines[at:end + 1])
            text = re.sub(r"^==== .*\n", "", text)
            topics = re.split(r"^(FIELDS of struct \w+|[A-Z][A-Z ]+)$", text, flags=re.M)
            for title, body in zip(topics[1::2], topics[2::2]):
                yield "topic", title, body
            comment, at = (topics[0].strip() if len(topics) == 1 else ""), end
        elif line.startswith("PARPOOL_API"):
            prototype = re.sub(r"^PARPOOL_API | PARPOOL_PRINTF\(.*?\)", "", line)
            yield "function", prototype, comment
            comment = ""
        elif re.match(r"(struct \w+ \{|enum|typedef|#define POOL_)", line):
            end = at
            while "{" in line and not re.match(r"[^{]*}|.*}.*;$", lines[end]):
                end += 1
            while line.startswith("#") and lines[end + 1].startswith("#define POOL_"):
                end += 1
            yield "code", "\n".join(lines[at:end + 1]), comment
            comment, at = "", end
        at += 1


def name_of(kind, text):
    if kind == "function":
        return re.match(r"[^(]*?(\w+)\(", text)[1]
    found = re.match(r"struct (\w+)|typedef .*?(\w+)\(|#define (\w+)", text)
    return next((name for name in found.groups() if name), "") if found else ""


def topic_body(text):
    """Lists of the header's comments: "name   meaning", "- item", tables and prose."""
    result = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = [re.sub(r"^ {2}", "", line) for line in block.split("\n")]
        entries = [re.match(r"(- |\w+(?:, \w+)* {2,})(\S.*)", line) for line in lines]
        if len([line for line in lines if re.search(r"\S {3,}\S.* {3,}\S", line)]) > 2:
            result.append(".PP\n" + verbatim("\n".join(lines)))
            continue
        result.append(".PP\n" if not entries[0] else "")
        for line, entry in zip(lines, entries):
            if entry and entry[1] == "- ":
                result.append(".IP \\(bu 2\n")
            elif entry:
                result.append(f".TP\n.B {escape(entry[1].strip())}\n")
            result.append(filled(entry[2] if entry else line) + "\n")
    return re.sub(r"^\.PP\n", "", "".join(result))


def contract(prototype, comment):
    """A function's contract: what it does, parameters, and the four parts with a label each."""
    name = name_of("function", prototype)
    parameters = "|".join(re.findall(r"(\w+)(?=[,)])", prototype))
    what, rest = comment.split("Returns: ", 1)
    what = re.sub(rf"(?<=\.) (?=(?:{parameters})(?:, \w+)*: )", "\n", what)
    text = what + re.sub(r"(?<!\n)[ ](?=(?:Blocks|Callable|Ownership): )", "\n", "Returns: " + rest)
    result, after = [f'.SS "{name}()"\n'], False
    for line in text.split("\n"):
        label = re.match(r"(Returns|Blocks|Callable|Ownership): (.*)", line)
        code = re.match(r" {4}(POOL_\w+): (.*)", line)
        parameter = not after and re.match(r"[a-z_]+(, [a-z_]+)*: ", line)
        if label:
            result.append(f".TP\n.B {label[1]}\n{filled(label[2])}\n")
            after = True
        elif code:
            result.append(f".br\n.B {code[1]}\n\\(em {filled(code[2])}\n")
        elif parameter:
            result.append(f".TP\n.B Parameters\n{filled(line)}\n" if ".B Parameters" not in "".join(result)
                          else filled(line) + "\n")
        else:
            result.append(filled(line) + "\n")
    return "".join(result)


def write(directory, name, section, text):
    """The same text makes the same file, whenever it is made."""
    with open(os.path.join(directory, f"man{section}", f"{name}.{section}.gz"), "wb") as file:
        file.write(gzip.compress(text.encode("ascii"), 9, mtime=0))


def head(name, section, version):
    return f'.TH {name.upper()} {section} "" "parpool {version}" "parpool"\n'


def write_group(directory, page, version):
    names = [name_of("function", prototype) for prototype, _ in page.functions]
    out = [head(page.name, 3, version), ".SH NAME\n", ", ".join(names), " \\- ", page.purpose, "\n",
           ".SH LIBRARY\nparpool (libparpool, \\-lparpool)\n.SH SYNOPSIS\n", verbatim("#include <parpool.h>")]
    for code, comment in page.code:
        out.append(".PP\n" + (filled(comment) + "\n.PP\n" if comment else "") + verbatim(code))
    for prototype, _ in page.functions:
        out.append(".PP\n" + verbatim(prototype))
    out.append(".SH DESCRIPTION\n")
    out += [contract(*function) for function in page.functions]
    for title, body in page.fields:
        out.append(f'.SH "{escape(title)}"\n' + topic_body(body))
    out.append(".SH SEE ALSO\n.BR parpool (7)\n")
    write(directory, page.name, 3, "".join(out))
    for name in names:
        if name != page.name:
            write(directory, name, 3, f".so man3/{page.name}.3\n")


def write_overview(directory, opening, topics, codes, pages, version):
    program = re.search(r"\n\n((?: {4}.*\n|\n)+)", opening)
    words = [part for part in re.split(r"\n\s*\n", opening.replace(program[1], "")) if "Part 1" not in part]
    out = [head("parpool", 7, version), ".SH NAME\nparpool \\- ", filled(re.sub(r"^parpool: |\.$", "", words[0])),
           "\n.SH SYNOPSIS\n", verbatim(re.sub(r"^ {4}", "", program[1], flags=re.M)),
           ".PP\n.B cc program.c \\-lparpool \\-pthread\n.SH DESCRIPTION\n"]
    out.append("\n.PP\n".join(filled(part) for part in words[1:]) + "\n")
    for title, body in topics:
        if not title.startswith("FIELDS"):
            out.append(f'.SH "{title}"\n' + topic_body(body))
            if title == "CODES":
                out.append(".PP\n" + verbatim(codes))
    out.append(".SH SEE ALSO\n" + ",\n".join(f".BR {page.name} (3)" for page in pages) + "\n")
    write(directory, "parpool", 7, "".join(out))


def main():
    header, directory = sys.argv[1:]
    with open(header, encoding="utf-8") as file:
        text = file.read()
    version = ".".join(re.findall(r"^#define PARPOOL_VERSION_\w+ (\d+)$", text, re.M))
    lines = text.split("\n")
    opening = uncomment(lines[:next(i for i, line in enumerate(lines) if "*/" in line) + 1])

    pages = {title: Page(name, purpose) for title, (name, purpose, _) in GROUPS.items()}
    first_part = {name: title for title, (_, _, names) in GROUPS.items() for name in names.split()}
    topics, codes, section = [], "", None
    for kind, body, comment in pieces(lines):
        if kind == "section":
            section = next(title for title in GROUPS if body.startswith(title))
        elif kind == "topic":
            struct = re.match(r"FIELDS of struct (\w+)", body)
            group = first_part[struct[1]] if struct else TOPICS_OF_GROUPS.get(body)
            (pages[group].fields if group else topics).append((body, comment))
        elif kind == "code" and "POOL_EINVAL =" in body:
            codes = body
        else:
            group = section or first_part[name_of(kind, body)]
            (pages[group].functions if kind == "function" else pages[group].code).append((body, comment))

    for part in ("man3", "man7"):
        os.makedirs(os.path.join(directory, part), exist_ok=True)
    for page in pages.values():
        write_group(directory, page, version)
    write_overview(directory, opening, topics, codes, pages.values(), version)


main()
