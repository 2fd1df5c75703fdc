"""Forwarding of steps to the process that owns their session, over Unix sockets.

Each session has one owner among the api processes of a machine. A step that comes to another process is sent to the
owner, which runs it together with other steps of the session, and sends the result back. This saves conflicts between
commits, and is never needed for correctness: the commit script refuses a step on a session that has changed.
"""
