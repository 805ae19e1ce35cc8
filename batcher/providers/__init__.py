"""Services that make pictures and videos, each behind the port `Provider`."""
