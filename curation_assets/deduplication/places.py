"""What the stations of all methods share: what they read, where they stand, and that they miss no document."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from curation_assets.filtering.survivors import Place, edit_inputs, named
from curation_assets.lake.lake import Key
from curation_assets.lake.station import Check
from curation_assets.recipes.methods import Method
from curation_assets.recipes.recipe import Recipe

SURVIVORS_ARE_COUNTED = Check("survivors_are_counted", "Compared = survivors + dropped, as the manifest counts them.")


class MethodParameters(BaseModel):
    """A method and where in the order of decisions it stands."""

    model_config = ConfigDict(frozen=True)

    method: Method
    place: Place


@dataclass(frozen=True)
class Surroundings:
    """The tables that a method's stations read: the documents, their languages, and what decided and edited before."""

    recipe: Recipe
    documents: Key
    languages: Key
    edits: Mapping[Key, str]
    """Column of each table of edits, in the order in which they apply."""
    previous: Key | None
    """The latest method's table."""

    def parameters(self, method: Method) -> MethodParameters:
        """The method at its place in the recipe."""
        place = Place(position=self.recipe.positions[method.name], edits=named(self.edits))
        return MethodParameters(method=method, place=place)

    @property
    def inputs(self) -> dict[str, Key]:
        """What a station needs to find the documents that are left, and their text."""
        return {
            "documents": self.documents,
            "filter_verdicts": (self.recipe.name, "filter_verdicts"),
            **({"previous": self.previous} if self.previous else {}),
            **edit_inputs(self.edits),
        }

    def all_have_one_row(self, method: Method) -> Check:
        """The check that a station has looked at all documents that are left, and at no other."""
        name = "survivors_of_deduplication_have_one_row" if self.previous else "survivors_have_one_row"
        description = "The table has exactly one row for each document left."
        beside = ("filter_verdicts", *(("previous",) if self.previous else ()))
        return Check(name, description, {"position": self.recipe.positions[method.name]}, by_parts=beside)
