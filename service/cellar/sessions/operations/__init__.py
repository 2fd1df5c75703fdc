"""Operations on sessions that are not single steps: snapshots, forks, long sequences, and deletions of models."""
