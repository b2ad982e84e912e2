"""Operations of the contract, compiled: route, decode, validate, call the handler, encode."""
