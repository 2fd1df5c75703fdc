"""`cellar demo`: real measurements forecast by a service that is killed half way, and goes on as if it had not been."""
