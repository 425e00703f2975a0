"""This package is the HTTP door: the export API in both versions, and its authentication."""
