"""The service of the hub that knows every terminal, its screen, its log and its mailbox."""
