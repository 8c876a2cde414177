"""The server: HTTP for systems that post their alerts; needs the extra `serve`."""
