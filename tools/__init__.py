"""Programs that build, measure or check the project; none is installed with the package."""
