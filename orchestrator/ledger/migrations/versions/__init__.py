"""One file a change of the ledger's tables; none is edited once it was released."""
