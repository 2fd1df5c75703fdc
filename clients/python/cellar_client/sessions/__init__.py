"""Operations on sessions: steps, streams, bulk requests, long sequences and events, each without input and output."""
