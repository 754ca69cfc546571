"""What every part of the package needs and what knows none of them: arguments, arrays, configured objects, files."""
