"""Small worlds in which everything is listed, so that every answer is exact."""
