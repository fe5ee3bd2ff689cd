"""`aish do`: a command is proposed, shown with its dangers, and run when a person says so."""
