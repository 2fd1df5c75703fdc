"""Checks a file of ONNX before it is parsed, by counting its messages, and its nodes against the schemas of operators.

A million empty messages take a few bytes each. To count them only lengths are read; which fields are messages is in the
descriptors of the package onnx. The encoding: protobuf.dev/programming-guides/encoding.
"""

from typing import Any

from cellar.errors import ImportRefused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 16


def count_messages(data: memoryview, descriptor: Any, limit: int, place: str) -> int:
    """Return how many messages and strings there are. Raise ImportRefused beyond the limit, or if it is no protobuf."""
    count = 0
    stack = [(data, descriptor, 0)]
    while stack:
        part, kind, depth = stack.pop()
        fields = {number: field.message_type for number, field in kind.fields_by_number.items()}
        texts = {number for number, field in kind.fields_by_number.items() if field.type == field.TYPE_STRING}
        at = 0
        while at < len(part):
            key, at = _varint(part, at, place)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                _, at = _varint(part, at, place)
            elif wire in (FIXED32, FIXED64):
                at += 4 if wire == FIXED32 else 8
            elif wire == BYTES:
                size, at = _varint(part, at, place)
                inner = fields.get(number)
                if inner is not None and inner.full_name.startswith("onnx."):
                    stack.append((part[at : at + size], inner, depth + 1))
                elif number in texts:
                    _check_text(part[at : at + size], place)
                at += size
                count += 1
            else:
                raise _damaged(place)
            if at > len(part) or number == 0:
                raise _damaged(place)
            if count > limit or depth > MAX_DEPTH:
                raise ImportRefused(
                    "the model has too many nodes, attributes and tensors, or graphs within each other",
                    place=place,
                    expected=f"at most {limit} together, and {MAX_DEPTH} levels",
                )
    return count


def _check_text(data: memoryview, place: str) -> None:
    """Raise ImportRefused unless a text is UTF-8: the package would return bytes where names are expected."""
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        raise _damaged(place) from None


def _varint(part: memoryview, at: int, place: str) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while shift < 64 and at < len(part):
        byte = part[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise _damaged(place)


def _damaged(place: str) -> ImportRefused:
    return ImportRefused("the file is no ONNX model, or is cut off", place=place, expected="a ModelProto")


def check_node(node: Any, name: str, opset: int) -> None:
    """Raise ImportRefused unless a NodeProto is as its operator of that version is."""
    from onnx import AttributeProto, defs

    try:
        schema = defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError as error:
        raise _refused(node, name, f"there is no such operator in version {opset}") from error
    if not schema.min_input <= len(node.input) <= schema.max_input:
        raise _refused(node, name, f"it has {len(node.input)} inputs")
    if not schema.min_output <= len(node.output) <= schema.max_output:
        raise _refused(node, name, f"it has {len(node.output)} outputs")
    single = defs.OpSchema.FormalParameterOption.Single
    for index, formal in enumerate(schema.inputs):
        if formal.option == single and (index >= len(node.input) or not node.input[index]):
            raise _refused(node, name, f"its input {formal.name} is left out")
    given = {attribute.name: AttributeProto.AttributeType.Name(attribute.type) for attribute in node.attribute}
    for attribute, kind in given.items():
        known = schema.attributes.get(attribute)
        if known is None or known.type.name != kind:  # type: ignore[attr-defined]  # the stubs leave it out
            raise _refused(node, name, f"it has no attribute {attribute[:64]!r} of this type")
    for attribute, known in schema.attributes.items():
        if known.required and attribute not in given:
            raise _refused(node, name, f"its attribute {attribute} is left out")


def _refused(node: Any, name: str, detail: str) -> ImportRefused:
    return ImportRefused(f"node {name[:128]!r} ({node.op_type[:64]}): {detail}", place=name[:128])
