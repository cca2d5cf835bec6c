"""Reads an export with a library that has no code in common with hubstorm, and prints its content as JSON.

Usage: read.py csv|hlog|html|markdown|metrics|yaml FILE, or read.py junit FILE SCHEMA. Used by tests/it/formats.rs
and tests/it/pipelines.rs.
"""

import csv
import json
import sys
from html.parser import HTMLParser


def read_junit(file, schema):
    import junitparser
    import xmlschema

    xmlschema.XMLSchema(schema).validate(file)
    (suite,) = junitparser.JUnitXml.fromfile(file)
    cases = [
        {
            "class": case.classname,
            "name": case.name,
            "results": [
                {"kind": type(one).__name__, "type": one.type, "message": one.message, "text": one.text}
                for one in case.result
            ],
        }
        for case in suite
    ]
    counts = {name: getattr(suite, name) for name in ["tests", "failures", "errors", "skipped", "time"]}
    properties = {one.name: one.value for one in suite.properties()}
    return {"name": suite.name, "counts": counts, "properties": properties, "cases": cases}


def read_csv(file):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, strict=True))


def read_hlog(file):
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogReader

    reader = HistogramLogReader(file, HdrHistogram(1, 1 << 40, 3))
    entries = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        percentiles = {str(p): histogram.get_value_at_percentile(p) for p in [50.0, 95.0, 99.0, 99.9, 100.0]}
        entries.append({"tag": histogram.get_tag(), "count": histogram.get_total_count(), "percentiles": percentiles})
    return entries


class Tables(HTMLParser):
    """Collects the text of the cells of all tables."""

    def __init__(self):
        super().__init__()
        self.tables, self.cell = [], None

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(" ".join(self.cell.split()))
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


def read_html(file):
    tables = Tables()
    with open(file, encoding="utf-8") as text:
        tables.feed(text.read())
    return {"tables": tables.tables}


def read_metrics(file):
    from prometheus_client.openmetrics import parser

    with open(file, encoding="utf-8") as text:
        families = list(parser.text_fd_to_metric_families(text))
    return [
        {"family": family.name, "type": family.type, "name": one.name, "labels": one.labels, "value": one.value}
        for family in families
        for one in family.samples
    ]


def read_markdown(file):
    """Returns the tables as lists of cells, and everything that is not plain text, code or structure."""
    from markdown_it import MarkdownIt

    with open(file, encoding="utf-8") as source:
        tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source.read())
    tables, kinds, html, texts, headings = [], set(), [], [], []
    for index, token in enumerate(tokens):
        before = tokens[index - 1].type if index else ""
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "html_block":
            html.append(token.content)
        elif token.type == "inline":
            content = "".join(child.content for child in token.children)
            kinds.update(child.type for child in token.children)
            texts.extend(child.content for child in token.children if child.type == "text")
            if before in ("td_open", "th_open"):
                tables[-1][-1].append(content)
            elif before == "heading_open":
                headings.append(content)
        else:
            kinds.add(token.type)
    return {"tables": tables, "kinds": sorted(kinds), "html": html, "texts": texts, "headings": headings}


def read_yaml(file):
    from ruamel.yaml import YAML

    with open(file, encoding="utf-8") as text:
        return YAML(typ="safe", pure=True).load(text)


readers = {
    "csv": read_csv,
    "hlog": read_hlog,
    "html": read_html,
    "junit": read_junit,
    "markdown": read_markdown,
    "metrics": read_metrics,
    "yaml": read_yaml,
}
json.dump(readers[sys.argv[1]](*sys.argv[2:]), sys.stdout)
