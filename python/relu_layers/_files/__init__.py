"""Model files without the classes in them: the table of formats, documents, and how they are written."""
