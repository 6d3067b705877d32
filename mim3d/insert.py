"""The statement ``#> insert "<file>"`` of the templates in bundles/_shared."""

from __future__ import annotations

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser


class Insert(Extension):
    """Puts the text of another file in the place of the statement.

    The result is the same as if the text had been written there. Unlike with ``include``, a template that extends
    this one can replace the file's blocks, and values that the file sets are known behind the statement. A mistake
    in the file is reported with its own name and line.
    """

    tags = {"insert"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the statements of the file that the statement names."""
        next(parser.stream)
        name = parser.stream.expect("string").value
        assert self.environment.loader is not None
        source, filename, _ = self.environment.loader.get_source(self.environment, name)
        return self.environment.parse(source, name, filename).body
