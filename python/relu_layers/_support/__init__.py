"""Helpers of every part of the package, which know none of them: arguments, arrays, configured objects, files."""
