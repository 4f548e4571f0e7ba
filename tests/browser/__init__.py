"""What people see: nbchat in a real JupyterLab and a real Notebook, in a real browser."""
