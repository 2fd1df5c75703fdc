"""Sessions: their record, the changes that requests make, the commit of changes, and the store of all of it."""
