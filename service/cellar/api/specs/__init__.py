"""The OpenAPI and AsyncAPI documents, generated from routes and schemas."""
