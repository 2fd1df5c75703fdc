"""The JSON of requests and answers as pydantic models, one file for each resource."""
