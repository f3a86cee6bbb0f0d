"""Find the links of a built site that lead nowhere, and files that it would fetch."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes whose address the browser follows by itself, and those a reader follows.
FETCHED = {"src", "data-frames", "poster"}
FOLLOWED = {"href"}


def find_bad_links(site: Path) -> list[str]:
    """One line for each fault, `page: address, what is wrong`; none if all is well.

    A link within the site must lead to a file, and to an element if it names one. A
    page may not fetch anything from elsewhere, nor link to anything but https pages.
    """
    pages = {path.resolve(): _Page(path) for path in site.rglob("*.html")}
    faults = []
    for path, page in pages.items():
        for address, is_fetched in page.links:
            fault = _judge(address, is_fetched, path, pages)
            if fault:
                faults.append(f"{path.relative_to(site.resolve())}: {address}, {fault}")
    return sorted(set(faults))


def _judge(address: str, is_fetched: bool, path: Path, pages: dict) -> str:
    """What is wrong with one address on one page, else nothing."""
    parts = urlsplit(address)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        if is_fetched:
            return "is fetched from elsewhere"
        is_page = parts.scheme == "https" and "." in parts.netloc
        return "" if is_page and " " not in address else "is no https page"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "leads to no file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "leads to no element"
    return ""


class _Page(HTMLParser):
    """The addresses in a page, and the names one can link to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, bool]] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in FETCHED and value is not None:
                self.links.append((value, True))
            elif name in FOLLOWED and value is not None:
                # rel="next" and its like name pages, other <link>s are fetched
                rel = dict(attrs).get("rel") or ""
                self.links.append((value, tag == "link" and not _is_page(rel)))


def _is_page(rel: str) -> bool:
    return rel in ("index", "search", "next", "prev", "canonical", "author")
