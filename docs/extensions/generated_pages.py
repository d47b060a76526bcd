"""Sphinx directives whose content is generated from the code, and formulas without a script."""

from collections.abc import Callable
from pathlib import Path

import exit_codes
import python_api
import recipe_keys
from docutils import nodes
from docutils.statemachine import StringList
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).parents[2]


def _directive(markdown: Callable[..., str], *, arguments: int = 0) -> type[SphinxDirective]:
    class Generated(SphinxDirective):
        required_arguments = arguments

        def run(self) -> list[nodes.Node]:
            lines = markdown(*self.arguments).splitlines()
            for package in (*python_api.PACKAGES, 'docs/extensions'):
                for module in (ROOT / package).rglob('*.py'):
                    self.env.note_dependency(str(module))
            for recipe in recipe_keys.RECIPES.glob('*.yaml'):
                self.env.note_dependency(str(recipe))
            node = nodes.Element()
            node.document = self.state.document
            source = StringList(lines, source=self.env.docname)
            self.state.nested_parse(source, self.content_offset, node, match_titles=True)
            return node.children

    return Generated


def _mathml(_: HTML5Translator, text: str, *, block: bool) -> str:
    """MathML, which browsers show without a script and without a connection."""
    return tex2mathml(text, as_block=block)


def _inline_math(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(_mathml(translator, node.astext(), block=False))
    raise nodes.SkipNode


def _display_math(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(
        f'<div class="math">{_mathml(translator, node.astext(), block=True)}</div>'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Registers the directives and the renderer of formulas."""
    app.add_directive('recipe-keys', _directive(recipe_keys.as_markdown))
    app.add_directive('recipes', _directive(recipe_keys.recipes_as_markdown))
    app.add_directive('errors', _directive(exit_codes.as_markdown))
    app.add_directive(
        'python-api', _directive(lambda name: python_api.as_markdown(name, ROOT), arguments=1)
    )
    app.add_html_math_renderer('mathml', (_inline_math, None), (_display_math, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
