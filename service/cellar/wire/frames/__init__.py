"""The binary frames of many steps."""
