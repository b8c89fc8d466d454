"""Check a built site: it loads nothing from elsewhere, and everything that it links to inside of itself is there.

python docs/tools/check_site.py SITE
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADS = {"src", "srcset", "poster", "data", "action", "formaction", "ping"}
_LINKS_THAT_LOAD = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}
_IN_STYLES = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
_FOREIGN = re.compile(r"(?:[a-z]+:)?//")


class Page(HTMLParser):
    """What a page loads, what it links to, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.styles = ""
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take down an element's addresses and names."""
        self._in_style = tag == "style"
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.loads += [given[name] for name in _LOADS if name in given and tag != "form"]
        self.styles += given.get("style", "")
        if tag == "link" and _LINKS_THAT_LOAD & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])

    def handle_data(self, data: str) -> None:
        """Keep what stands in a style sheet."""
        self.styles += data if self._in_style else ""


def faults_of(site: Path) -> list[str]:
    """One line for everything that is wrong; empty where nothing is."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site}: no pages"]
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        found += [f"{name} loads {one} from elsewhere" for one in page.loads if _FOREIGN.match(one)]
        found += [f"{name} loads {one} from elsewhere" for one in _IN_STYLES.findall(page.styles)]
        if name.name == "404.html":
            continue  # its addresses are those of a server's root
        found += [
            f"{name}: {one} leads nowhere"
            for one in [*page.loads, *page.links]
            if not urlsplit(one).scheme and not _FOREIGN.match(one) and not _leads(one, path, pages)
        ]
    for path in sorted(site.rglob("*.css")):
        found += [
            f"{path.relative_to(site)} loads {one} from elsewhere"
            for one in _IN_STYLES.findall(path.read_text("utf-8"))
        ]
    return found


def _leads(address: str, start: Path, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(address)
    target = (start.parent / unquote(parts.path)).resolve() if parts.path else start
    if target.is_dir():
        target /= "index.html"
    place = unquote(parts.fragment)
    if place.startswith("__") or not place or target not in pages:
        return target.exists()
    return place in pages[target].places


if __name__ == "__main__":
    faults = faults_of(Path(sys.argv[1]))
    print(*faults, sep="\n", end="\n" if faults else "")
    sys.exit(1 if faults else 0)
