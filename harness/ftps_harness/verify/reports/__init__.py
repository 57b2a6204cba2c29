"""What came of `ftps-lab verify`, for people (`terminal`), for programs (`as_json`) and for GitHub (`github`)."""
