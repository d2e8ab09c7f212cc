"""Hooks of MkDocs: pages stay plain Markdown that reads well in the repository, and become a site of their own.

- Links that leave ``docs/`` lead to pages made of their targets: READMEs as they are, code and folders as listings.
- Pages with Mermaid graphs load Mermaid from the site itself, where the theme alone would fetch it from the network.
"""

from __future__ import annotations

import ast
import posixpath
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
PIPELINE_README = re.compile(r"src/beatwise/pipelines/(\w+)/README\.md")
LANGUAGES = {".py": "python", ".yml": "yaml", ".sh": "bash", ".toml": "toml"}
# The path of Mermaid in the site.
MERMAID = "assets/mermaid.js"

# Sources of the pages that do not lie in docs/: path in the repository by path in the site.
_origins: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add Mermaid, and a page for each file outside ``docs/`` that a page links to, directly or through others."""
    root = Path(config.config_file_path).parent
    package = find_spec("mmdc")
    assert package is not None
    assert package.origin is not None
    files.append(File.generated(config, MERMAID, abs_src_path=str(Path(package.origin).parent / MERMAID)))
    _origins.clear()
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    waiting += [readme.relative_to(root).as_posix() for readme in root.glob("src/beatwise/pipelines/*/README.md")]
    waiting.append("CHANGELOG.md")
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        text = _text(root, name)
        if not name.startswith("docs/"):
            files.append(File.generated(config, site_path(root, name), content=text))
            _origins[site_path(root, name)] = name
        if name.endswith(".md") or (root / name).is_dir():
            linked = {posixpath.normpath(posixpath.join(_folder(root, name), link)) for link, _ in LINK.findall(text)}
            new = {path for path in linked - seen if (root / path).exists() and not path.startswith("docs/")}
            waiting += sorted(new)
            seen |= new
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, **_: Any) -> str:
    """Turn links of the repository into links of the site."""
    root = Path(config.config_file_path).parent
    place = page.file.src_uri
    name = _origins.get(place, f"docs/{place}")
    if name.endswith(".md") or (root / name).is_dir():
        return with_site_links(markdown, root, name)
    return markdown


def on_post_page(output: str, page: Any, config: MkDocsConfig) -> str:
    """Load Mermaid where a page has a graph."""
    if 'class="mermaid"' not in output:
        return output
    return output.replace("</body>", f'<script src="{get_relative_url(MERMAID, page.url)}"></script></body>')


def site_path(root: Path, name: str) -> str:
    """The path in the site of a file of the repository.

    Args:
        root: Root of the repository.
        name: Path below it.
    """
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    if match := PIPELINE_README.fullmatch(name):
        return f"pipelines/{match[1]}.md"
    return f"source/{name}" if name.endswith(".md") else f"source/{name}.md"


def with_site_links(markdown: str, root: Path, name: str) -> str:
    """Replace relative links by those of the site; a link without a target stays, and MkDocs reports it.

    Args:
        markdown: A page.
        root: Root of the repository.
        name: Path of the page below it.
    """
    here = posixpath.dirname(site_path(root, name))

    def replaced(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(_folder(root, name), link[1]))
        if not (root / target).exists():
            return link[0]
        return f"]({posixpath.relpath(site_path(root, target), here or '.')}{link[2] or ''})"

    return LINK.sub(replaced, markdown)


def _folder(root: Path, name: str) -> str:
    return name if (root / name).is_dir() else posixpath.dirname(name)


def _text(root: Path, name: str) -> str:
    """The text of the page of a file or folder of the repository."""
    path = root / name
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in LANGUAGES and file.name != "__init__.py")
        return f"# {name}\n\n" + "\n".join(f"- [{file.name}]({file.name}){_summary(file)}" for file in files)
    text = path.read_text(encoding="utf-8")
    return text if name.endswith(".md") else f"# {name}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}````\n"


def _summary(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.suffix == ".py" else None
    return f": {docstring.splitlines()[0]}" if docstring else ""
