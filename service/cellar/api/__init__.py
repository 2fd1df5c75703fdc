"""HTTP: routes, schemas, problem documents. The only room that knows FastAPI."""
