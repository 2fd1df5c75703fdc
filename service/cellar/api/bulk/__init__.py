"""Steps of many sessions in one request: read part by part, run together, and answered in the order of the request."""
