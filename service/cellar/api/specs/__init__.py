"""The OpenAPI and AsyncAPI documents, made from the code."""
