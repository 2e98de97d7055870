"""Update the README's screenshots: python -m tests.docs.screenshots."""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.conftest import HOME
from tests.system.browser.conftest import chromium, serving_demo

IMAGES = HOME / "docs" / "images"
MOST_BYTES = 150_000

# The name of a picture, the page, and its height.
PICTURES = [
    ("study-index", "/study", 1000),
    ("study-file", "/study/sql/tags/list", 1240),
]


def main() -> None:
    """Write each picture in light and dark. Exits with a message if one is too large or the browser is missing."""
    program = shutil.which("chromium") or sys.exit("the program chromium is missing (Debian's package chromium)")
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving_demo(Path(folder), users=50, articles=500) as server,
        chromium(program) as browser,
    ):
        for scheme in "light", "dark":
            for name, path, height in PICTURES:
                page = browser.new_page(viewport={"width": 1000, "height": height}, color_scheme=scheme)
                page.goto(f"http://127.0.0.1:{server.port}{path}", wait_until="networkidle")
                target = IMAGES / f"{name}-{scheme}.png"
                page.screenshot(path=target)
                page.close()
                size = target.stat().st_size
                print(f"{target.relative_to(HOME)} {size} bytes")
                if size > MOST_BYTES:
                    sys.exit(f"{target} has more than {MOST_BYTES} bytes")


if __name__ == "__main__":
    main()
