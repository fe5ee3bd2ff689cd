"""Channels that carry protocol messages: Unix socket, TCP, WebSocket, memory."""
