"""A pickle reader that cannot execute anything.

Called by `torch_reader` for data.pkl (zip format) and for the pickles of the legacy format.

Why nothing can run. A pickle is a program for a stack machine; Python's own machine runs it
with the power to import any module and call any function. This one is written from the opcode
list in the standard library's pickletools and shares no code with `pickle`:

* It never imports, never looks up an attribute, never calls anything that a file names. A global
  (GLOBAL, STACK_GLOBAL) becomes an entry of the table GLOBALS below or the file is refused; an
  entry is an inert `Global`, a pair of strings, not the thing it names.
* REDUCE and NEWOBJ compare that inert `Global` with the rules in `_reduce`, which build plain
  dicts, tuples, bytes and `Inert` records; anything without a rule is refused.
* BUILD merges nothing into anything but `Inert` records and OrderedDicts (where the state, torch's
  `_metadata`, is dropped). No __setstate__, no __dict__ and no setattr exist here.
* INST, OBJ, NEWOBJ_EX, EXT1/2/4 (the copyreg registry), PERSID and out-of-band buffers are
  refused as such: torch.save does not write them.
* A persistent id is data for `torch_reader`, which understands one tuple form.

Why it stays bounded. Length and number of opcodes are limited; an opcode makes at most one small
object, and lengths inside the pickle are checked against the bytes left before anything is
copied. Dict keys are scalars only: hashing a tuple nested a million deep would overflow the C
stack. Memo look-ups share objects; the few rules that copy an object, which a file can demand
again and again for one and the same, draw on a budget. Nobody walks the result recursively.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import InputRefused, shown

MAX_PICKLE = 16 << 20
MAX_OPCODES = 4_000_000
MAX_INTEGER_BYTES = 64
MAX_COPIED = MAX_OPCODES


@dataclass(frozen=True)
class Global:
    """The name of an allowed global. Holds no reference to what it names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Inert:
    """An object of an allowed class, kept as a record of what the file said about it."""

    kind: str
    arguments: object = ()
    state: dict[object, object] = field(default_factory=dict)


_KINDS = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_STORAGES = tuple(f"{kind}Storage" for kind in _KINDS)
_FLOATS = ("float16", "bfloat16", "float32", "float64", "half", "float", "double")
_INTEGERS = ("int8", "uint8", "int16", "int32", "int64", "long", "bool")
# Where the classes of whole pickled models live.
_MODULE_CODE = (
    "torch.nn.",
    "torch.jit",
    "torch.fx",
    "efficientnet_pytorch",
    "timm.models",
    "timm.layers",
    "torchvision.models",
)

