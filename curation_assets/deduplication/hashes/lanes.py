"""Vectors of unsigned integers inside kernels, written out for LLVM.

Numba leaves it to LLVM whether a loop becomes vector instructions, and its arrays live in memory. Where what is hashed
has to stay in vector registers, an intrinsic writes its instructions with `Lanes`: on a processor without vectors of
that size LLVM makes several instructions of one.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir


class Lanes:
    """A vector of integers of one width, or of the bits that a comparison gives; operators act on all lanes.

    Numbers on the right of an operator stand for the same number in every lane. Arithmetic wraps; ``>>`` brings zeros.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        """Wrap a value of vector type that is made by `builder`."""
        self.builder = builder
        self.value = value

    @staticmethod
    def of(builder: Any, numbers: Sequence[int], bits: int) -> "Lanes":
        """Known numbers as lanes of so many bits."""
        return Lanes(builder, ir.VectorType(ir.IntType(bits), len(numbers))(list(numbers)))

    @staticmethod
    def load(builder: Any, data: Any, position: Any, count: int, bits: int) -> "Lanes":
        """`count` neighbouring numbers, from the item at `position` on; see `address`."""
        vector = ir.VectorType(ir.IntType(bits), count)
        return Lanes(builder, builder.load(address(builder, data, position, vector), align=1))

    def store(self, data: Any, position: Any) -> None:
        """Write the lanes one after another, from the item at `position` on."""
        self.builder.store(self.value, address(self.builder, data, position, self.value.type), align=1)

    def _value(self, other: "Lanes | int") -> Any:
        if isinstance(other, Lanes):
            return other.value
        return self.value.type([other] * self.value.type.count)

    def __add__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.add(self.value, self._value(other)))

    def __sub__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.sub(self.value, self._value(other)))

    def __mul__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.mul(self.value, self._value(other)))

    def __and__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.and_(self.value, self._value(other)))

    def __or__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.or_(self.value, self._value(other)))

    def __xor__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.xor(self.value, self._value(other)))

    def __lshift__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.shl(self.value, self._value(other)))

    def __rshift__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.lshr(self.value, self._value(other)))

    def __lt__(self, other: "Lanes | int") -> "Lanes":
        return Lanes(self.builder, self.builder.icmp_unsigned("<", self.value, self._value(other)))

    def equals(self, other: "Lanes | int") -> "Lanes":
        """The bits of whether two lanes are equal."""
        return Lanes(self.builder, self.builder.icmp_unsigned("==", self.value, self._value(other)))

    def where(self, yes: "Lanes", no: "Lanes") -> "Lanes":
        """The lanes of `yes` where the bits of a comparison are set, those of `no` elsewhere."""
        return Lanes(self.builder, self.builder.select(self.value, yes.value, no.value))

    def least(self, other: "Lanes") -> "Lanes":
        """The smaller number of each lane."""
        return (self < other).where(self, other)

    def rotate(self, bits: int) -> "Lanes":
        """Each lane's bits shifted to the left, those that leave it on the other side again."""
        return self << bits | self >> self.value.type.element.width - bits

    def shuffle(self, order: Sequence[int], other: "Lanes | None" = None) -> "Lanes":
        """The lanes in another order; those of `other` count on from the last of these."""
        mask = ir.VectorType(ir.IntType(32), len(order))(list(order))
        return Lanes(self.builder, self.builder.shuffle_vector(self.value, (other or self).value, mask))

    def cast(self, bits: int) -> "Lanes":
        """As many lanes of another width: the lower bits of each number, or zeros above it."""
        kind = self.value.type
        to = ir.VectorType(ir.IntType(bits), kind.count)
        change = self.builder.trunc if bits < kind.element.width else self.builder.zext
        return Lanes(self.builder, change(self.value, to))

    def seen_as(self, bits: int) -> "Lanes":
        """The same bytes as lanes of another width, little-endian."""
        kind = self.value.type
        to = ir.VectorType(ir.IntType(bits), kind.count * kind.element.width // bits)
        return Lanes(self.builder, self.builder.bitcast(self.value, to))


def address(builder: Any, data: Any, position: Any, kind: ir.Type) -> Any:
    """Where the item at `position` of an array lies, for reading or writing something of another type there.

    data: pointer to the first item (`pointers`); position: in items, a number or a 64-bit value.
    """
    position = ir.IntType(64)(position) if isinstance(position, int) else position
    return builder.bitcast(builder.gep(data, [position]), kind.as_pointer())


def spread(builder: Any, number: Any, count: int) -> Lanes:
    """One number in every lane."""
    vector = ir.VectorType(number.type, count)
    first = builder.insert_element(vector(ir.Undefined), number, ir.IntType(32)(0))
    return Lanes(builder, first).shuffle([0] * count)


def pointers(context: Any, builder: Any, kinds: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
    """Pointers to the first items of Numba's arrays of these types."""
    return [context.make_array(kind)(context, builder, array).data for kind, array in zip(kinds, arrays, strict=True)]
