"""What the stations of acquisition show of their data."""

import numpy as np

from curation_assets.lake.station import Staged
from curation_assets.pictures import Bars, Plot, Shown, histogram_of, sample


def show_warc_files(staged: Staged) -> Shown:
    """How large the files are, where that is known without asking a server."""
    sizes = sample(staged.paths(), ["bytes"], rows=1 << 17)["bytes"].drop_null().to_numpy()
    return Shown({"sizes": histogram_of(sizes, "compressed bytes", of="WARC files")}) if len(sizes) else Shown()


def show_documents(staged: Staged) -> Shown:
    """What became of the records, and how long the texts are."""
    stats = staged.manifest.stats
    dropped = {name.removeprefix("dropped."): count for name, count in stats.items() if name.startswith("dropped.")}
    fates = {"text extracted": stats.get("rows_out", 0), **dict(sorted(dropped.items(), key=lambda one: -one[1]))}
    looked = sample(staged.paths(), ["text", "html_bytes"])
    lengths = np.array([len(text) for text in looked["text"].drop_null().to_pylist()])
    plots: dict[str, Plot] = {
        "fates": Bars(fates),
        "text_lengths": histogram_of(lengths, "characters of text"),
        "html_sizes": histogram_of(looked["html_bytes"].drop_null().to_numpy(), "bytes of HTML"),
    }
    return Shown(plots)
