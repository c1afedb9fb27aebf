//! Routes messages and answers questions.
