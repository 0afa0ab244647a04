"""What is recorded, made printable: tables, drawings, plots, text, HTML."""
