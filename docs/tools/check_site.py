"""Check a built site: no page loads anything from another host, and every link inside of it has a target.

python docs/tools/check_site.py SITE
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADING_ATTRIBUTES = {"src", "srcset", "poster", "data", "action", "formaction", "ping"}
_LOADING_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}
_STYLE_ADDRESS = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
_FOREIGN = re.compile(r"(?:[a-z]+:)?//")


class Page(HTMLParser):
    """The addresses that a page loads, those that it links to, and the anchors in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.styles = ""
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element's addresses and anchors."""
        self._in_style = tag == "style"
        attributes = {name: value or "" for name, value in attrs}
        self.places |= {attributes[name] for name in ("id", "name") if name in attributes}
        self.loads += [attributes[name] for name in _LOADING_ATTRIBUTES if name in attributes and tag != "form"]
        self.styles += attributes.get("style", "")
        if tag == "link" and _LOADING_LINKS & set(attributes.get("rel", "").split()):
            self.loads.append(attributes.get("href", ""))
        elif tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])

    def handle_data(self, data: str) -> None:
        """Collect the text of style sheets."""
        self.styles += data if self._in_style else ""


def faults_of(site: Path) -> list[str]:
    """One line per fault of the site; empty where there is none."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    faults = [] if pages else [f"{site}: no pages"]
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        faults += [f"{name} loads {address} from elsewhere" for address in page.loads if _FOREIGN.match(address)]
        faults += [f"{name} loads {address} from elsewhere" for address in _STYLE_ADDRESS.findall(page.styles)]
        if name.name == "404.html":
            continue  # its addresses start at a server's root
        faults += [
            f"{name}: {address} leads nowhere"
            for address in [*page.loads, *page.links]
            if not urlsplit(address).scheme and not _FOREIGN.match(address) and not _is_there(address, path, pages)
        ]
    for path in sorted(site.rglob("*.css")):
        faults += [
            f"{path.relative_to(site)} loads {address} from elsewhere"
            for address in _STYLE_ADDRESS.findall(path.read_text("utf-8"))
        ]
    return faults


def _is_there(address: str, start: Path, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(address)
    target = (start.parent / unquote(parts.path)).resolve() if parts.path else start
    if target.is_dir():
        target /= "index.html"
    anchor = unquote(parts.fragment)
    if anchor.startswith("__") or not anchor or target not in pages:
        return target.exists()
    return anchor in pages[target].places


if __name__ == "__main__":
    faults = faults_of(Path(sys.argv[1]))
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(1 if faults else 0)
