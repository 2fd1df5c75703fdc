"""Operations on models and training jobs, without input and output."""