# Every global that a state dict, an optimizer state or the usual extras of a checkpoint contain.
GLOBALS: dict[tuple[str, str], Global] = {}
for _module, _names in (
    ("collections", ["OrderedDict", "defaultdict", "Counter"]),
    ("torch._utils", ["_rebuild_tensor", "_rebuild_tensor_v2"]),
    ("torch._utils", ["_rebuild_parameter", "_rebuild_parameter_with_state"]),
    ("torch._tensor", ["_rebuild_from_type_v2"]),
    ("torch", ["Tensor", "Size", "device", *_STORAGES, *_FLOATS, *_INTEGERS]),
    ("torch.cuda", [*_STORAGES]),
    ("torch.nn.parameter", ["Parameter"]),
    ("argparse", ["Namespace"]),
    ("_codecs", ["encode"]),
    ("numpy", ["dtype", "ndarray"]),
    ("numpy.core.multiarray", ["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", ["scalar", "_reconstruct"]),
    ("builtins", ["set", "frozenset", "dict", "list", "int", "float"]),
    ("__builtin__", ["set", "frozenset", "dict", "list", "int", "float"]),
):
    for _name in _names:
        GLOBALS[_module, _name] = Global(_module, _name)

# Called with (storage, offset, size, strides), all untrusted; returns the tensor.
TensorMaker = Callable[[object, object, object, object], object]
PersistentLoad = Callable[[object], object]


class _Mark:
    """The stack marker. Compared by identity, so no object of a file can pass for it."""


_MARK = _Mark()


class Unpickler:
    """Runs one pickle after the other out of `data`, starting at `position`."""

    def __init__(
        self, data: memoryview, persistent_load: PersistentLoad, make_tensor: TensorMaker
    ) -> None:
        self._data = data
        self._persistent_load = persistent_load
        self._make_tensor = make_tensor
        self.position = 0
        self._start = 0
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._copied = 0

    def load(self) -> object:
        """The object of the next pickle; `position` is behind its STOP afterwards."""
        self._start = self.position
        self._stack = []
        self._memo = {}
        for _ in range(MAX_OPCODES):
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                value = self._pop()
                if self._stack:
                    raise self._refusal("ends with objects left on its stack")
                return value
            handler = _HANDLERS.get(code)
            if handler is None:
                raise self._refusal(_REFUSED.get(code, f"holds the opcode 0x{code:02x}"))
            handler(self)
        raise self._refusal(f"has more than {MAX_OPCODES} opcodes")

    # Bytes of the pickle.

    def _refusal(self, what: str) -> InputRefused:
        return InputRefused(f"pickle: {what} (byte {self.position - self._start})")

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise self._refusal("is cut short")
        if end - self._start > MAX_PICKLE:
            raise self._refusal(f"is longer than {MAX_PICKLE} bytes")
        taken = bytes(self._data[self.position : end])
        self.position = end
        return taken

    def _charge(self, count: int) -> None:
        """Accounts for `count` elements that a rule is about to copy."""
        self._copied += count
        if self._copied > MAX_COPIED:
            raise self._refusal(f"copies more than {MAX_COPIED} elements")

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        window = bytes(self._data[self.position : self.position + 1024])
        length = window.find(b"\n")
        if length < 0:
            raise self._refusal("has a line without an end, or of more than 1023 bytes")
        self.position += length + 1
        return self._text(window[:length])

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._refusal("has text that is not UTF-8") from None

    # The stack.

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._refusal("takes an object from an empty stack")
        return self._stack.pop()

    def _top(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._refusal("uses an object of an empty stack")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[object]:
        stack = self._stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                items = stack[index + 1 :]
                del stack[index:]
                return items
        raise self._refusal("has no mark on its stack")

    # Opcodes. Each is one line of pickletools.opcodes.

    def _op_proto(self) -> None:
        version = self._take(1)[0]
        if version > 5:
            raise self._refusal(f"is of protocol {version}, expected at most 5")

    def _op_global(self) -> None:
        module = self._line()
        self._push(self._find(module, self._line()))

    def _op_stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise self._refusal("names a global by something that is not text")
        self._push(self._find(module, name))

    def _find(self, module: str, name: str) -> Global:
        found = GLOBALS.get((module, name))
        if found is not None:
            return found
        full = shown(f"{module}.{name}")
        if module.startswith(_MODULE_CODE):
            raise self._refusal(
                f"contains {full}: it is a whole pickled module, not a state dict; save "
                f"model.state_dict() instead"
            )
        raise self._refusal(
            f"refers to {full}, which is not among the names that a state dict needs"
        )

    def _op_line_int(self) -> None:
        line = self._line()
        if line in ("00", "01"):
            self._push(line == "01")
            return
        digits = line.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise self._refusal("has an INT that is no decimal integer of at most 20 digits")
        self._push(int(line))

    def _op_long1(self) -> None:
        self._long(self._take(1)[0])

    def _op_long4(self) -> None:
        self._long(self._number("<i"))

    def _long(self, length: int) -> None:
        if not 0 <= length <= MAX_INTEGER_BYTES:
            raise self._refusal(
                f"has an integer of {length} bytes, expected at most {MAX_INTEGER_BYTES}"
            )
        self._push(int.from_bytes(self._take(length), "little", signed=True))

    def _counted(self, form: str) -> bytes:
        length = self._number(form)
        if length < 0:
            raise self._refusal("has a string of negative length")
        return self._take(length)

    def _op_mark(self) -> None:
        self._push(_MARK)

    def _op_pop(self) -> None:
        if not self._stack:
            raise self._refusal("takes an object from an empty stack")
        self._stack.pop()

    def _op_persistent_id(self) -> None:
        self._push(self._persistent_load(self._pop()))

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._refusal(f"uses memo {index}, which it never set")
        self._push(self._memo[index])

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _op_append(self) -> None:
        value = self._pop()
        self._extend(self._top(), [value])

    def _op_appends(self) -> None:
        values = self._pop_to_mark()
        self._extend(self._top(), values)

    def _extend(self, target: object, values: list[object]) -> None:
        if not isinstance(target, list):
            raise self._refusal(f"appends to {shown(target)}, expected a list")
        target.extend(values)

    def _op_setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._set(self._top(), [key, value])

    def _op_setitems(self) -> None:
        items = self._pop_to_mark()
        self._set(self._top(), items)

    def _set(self, target: object, items: list[object]) -> None:
        if not isinstance(target, dict):
            raise self._refusal(f"sets items of {shown(target)}, expected a dict")
        if len(items) % 2:
            raise self._refusal("sets a dict key without a value")
        for index in range(0, len(items), 2):
            key = items[index]
            if not isinstance(key, str | int | float | bytes | None):
                raise self._refusal(f"has {shown(key)} as a dict key, expected text or a number")
            if isinstance(key, float) and key != key:
                raise self._refusal("has NaN as a dict key")
            if key in target:
                raise self._refusal(f"sets the dict key {shown(key)} twice")
            target[key] = items[index + 1]

    def _op_add_items(self) -> None:
        values = self._pop_to_mark()
        target = self._top()
        if not isinstance(target, Inert) or target.kind != "set":
            raise self._refusal("adds items to something that is not a set")
        if not isinstance(target.arguments, list):
            raise self._refusal("adds items to a set made by a call")
        target.arguments.extend(values)

    def _op_tuple_of(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _op_dict(self) -> None:
        items = self._pop_to_mark()
        target: dict[object, object] = {}
        self._set(target, items)
        self._push(target)

    def _op_reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Global):
            raise self._refusal(f"calls {shown(function)}, expected an allowed name")
        if not isinstance(arguments, tuple):
            raise self._refusal(f"calls {function} with arguments that are no tuple")
        self._push(self._reduce(function, arguments))

    def _reduce(self, function: Global, arguments: tuple[object, ...]) -> object:
        """What calling `function` stands for, without calling it."""
        name = function.name
        count = len(arguments)
        if name == "OrderedDict" and (count == 0 or arguments == ([],)):
            return {}
        if name == "OrderedDict" and count == 1 and isinstance(arguments[0], list):
            return self._pairs(arguments[0])  # Python 2 wrote OrderedDict([[key, value], ...])
        if name == "defaultdict" and (count == 0 or isinstance(arguments[0], Global)):
            return {}
        if name == "Counter" and (count == 0 or isinstance(arguments[0], dict)):
            return arguments[0] if count else {}
        if name in ("_rebuild_tensor", "_rebuild_tensor_v2") and 4 <= count <= 7:
            return self._make_tensor(*arguments[:4])
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and 1 <= count <= 4:
            return arguments[0]
        if name == "_rebuild_from_type_v2" and count == 4:
            inner, kind, inner_arguments, _ = arguments
            plain = kind in (GLOBALS["torch", "Tensor"], GLOBALS["torch.nn.parameter", "Parameter"])
            if isinstance(inner, Global) and isinstance(inner_arguments, tuple) and plain:
                if inner.name.startswith("_rebuild_") and inner != function:
                    return self._reduce(inner, inner_arguments)
        if name == "Size" and count == 1 and isinstance(arguments[0], tuple | list):
            self._charge(len(arguments[0]))
            return tuple(arguments[0])
        if name == "encode" and count == 2 and arguments[1] == "latin1":
            # bytes under protocol 2
            text = arguments[0]
            self._charge(len(text) if isinstance(text, str) else 0)
            if isinstance(text, str) and all(ord(letter) < 256 for letter in text):
                return text.encode("latin-1")
        if name in ("device", "dtype", "scalar", "_reconstruct"):
            return Inert(name, arguments)
        if name in ("set", "frozenset") and count <= 1:
            return Inert("set", arguments)
        raise self._refusal(f"calls {function} with {count} arguments that it does not take")

    def _pairs(self, pairs: list[object]) -> dict[object, object]:
        self._charge(len(pairs))
        items: list[object] = []
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise self._refusal("fills an OrderedDict with something that is no pair")
            items.extend(pair)
        target: dict[object, object] = {}
        self._set(target, items)
        return target

    def _op_new_object(self) -> None:
        arguments, kind = self._pop(), self._pop()
        if kind == GLOBALS["argparse", "Namespace"] and arguments == ():
            self._push(Inert("Namespace"))
        elif isinstance(kind, Global) and kind.name == "OrderedDict" and arguments == ():
            self._push({})
        else:
            raise self._refusal(f"creates an object of {kind if isinstance(kind, Global) else '?'}")

    def _op_build(self) -> None:
        state = self._pop()
        target = self._top()
        if isinstance(target, Inert):
            if isinstance(state, dict) and target.kind == "Namespace":
                self._charge(len(state))
                target.state.update(state)
        elif not isinstance(target, dict):
            # A dict is an OrderedDict here; its state is torch's _metadata, which nobody needs.
            raise self._refusal(f"sets the state of {shown(target)}")


_HANDLERS: dict[int, Callable[[Unpickler], None]] = {
    0x80: Unpickler._op_proto,
    0x95: lambda vm: vm._number("<Q") and None,  # FRAME: only a hint for buffered readers
    ord("("): Unpickler._op_mark,
    ord("0"): Unpickler._op_pop,
    ord("1"): lambda vm: vm._pop_to_mark() and None,
    ord("2"): lambda vm: vm._push(vm._top()),
    ord("N"): lambda vm: vm._push(None),
    0x88: lambda vm: vm._push(True),
    0x89: lambda vm: vm._push(False),
    ord("I"): Unpickler._op_line_int,
    ord("K"): lambda vm: vm._push(vm._take(1)[0]),
    ord("M"): lambda vm: vm._push(vm._number("<H")),
    ord("J"): lambda vm: vm._push(vm._number("<i")),
    0x8A: Unpickler._op_long1,
    0x8B: Unpickler._op_long4,
    ord("G"): lambda vm: vm._push(struct.unpack(">d", vm._take(8))[0]),
    ord("X"): lambda vm: vm._push(vm._text(vm._counted("<I"))),
    0x8C: lambda vm: vm._push(vm._text(vm._counted("<B"))),
    0x8D: lambda vm: vm._push(vm._text(vm._counted("<Q"))),
    ord("U"): lambda vm: vm._push(vm._text(vm._counted("<B"))),
    ord("T"): lambda vm: vm._push(vm._text(vm._counted("<i"))),
    ord("C"): lambda vm: vm._push(vm._counted("<B")),
    ord("B"): lambda vm: vm._push(vm._counted("<I")),
    0x8E: lambda vm: vm._push(vm._counted("<Q")),
    ord("]"): lambda vm: vm._push([]),
    ord("}"): lambda vm: vm._push({}),
    ord(")"): lambda vm: vm._push(()),
    0x8F: lambda vm: vm._push(Inert("set", [])),
    0x85: lambda vm: vm._op_tuple_of(1),
    0x86: lambda vm: vm._op_tuple_of(2),
    0x87: lambda vm: vm._op_tuple_of(3),
    ord("t"): lambda vm: vm._push(tuple(vm._pop_to_mark())),
    ord("l"): lambda vm: vm._push(vm._pop_to_mark()),
    ord("d"): Unpickler._op_dict,
    0x91: lambda vm: vm._push(Inert("set", vm._pop_to_mark())),
    0x90: Unpickler._op_add_items,
    ord("a"): Unpickler._op_append,
    ord("e"): Unpickler._op_appends,
    ord("s"): Unpickler._op_setitem,
    ord("u"): Unpickler._op_setitems,
    ord("h"): lambda vm: vm._get(vm._take(1)[0]),
    ord("j"): lambda vm: vm._get(vm._number("<I")),
    ord("q"): lambda vm: vm._put(vm._take(1)[0]),
    ord("r"): lambda vm: vm._put(vm._number("<I")),
    0x94: lambda vm: vm._put(len(vm._memo)),
    ord("c"): Unpickler._op_global,
    0x93: Unpickler._op_stack_global,
    ord("Q"): Unpickler._op_persistent_id,
    ord("R"): Unpickler._op_reduce,
    0x81: Unpickler._op_new_object,
    ord("b"): Unpickler._op_build,
}

_REFUSED: dict[int, str] = {
    ord("i"): "uses INST, which calls a class; torch.save does not write it",
    ord("o"): "uses OBJ, which calls a class; torch.save does not write it",
    0x92: "uses NEWOBJ_EX, which calls a class; torch.save does not write it",
    0x82: "uses EXT1, a name from the copyreg registry; torch.save does not write it",
    0x83: "uses EXT2, a name from the copyreg registry; torch.save does not write it",
    0x84: "uses EXT4, a name from the copyreg registry; torch.save does not write it",
    ord("P"): "uses PERSID, a textual persistent id; torch.save does not write it",
    0x96: "uses BYTEARRAY8; torch.save does not write it",
    0x97: "uses NEXT_BUFFER; torch.save does not write it",
    0x98: "uses READONLY_BUFFER; torch.save does not write it",
}
