"""Checks the inputs, outputs and attributes of nodes against the schemas in the package onnx."""

from typing import Any

from cellar.errors import ImportRefused


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
