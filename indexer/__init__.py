"""Indexer: sources, ledger, gallery, geolocation and its evaluation."""
