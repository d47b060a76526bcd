"""Configuration of the documentation site; `make docs` builds it."""

import sys
from pathlib import Path

from sphinx.ext.autodoc.mock import MockFinder

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs' / 'extensions')]
# The commands are imported for their options; what they call needs TensorFlow and more.
called = ('local', 'metadata_store', 'models', 'new_recipe')
called += ('report', 'retraining', 'run', 'serving')
others = ('image_example_gen.inspection.examine',)
others += ('inference.input_images', 'inference.model_folder')
mocked = [*(f'pipeline.{name}' for name in called), *(f'components.{name}' for name in others)]
sys.meta_path.insert(0, MockFinder([*mocked, 'ml_metadata']))

project = 'catdog-pipeline'
author = 'the contributors of catdog-pipeline'
project_copyright = f'%Y, {author}'

extensions = [
    'myst_parser',
    'sphinx_click',
    'sphinx_copybutton',
    'generated_pages',
    'repository_links',
]
exclude_patterns = ['requirements.in', 'extensions', 'make_pictures.py', 'pictures']
# Signatures name types as the source does, without their modules, so some names are ambiguous.
suppress_warnings = ['ref.python']

myst_enable_extensions = ['attrs_inline', 'colon_fence', 'deflist', 'dollarmath', 'fieldlist']
myst_heading_anchors = 4
myst_links_external_new_tab = False

default_role = 'code'
# Options and quoted values stay as they are typed: --data, 'imagenet'.
smartquotes = False
highlight_language = 'text'
toc_object_entries = False
python_maximum_signature_line_length = 80
html_math_renderer = 'mathml'

html_theme = 'furo'
html_static_path = ['static']
html_css_files = ['site.css']
html_title = 'catdog-pipeline'
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {'navigation_with_keys': True}
copybutton_prompt_text = '$ '
