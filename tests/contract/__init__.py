"""The API document and the service, held against what others make of the document: `make contract`."""
