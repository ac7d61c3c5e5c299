"""The reader's side: the page that a person pays on."""
