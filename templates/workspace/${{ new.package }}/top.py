"""A handler is a plain function: inputs are paths, outputs are paths to write, `with` gives values."""

import json
import re
from collections import Counter
from pathlib import Path


def most_frequent(texts: list[Path], top: Path, limit: int) -> None:
    """Write the `limit` most frequent words of all texts."""
    count = Counter(word for text in texts for word in re.findall(r"[a-z]+", text.read_text().lower()))
    ranked = sorted(count.items(), key=lambda row: (-row[1], row[0]))
    top.write_text(json.dumps(dict(ranked[:limit]), indent=2) + "\n")
