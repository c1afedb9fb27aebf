//! Header scanning and writing, dates.
