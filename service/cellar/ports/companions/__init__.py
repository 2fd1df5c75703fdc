"""What stands beside a session and ends with it: its events, history, snapshots and shadow."""
