"""What a crawl may lose on its way into `documents`, and what counts as lost.

A page that is no HTML, or says nothing, is decided upon; a page that should have given text and cannot is lost. Bytes
of a WARC file are lost where damage hides whatever records were there.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MISSING = "warc_missing"
"""The source has not the file that its own list names."""

LOST_BYTES = (MISSING, "warc_damaged", "warc_truncated")
"""Causes that cost stretches of a file, with an unknown number of records in them."""

LOST_RECORDS = (
    "record_too_large",
    "http_malformed",
    "content_encoding_undecodable",
    "charset_undecodable",
    "extraction_timeout",
    "extraction_memory",
    "extraction_crashed",
    "extraction_failed",
)
"""Causes that cost one record each."""

CAUSES = (*LOST_BYTES, *LOST_RECORDS)


class Loss(BaseModel):
    """Shares of a snapshot that may be lost; above one of them `documents` is not published and nothing after it runs.

    Common Crawl's own files lose next to nothing. The limits leave room for a handful of cut files in a hundred
    thousand, and for pages that lie about their charset or hang their parser; a broken mirror is far above them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: float = Field(default=0.01, ge=0, le=1)
    """Of the bytes of all WARC files: damaged, cut off, or in files that are missing."""
    records: float = Field(default=0.02, ge=0, le=1)
    """Of the response records: too large, malformed, undecodable, or given up by the extractor."""
    files: float = Field(default=0.01, ge=0, le=1)
    """Of the WARC files: missing, empty, or no WARC at all."""

    @property
    def check_parameters(self) -> Mapping[str, Any]:
        """What the check `losses_are_bounded` is given."""
        limits = {"bytes_limit": self.bytes, "records_limit": self.records, "files_limit": self.files}
        return {**limits, "record_causes": list(LOST_RECORDS)}
